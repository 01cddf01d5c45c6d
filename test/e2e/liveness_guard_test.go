package e2e

import (
	"testing"
	"time"
)

// TestZonePartlyDead kills a good part of a data centre: those who died are hidden at once, and forgotten one by one; when
// few are left of them, the guard opens by itself.
func TestZonePartlyDead(t *testing.T) {
	ctx := deadline(t, 2*time.Minute)
	w := watch(t, ctx, `
lease: {interval: 500ms, longest: 1s}
suspicion: {shortest: 1s, longest: 2s, within: 5s}
probe: {every: 200ms}
forget: {after: 1s}
guard: {window: 30s, rate: 0.5, rateShare: 0}
`, nil)
	w.Crowd(ctx, 2, "safe")
	crowd := w.Crowd(ctx, 8, "part")
	seq := w.now()
	for _, d := range crowd[:5] {
		check(t, d.Process.Signal(9))
	}
	z := w.Zone(ctx, "part", "its guard is partial, and the dead wait", func(z zoneRow) bool { return z.Guard == "partial" && z.Down == 5 })
	w.Counts(ctx, `guard_state{zone="`+z.Zone+`"}`, 2)
	w.Zone(ctx, "part", "the dead are gone, and the guard is open", func(z zoneRow) bool { return z.Hosts == 3 && z.Guard == "open" })

	var gone []event
	if !eventually(ctx, 10*time.Second, func() bool {
		gone = nil
		for _, e := range w.events() {
			if e.Seq > seq && e.changed() && e.To == "forgotten" {
				gone = append(gone, e)
			}
		}
		return len(gone) == 5
	}) {
		t.Fatalf("%d hosts were forgotten, want the 5 that died", len(gone))
	}
	for i := range 2 { // two are too few for a guard: they may go together
		if apart := gone[i+1].At.Sub(gone[i].At); apart < 1500*time.Millisecond {
			t.Errorf("one host may be forgotten each two seconds, and the next was after %s", apart)
		}
	}
	for name, r := range w.Rows(ctx) {
		if r.Verdict != "alive" && r.Verdict != "late" {
			t.Errorf("%s lives, and is %s", name, r.Verdict)
		}
	}
}

// TestSchedulerCutOff pulls the scheduler's own cable for longer than it takes to forget a host: it seeks the fault in itself.
func TestSchedulerCutOff(t *testing.T) {
	ctx := deadline(t, 2*time.Minute)
	lab := newLab(t, ctx, 5)
	w := watch(t, ctx, `
lease: {interval: 500ms, longest: 1s}
suspicion: {shortest: 2s, longest: 3s, within: 5s}
probe: {every: 200ms}
flap: {within: 0s}
forget: {after: 1s}
guard: {quiet: 1s}
`, lab)
	for i := range 4 {
		w.Daemon(ctx, i+1, "cut"+string(rune('a'+i)), "--idc", "dc"+string(rune('0'+i/2)))
	}
	o := newOriginAt(t, 0, w.host(1))
	c := Random(t, 9*mib, 380)
	page := o.Add("/cut", c)
	Get(t, ctx, w.Daemons[0], o.URL+"/cut", c)
	for _, d := range w.Daemons {
		w.Row(ctx, d.Name, "it is well", func(r hostRow) bool { return r.Verdict == "alive" })
	}
	seq := w.now()
	check(t, lab.Pull(ctx, 0))
	w.Counts(ctx, "self_fault", 1)
	z := w.Zone(ctx, "dc0", "its guard says so", func(z zoneRow) bool { return z.Guard == "self-fault" })
	for cut := time.Now(); time.Since(cut) < 5*time.Second; { // two would do to give a host up, and one more to forget it
		if z = w.Zone(ctx, "dc0", "it answers", func(zoneRow) bool { return true }); z.Down != 2 || z.Guard != "self-fault" {
			t.Fatalf("while nobody is heard, the zone is %+v", z)
		}
	}
	check(t, lab.Plug(ctx, 0))
	for _, d := range w.Daemons {
		w.Row(ctx, d.Name, "it is well again", func(r hostRow) bool { return r.Verdict == "alive" })
	}
	w.Zone(ctx, "dc0", "its guard is open", func(z zoneRow) bool { return z.Guard == "open" })
	w.never(seq, "offline", "forgotten", "left")
	w.served(ctx, w.Daemons[3], o, "/cut", c, page)
}
