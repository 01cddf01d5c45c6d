package swarm

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
)

// TestAWalkMissesNothingThatStays: while a host is walked through, some of what it holds goes and other things come, of it and
// of others, whose records are used again. What was there all the time is found, with the pieces that it has.
func TestAWalkMissesNothingThatStays(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		s, err := New(DefaultConfig(), seed)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Unix(1_800_000_000, 0)
		task := func(n int) darter.TaskID { return darter.TaskID(fmt.Sprintf("%064x", n)) }
		hold := func(host darter.HostID, n int) {
			l := darter.Location{Task: task(n), Layout: darter.LayoutOf(32<<20, 0), Complete: n%3 > 0}
			if !l.Complete {
				l.Pieces = darter.Pieces(0, uint32(n%8))
			}
			s.Step(now, InventoryPage{Host: host, Add: []darter.Location{l}})
		}
		drop := func(host darter.HostID, n int) {
			s.Step(now, InventoryPage{Host: host, Remove: []darter.TaskID{task(n)}})
		}
		s.Step(now, HostAnnounced{Host: darter.Host{ID: "h"}})
		s.Step(now, HostAnnounced{Host: darter.Host{ID: "other"}})
		stays := map[darter.TaskID]bool{}
		for n := range 200 {
			hold("h", n)
			stays[task(n)] = true
		}
		found := map[darter.TaskID]darter.Location{}
		changes := 0
		for w, more := (HoldingWalk{Host: "h"}), true; more; {
			var page []darter.Location
			if page, more = s.NextHoldings(&w, 1+rng.IntN(9)); len(page) > 9 {
				t.Fatalf("a page has %d items", len(page))
			}
			for _, l := range page {
				found[l.Task] = l
			}
			for ; rng.IntN(3) > 0 && changes < 60; changes++ {
				n := rng.IntN(200)
				switch rng.IntN(4) {
				case 0:
					drop("h", n)
					delete(stays, task(n))
				case 1:
					hold("h", 200+n)
				case 2:
					hold("other", n)
				default:
					drop("other", n)
				}
			}
		}
		for id := range stays {
			l, ok := found[id]
			if !ok {
				t.Fatalf("seed %d: %s was there all the time, and was not found", seed, id)
			}
			if want := mustHold(s, "h", id); l.Complete != want.Complete || !l.Pieces.Equal(want.Pieces) || l.Layout != want.Layout {
				t.Errorf("seed %d: %s was found as %+v, and is %+v", seed, id, l, want)
			}
		}
	}
	s, _ := New(DefaultConfig(), 1)
	if page, more := s.NextHoldings(&HoldingWalk{Host: "nobody"}, 10); len(page) > 0 || more {
		t.Errorf("nobody holds %v", page)
	}
}

func mustHold(s *Swarm, host darter.HostID, id darter.TaskID) darter.Location {
	for v := range s.Holdings(host) {
		if v.Task == id {
			return v.Location
		}
	}
	return darter.Location{}
}
