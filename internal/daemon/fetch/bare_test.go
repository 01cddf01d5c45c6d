package fetch

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/darter-p2p/darter"
)

// TestAParentWithoutTheTaskIsTakenAtItsWord: one that removed the task, before it was asked or after it had named all of its
// pieces, is well. The scheduler hears once that it holds nothing, and never that it could not be reached.
func TestAParentWithoutTheTaskIsTakenAtItsWord(t *testing.T) {
	for name, meanwhile := range map[string]bool{"before it is asked": false, "after it named all pieces": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 64<<20)
				a, b := w.node("a", true), w.node("b", true)
				if _, _, err := a.get(t.Context(), w.want()); err != nil {
					t.Fatal(err)
				}
				remove := func() {
					for _, i := range a.store.List() {
						if err := a.store.Remove(i.ID); err != nil {
							t.Error(err)
						}
					}
				}
				if meanwhile {
					time.AfterFunc(60*time.Millisecond, remove)
				} else {
					remove()
				}
				got, from, err := b.get(t.Context(), w.want())
				if err != nil || !bytes.Equal(got, w.data) {
					t.Fatalf("%d bytes, %v", len(got), err)
				}
				if meanwhile != (from[darter.FromPeer] > 0) {
					t.Errorf("%d bytes came from the peer", from[darter.FromPeer])
				}
				missing, blamed := 0, 0
				for _, r := range w.sched.reports(b) {
					switch {
					case r.Kind == darter.PieceFailed && r.Missing:
						missing++
					case r.Kind == darter.PieceFailed || len(r.Lost) > 0:
						blamed++
					}
				}
				if missing != 1 || blamed != 0 {
					t.Errorf("the scheduler heard %d times that the parent holds nothing, and %d times that it failed; want once and never", missing, blamed)
				}
				a.stop()
				b.stop()
			})
		})
	}
}

// TestAParentWithAnotherVersionIsWell: the scheduler hears that it is of no use, and that it answered.
func TestAParentWithAnotherVersionIsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 8<<20)
		a, b := w.node("a", true), w.node("b", true)
		if _, _, err := a.get(t.Context(), w.want()); err != nil {
			t.Fatal(err)
		}
		w.origin.version = "etag:2"
		if _, _, err := b.get(t.Context(), w.want()); err != nil {
			t.Fatal(err)
		}
		lost := 0
		for _, r := range w.sched.reports(b) {
			if r.Kind == darter.NeedOthers && len(r.Lost) > 0 {
				if lost++; !r.Answered {
					t.Errorf("it is said not to answer: %+v", r)
				}
			}
		}
		if lost == 0 {
			t.Error("the scheduler did not hear that it is of no use")
		}
		a.stop()
		b.stop()
	})
}

// reports returns all that a node said.
func (s *scheduler) reports(n *node) (all []darter.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, list := range s.talks {
		for _, k := range list {
			if k.node == n {
				all = append(all, k.told...)
			}
		}
	}
	return all
}
