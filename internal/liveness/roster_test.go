package liveness

import (
	"fmt"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
)

func rosterOf(t *testing.T, change func(*Config)) *Roster {
	t.Helper()
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.Step(epoch, Tick{})
	return r
}

func joined(r *Roster, now time.Time, n int) []darter.HostID {
	var ids []darter.HostID
	for i := range n {
		id := darter.HostID(fmt.Sprint("h", i))
		r.Step(now, Announced{Host: id, Epoch: 1, Native: true, Zone: ZoneOf(1, "", "")})
		r.Step(now, Renewed{Host: id, Epoch: 1})
		ids = append(ids, id)
	}
	return ids
}

// TestRenewIsCheap: a renewal allocates nothing and moves no timer.
func TestRenewIsCheap(t *testing.T) {
	r := rosterOf(t, nil)
	ids := joined(r, epoch, 100)
	before, _ := r.wheel.Due(r.hosts[ids[0]].timer)
	now := epoch
	if n := testing.AllocsPerRun(100, func() {
		now = now.Add(time.Millisecond)
		for _, id := range ids {
			if _, done := r.Renew(now, id, 1); !done {
				t.Fatal("not done")
			}
			if !r.Hear(now, id) {
				t.Fatal("not heard")
			}
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if after, _ := r.wheel.Due(r.hosts[ids[0]].timer); after != before {
		t.Errorf("the timer moved from %s to %s", before, after)
	}
}

// TestRenewLeavesThinkingToStep: it refuses what needs a decision, and changes nothing then.
func TestRenewLeavesThinkingToStep(t *testing.T) {
	r := rosterOf(t, nil)
	ids := joined(r, epoch, 3)
	r.Step(epoch, ChildFailed{Host: ids[1], By: ids[2]})
	for name, id := range map[string]darter.HostID{"unknown": "x", "in doubt": ids[1]} {
		if _, done := r.Renew(epoch, id, 1); done || r.Hear(epoch, id) {
			t.Errorf("a host that is %s was taken", name)
		}
	}
	for _, e := range []darter.Epoch{0, 2} {
		if _, done := r.Renew(epoch, ids[0], e); done {
			t.Errorf("epoch %d was taken", e)
		}
	}
}

// TestGrantsGrowAndSpread: no more renewals a second than the policy wants, and not all at once.
func TestGrantsGrowAndSpread(t *testing.T) {
	r := rosterOf(t, func(c *Config) { c.Policy.Lease.Rate = 10 })
	ids := joined(r, epoch, 1000)
	shortest, longest := time.Hour, time.Duration(0)
	for _, id := range ids {
		d, _ := r.Renew(epoch, id, 1)
		shortest, longest = min(shortest, d), max(longest, d)
	}
	if shortest < 90*time.Second || longest > 110*time.Second || longest-shortest < 15*time.Second {
		t.Errorf("1000 hosts at 10 a second are granted %s to %s", shortest, longest)
	}
}

// TestProbesAreLimited: however many hosts are in doubt, no more are asked than the rate allows, and each is in turn.
func TestProbesAreLimited(t *testing.T) {
	r := rosterOf(t, func(c *Config) { c.Policy.Probe.Rate, c.Policy.Guard.Hosts = 20, 1_000_000 })
	ids := joined(r, epoch, 1000)
	asked := map[darter.HostID]int{}
	count := func(effects []Effect) {
		for _, e := range effects {
			if p, is := e.(Probe); is {
				asked[p.Host]++
			}
		}
	}
	for i, id := range ids[:500] {
		count(r.Step(epoch, ChildFailed{Host: id, By: ids[500+i]}))
	}
	if len(asked) > 20 {
		t.Errorf("%d probes at once, at 20 a second", len(asked))
	}
	for q := range 120 {
		for _, id := range ids { // nobody is silent
			r.Step(epoch.Add(time.Duration(q)*250*time.Millisecond), Heard{Host: id})
		}
		count(r.Step(epoch.Add(time.Duration(q)*250*time.Millisecond), Tick{}))
	}
	if n := r.stats.Probes; n > 20*31 {
		t.Errorf("%d probes in 30 s at 20 a second", n)
	}
	check(t, r)
}

// TestFeed: readers get everything in order, go on where they stopped, and are told what they missed.
func TestFeed(t *testing.T) {
	r := rosterOf(t, func(c *Config) { c.Policy.Limit.Feed = 16 })
	joined(r, epoch, 10)
	first, next, missed := r.Feed(0, 4)
	if len(first) != 4 || next != 4 || missed != 0 || first[3].Seq != 4 || first[0].Host != "h0" || !first[0].At.Equal(epoch) {
		t.Fatalf("%+v %d %d", first, next, missed)
	}
	for i := range 20 {
		r.Step(epoch, Leave{Host: darter.HostID(fmt.Sprint("h", i)), Epoch: 1})
	}
	rest, next, missed := r.Feed(next, 100)
	if len(rest) != 16 || next != 20 || missed != 0 || rest[15].To != darter.Left {
		t.Errorf("%d events to %d, %d missed", len(rest), next, missed)
	}
	for i := range 9 {
		r.Step(epoch, Announced{Host: darter.HostID(fmt.Sprint("h", i)), Epoch: 2, Zone: ZoneOf(1, "", "")})
	}
	if _, next, missed = r.Feed(4, 100); missed != 9 || next != 29 {
		t.Errorf("next %d, %d missed", next, missed)
	}
	if again, _, _ := r.Feed(1<<40, 100); len(again) != 16 {
		t.Errorf("a cursor of an earlier life gets %d events", len(again))
	}
	p := r.Policy()
	p.Limit.Feed = 20
	r.Step(epoch, PolicyChanged{p})
	if kept, _, _ := r.Feed(0, 100); len(kept) != 16 || kept[0].Seq != 14 || kept[15].Seq != 29 {
		t.Errorf("after it grew: %d events", len(kept))
	}
}

// TestOwnHealthIsBounded: it multiplies by eight at most, and each kind of fault counts once a window.
func TestOwnHealthIsBounded(t *testing.T) {
	r := rosterOf(t, nil)
	now := epoch
	for range 1000 {
		now = now.Add(250 * time.Millisecond)
		r.Step(now, Health{Lag: time.Second, Jumped: true, Throttled: true})
		r.Step(now, Tick{})
	}
	if m := r.Stats().Multiplier; m != 8 {
		t.Errorf("multiplier %d", m)
	}
	for range 400 {
		now = now.Add(250 * time.Millisecond)
		r.Step(now, Tick{})
	}
	if m := r.Stats().Multiplier; m != 1 {
		t.Errorf("multiplier %d after 100 s of good health", m)
	}
}

// TestClockJumps: an hour forward or back is no evidence against anybody.
func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 24 * 365 * time.Hour} {
		r := rosterOf(t, nil)
		joined(r, epoch, 20)
		now := epoch.Add(jump)
		for range 20 {
			now = now.Add(250 * time.Millisecond)
			for _, e := range r.Step(now, Tick{}) {
				if v, is := e.(Verdict); is {
					t.Errorf("a jump of %s: %s", jump, v)
				}
			}
		}
	}
}

// TestMassDeathInSlices: however many deadlines are over at once, a step looks at a bounded number, and asks for more.
func TestMassDeathInSlices(t *testing.T) {
	r := rosterOf(t, func(c *Config) { c.Policy.Limit.Items, c.Policy.Forget.PerStep = 100, 50 })
	now := epoch
	const n = 5000
	for i := range n {
		r.Step(now, Announced{Host: darter.HostID(fmt.Sprint("p", i)), Interval: 20 * time.Second, Zone: ZoneOf(1, "a", "")})
		r.Step(now, Announced{Host: darter.HostID(fmt.Sprint("q", i)), Interval: time.Hour, Zone: ZoneOf(1, "b", "")})
	}
	var words [darter.Left + 1]int
	for range 4 * 400 {
		now = now.Add(250 * time.Millisecond)
		for more := true; more; {
			more = false
			for _, e := range r.Step(now, Tick{}) {
				switch e := e.(type) {
				case Wake:
					more = true
				case Verdict:
					words[e.To]++
				}
			}
			if items := r.Stats().Items; items > 2*150 {
				t.Fatalf("a step looked at %d items", items)
			}
		}
		if words[darter.Offline] == n {
			r.Step(now, Confirm{Zone: ZoneOf(1, "a", "")})
		}
	}
	if words[darter.Suspect] != n || words[darter.Offline] != n || words[darter.Forgotten] != n {
		t.Errorf("%v", words)
	}
	check(t, r)
}

// TestViews: what people see of hosts and zones.
func TestViews(t *testing.T) {
	r := rosterOf(t, nil)
	joined(r, epoch, 5)
	if all := r.Hosts(-3, 100); len(all) != 5 || all[0].ID != "h0" || !all[0].Leased || all[0].Verdict != darter.Alive {
		t.Errorf("%+v", all)
	}
	if page := r.Hosts(4, 10); len(page) != 1 {
		t.Errorf("%d hosts on the last page", len(page))
	}
	r.Step(epoch, Leave{Host: "h1", Epoch: 1})
	if s, ok := r.Host("h1"); !ok || !s.Tombstone || s.Exit != darter.ExitGraceful || !s.LastHeard.Equal(epoch) {
		t.Errorf("%+v", s)
	}
	if _, ok := r.Host("x"); ok {
		t.Error("x is known")
	}
	if z := r.Zones(); len(z) != 1 || z[0].Hosts != 4 || z[0].Guard != GuardOpen {
		t.Errorf("%+v", z)
	}
}
