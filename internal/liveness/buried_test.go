package liveness

import (
	"reflect"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
)

// TestTombstonesOutliveTheProcess: what one roster says of those that are gone, the next one says as well; a word of the run
// that left is still refused, one of a new run is not, and none stands longer than it would have.
func TestTombstonesOutliveTheProcess(t *testing.T) {
	p := DefaultPolicy()
	p.Forget.Tombstone, p.Lease.StaleGrace = Duration(time.Hour), Duration(time.Minute)
	fresh := func() *Roster {
		cfg := DefaultConfig()
		cfg.Policy = p
		r, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	now := time.Unix(1_800_000_000, 0)
	before := fresh()
	join := func(r *Roster, id darter.HostID, e darter.Epoch, store string) []Effect {
		return r.Step(now, Announced{Host: id, Epoch: e, Native: true, Interval: time.Minute, Zone: ZoneOf(1, "idc", ""), Storage: store})
	}
	for _, id := range []darter.HostID{"left", "back", "forced", "drained"} {
		join(before, id, 5, "disk")
		now = now.Add(time.Second)
	}
	before.Step(now, Drain{Host: "drained"})
	for _, id := range []darter.HostID{"back", "drained"} {
		before.Step(now, Leave{Host: id, Epoch: 5})
		now = now.Add(10 * time.Second)
	}
	before.Step(now, Forget{Host: "forced", Force: true})
	before.Step(now, Leave{Host: "left", Epoch: 5})
	join(before, "back", 6, "disk")
	now = now.Add(20 * time.Second)
	before.Step(now, Tick{})

	after := fresh()
	after.Step(now, Tick{})
	kept := 0
	for from := 0; from >= 0; {
		var page []Tombstone
		page, from = before.Tombstones(from, 2)
		for _, s := range page {
			after.Step(now, Buried{s})
			kept++
		}
	}
	after.Step(now, Restarted{})
	if kept != 3 {
		t.Fatalf("%d tombstones were kept, want those of left, forced and drained", kept)
	}
	for _, id := range []darter.HostID{"left", "forced", "drained", "back"} {
		was, stood := before.Host(id)
		is, stands := after.Host(id)
		if stood = stood && was.Tombstone; stood != stands || stood && !reflect.DeepEqual(was, is) {
			t.Errorf("%s was %+v (%t), and is %+v (%t)", id, was, stood, is, stands)
		}
	}
	refused := func(effects []Effect) bool {
		for _, e := range effects {
			if g, is := e.(Grant); is && g.Superseded {
				return true
			}
		}
		return false
	}
	if !refused(join(after, "left", 5, "disk")) {
		t.Error("a late word of the run that left was taken for a return")
	}
	effects := join(after, "left", 6, "other disk")
	if v, is := effects[0].(Verdict); !is || v.Reason != Replacement {
		t.Errorf("another run with another store: %v", effects)
	}
	old := fresh()
	old.Step(now, Tick{})
	old.Step(now, Buried{Tombstone{Host: "ancient", Epoch: 1, Verdict: darter.Left, At: now.Add(-time.Hour)}})
	old.Step(now, Buried{Tombstone{Host: "future", Epoch: 1, Verdict: darter.Left, At: now.Add(time.Hour)}})
	old.Step(now, Buried{Tombstone{Host: "alive", Epoch: 1, Verdict: darter.Alive, At: now}})
	if n := old.Stats().Tombstones; n != 1 {
		t.Errorf("%d tombstones were taken up, want that of the future, as of now, and no other", n)
	}
}

// TestADrainOutlivesTheProcess: what an operator wanted is still wanted.
func TestADrainOutlivesTheProcess(t *testing.T) {
	r, err := New(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	a := Announced{Host: "a", Epoch: 1, Native: true, Interval: time.Minute}
	r.Step(now, Restored{Announced: a, Drained: true})
	r.Step(now, Restarted{})
	r.Step(now.Add(time.Second), a)
	if s, _ := r.Host("a"); s.Verdict != darter.Draining || !s.Drain {
		t.Errorf("it is %s (drain %t)", s.Verdict, s.Drain)
	}
}
