package announce

import (
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/inventory"
	"github.com/darter-p2p/darter/internal/ring"
)

// TestHoldingsAreDividedAsTheRingDoes compares with a map and a loop, over any order of changes.
func TestHoldingsAreDividedAsTheRingDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, plain := NewHoldings(), map[darter.TaskID]darter.Location{}
		var set []netip.AddrPort
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			l := darter.Location{Task: darter.TaskID(fmt.Sprintf("%064x", rapid.IntRange(0, 20).Draw(t, "task")*7919)),
				Layout: darter.LayoutOf(rapid.Int64Range(0, 3).Draw(t, "pieces")*darter.MinPieceLength, 0), Complete: rapid.Bool().Draw(t, "complete")}
			if !l.Complete {
				l.Pieces.AddRange(0, uint32(rapid.IntRange(0, int(l.Layout.Count())).Draw(t, "held")))
			}
			switch rapid.IntRange(0, 5).Draw(t, "verb") {
			case 0:
				h.Remove(l.Task)
				delete(plain, l.Task)
			case 1:
				set = rapid.SampledFrom([][]netip.AddrPort{nil, {one}, {one, two}, {one, two, three}}).Draw(t, "set")
				h.Divide(set)
			default:
				h.Put(l)
				delete(plain, l.Task)
				if n := l.Layout.Count(); n > 0 && (l.Complete || l.Pieces.Len() > 0 && uint32(l.Pieces.Len()) < n) {
					plain[l.Task] = l
				}
			}
		}
		if _, told := h.Digest(one); told {
			t.Fatal("told before everything was put in")
		}
		h.Known()
		r := ring.New(set)
		for _, at := range []netip.AddrPort{one, two, three} {
			want := inventory.New()
			for _, l := range plain {
				if owner, ok := r.Pick(l.Task); ok && owner == at {
					want.Put(l)
				}
			}
			got, _ := h.Digest(at)
			if got != want.Digest() {
				t.Fatalf("%s of %v is told %v, want %v", at, set, got, want.Digest())
			}
			a, err := h.Answer(at, inventory.Question{Limit: 100})
			if err != nil || uint32(len(a.Locations)) != got.Tasks {
				t.Fatalf("%s is told of %d tasks, want %d: %v", at, len(a.Locations), got.Tasks, err)
			}
		}
	})
}
