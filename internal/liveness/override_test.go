package liveness

import (
	"testing"
	"time"

	"github.com/darter-p2p/darter"
)

// TestAGuardThatWasTakenOffIsPutBack by the operator who took it off, before its time.
func TestAGuardThatWasTakenOffIsPutBack(t *testing.T) {
	r, err := New(DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	dark, well := ZoneOf(1, "dark", ""), ZoneOf(1, "well", "")
	say := func(id darter.HostID, z Zone) { r.Step(now, Announced{Host: id, Interval: 2 * time.Second, Zone: z}) }
	for _, id := range []darter.HostID{"a", "b", "c"} {
		say(id, dark)
	}
	guard := func() Guard {
		for _, z := range r.Zones() {
			if z.Zone == dark {
				return z.Guard
			}
		}
		return GuardOpen
	}
	for range 40 {
		say("other", well)
		now = now.Add(250 * time.Millisecond)
		r.Step(now, Tick{})
	}
	if g := guard(); g != GuardFull {
		t.Fatalf("all of the zone is dead, and its guard is %s", g)
	}
	r.Step(now, Override{Zone: dark, Until: now.Add(time.Hour)})
	if g := guard(); g != GuardOverridden {
		t.Errorf("it was taken off, and is %s", g)
	}
	for _, e := range r.Step(now, Override{Zone: dark}) {
		if d, is := e.(Declined); is {
			t.Error(d.Err)
		}
	}
	if g := guard(); g != GuardFull {
		t.Errorf("it was put back, and is %s", g)
	}
}
