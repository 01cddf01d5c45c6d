package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// A guard for clusters that lose everybody at once, and enough time to suspect all before anybody is offline.
const guardedPolicy = `
lease: {interval: 2s, longest: 4s, suspectAfter: 2}
plain: {interval: 1s, shortest: 200ms, longest: 2s}
suspicion: {shortest: 4s, longest: 6s}
forget: {after: 1s}
guard: {window: 30s}
`

// zoneRow is what is read of "darter zone ls -o json".
type zoneRow struct {
	Zone, Guard          string
	Hosts, Down, Waiting int
}

// Zone waits until the zone of a data centre is as wanted.
func (w *watched) Zone(ctx context.Context, idc, what string, ok func(zoneRow) bool) (z zoneRow) {
	w.t.Helper()
	if !eventually(ctx, 2*time.Minute, func() bool {
		r := w.CLI(ctx, "zone", "ls", "-o", "json")
		var report struct{ Zones []zoneRow }
		if r.Code != 0 || json.Unmarshal([]byte(r.Stdout), &report) != nil {
			return false
		}
		for _, one := range report.Zones {
			if strings.Contains(one.Zone, "/"+idc+"/") {
				z = one
				return ok(one)
			}
		}
		return ok(zoneRow{})
	}) {
		w.t.Fatalf("zone %s: not so that %s: %+v", idc, what, z)
	}
	return z
}

// Crowd starts many daemons in a data centre, a few at a time.
func (w *watched) Crowd(ctx context.Context, n int, idc string) (crowd []*Node) {
	w.t.Helper()
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i := range n {
		d := newDaemon(w.t, w.dir, fmt.Sprintf("%s%d", idc, i), "--scheduler", w.Scheduler.Ready["scheduler"], "--idc", idc)
		crowd = append(crowd, d)
		group.Go(func() error { return d.TryStart(within) })
	}
	check(w.t, group.Wait())
	w.Zone(ctx, idc, fmt.Sprintf("all %d are well", n), func(z zoneRow) bool { return z.Hosts == n && z.Down == 0 })
	return crowd
}

// TestMassDeathWaitsForAnOperator kills a whole data centre at once: everybody is hidden, and nobody forgotten until a
// person says so.
func TestMassDeathWaitsForAnOperator(t *testing.T) {
	many, few := 200, 6
	if testing.Short() {
		many = 20
	}
	ctx := deadline(t, 4*time.Minute)
	w := watch(t, ctx, guardedPolicy, nil)
	w.Crowd(ctx, 2, "safe") // or else the scheduler would seek the fault in itself

	for _, one := range []struct {
		idc   string
		n     int
		order []string
	}{
		{"dark", many, []string{"zone", "confirm"}},
		{"gone", few, []string{"zone", "lift", "--for", "10m"}},
	} {
		w.Run(one.order[1], func(t *testing.T) {
			crowd := w.Crowd(ctx, one.n, one.idc)
			seq := w.now()
			for _, d := range crowd {
				check(t, d.Process.Signal(9))
			}
			z := w.Zone(ctx, one.idc, "all wait", func(z zoneRow) bool { return z.Waiting == one.n })
			if z.Guard != "full" || z.Down != one.n {
				t.Errorf("all %d are dead, and the zone is %+v", one.n, z)
			}
			if level, err := w.Figure(ctx, fmt.Sprintf("guard_state{zone=%q}", z.Zone)); err != nil || level != 3 {
				t.Errorf("guard_state of %s is %v (%v), want 3", z.Zone, level, err)
			}
			w.never(seq, "forgotten")

			w.Order(ctx, append(one.order, z.Zone, "--reason", "the power is out")...)
			w.Zone(ctx, one.idc, "nobody of it is left", func(z zoneRow) bool { return z.Hosts == 0 })
			dead := map[string]bool{}
			eventually(ctx, time.Minute, func() bool {
				for _, e := range w.events() {
					if e.Seq > seq && e.To == "forgotten" && e.changed() {
						dead[e.Host] = true
					}
				}
				return len(dead) >= one.n
			})
			if len(dead) != one.n {
				t.Errorf("%d hosts were forgotten, want %d", len(dead), one.n)
			}
		})
	}
	for _, r := range w.Rows(ctx) {
		if r.Verdict != "alive" && r.Verdict != "late" {
			t.Errorf("%s of the other zone is %s", r.Hostname, r.Verdict)
		}
	}
}
