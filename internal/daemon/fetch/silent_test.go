package fetch

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/darter-p2p/darter"
)

// puppet is a scheduler that says what the test says, to one conversation.
type puppet struct{ advice chan darter.Advice }

func (p puppet) Register(context.Context, darter.Registration) (Conversation, error) { return p, nil }
func (p puppet) Length(context.Context, darter.TaskID) (int64, error)                { return 0, errGone }
func (p puppet) Advice() <-chan darter.Advice                                        { return p.advice }
func (p puppet) Err() error                                                          { return nil }
func (p puppet) Report(darter.Report)                                                {}
func (p puppet) Finish(context.Context, darter.Outcome) error                        { return nil }
func (p puppet) Close()                                                              {}

func puppets(w *world, name string) (*node, puppet) {
	p := puppet{make(chan darter.Advice, 8)}
	return w.node(name, true, func(c *Config) { c.Scheduler, c.Pick.SourceStreams, c.Pick.SourceRun = p, 1, 1 }), p
}

func TestSilentSchedulerIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 16*mib)
		n, p := puppets(w, "a")
		p.advice <- darter.Advice{Kind: darter.Silent}
		began := time.Now()
		got, _, err := n.get(t.Context(), w.want())
		if err != nil || !bytes.Equal(got, w.data) || w.origin.sent.Load() != int64(len(w.data)) {
			t.Fatalf("%d bytes, %v, the origin sent %d", len(got), err, w.origin.sent.Load())
		}
		if alone := time.Duration(len(w.data)) * time.Second / time.Duration(w.origin.rate); time.Since(began) > alone+100*time.Millisecond {
			t.Errorf("it took %s of the %s that the source needs", time.Since(began), alone)
		}
		n.stop()
		if !slices.Equal(n.falls, []FallbackReason{NoScheduler}) {
			t.Errorf("fallbacks %v, want one", n.falls)
		}
	})
}

// A download that went on alone joins the swarm when the scheduler speaks again, and goes to the source no more
// until it is told to.
func TestSchedulerThatSpeaksAgainIsHeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 64*mib)
		parent := w.node("b", false)
		half := w.want()
		half.Range = &darter.Range{Length: 32 * mib}
		if _, _, err := parent.get(t.Context(), half); err != nil {
			t.Fatal(err)
		}
		w.origin.sent.Store(0)
		n, p := puppets(w, "a")
		p.advice <- darter.Advice{Kind: darter.Silent}
		time.AfterFunc(500*time.Millisecond, func() { // in the third piece of sixteen
			w.mu.Lock()
			defer w.mu.Unlock()
			for id, holder := range w.nodes {
				if holder == parent {
					p.advice <- darter.Advice{Kind: darter.UseParents, Parents: []darter.Parent{{Peer: id, Host: darter.Host{ID: "b"}}}}
				}
			}
		})
		began := time.Now()
		time.AfterFunc(10*time.Second, func() {
			if sent := w.origin.sent.Load(); sent == 0 || sent > 16*mib {
				t.Errorf("the origin sent %d MiB unasked, want what was under way", sent/mib)
			}
			p.advice <- darter.Advice{Kind: darter.GoToSource, AllPieces: true}
		})
		if got, from, err := n.get(t.Context(), w.want()); err != nil || !bytes.Equal(got, w.data) {
			t.Fatalf("%d bytes, from %v, %v", len(got), from, err)
		}
		if time.Since(began) < 10*time.Second {
			t.Errorf("it went to the source unasked: done after %s", time.Since(began))
		}
	})
}

func TestWhatWasHereIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 10*mib+3)
		n := w.node("a", false)
		part := w.want()
		part.Range = &darter.Range{Start: 0, Length: 1}
		for _, want := range []darter.Want{part, w.want(), w.want()} {
			if _, _, err := n.get(t.Context(), want); err != nil {
				t.Fatal(err)
			}
		}
		n.stop()
		first, all := int64(darter.MinPieceLength), int64(len(w.data))
		for i, want := range [][3]int64{
			{darter.FromSource: first}, {darter.FromSource: all - first, darter.FromCache: first}, {darter.FromCache: all},
		} {
			if got := n.ends[i].Bytes; got != want {
				t.Errorf("download %d: bytes %v, want %v", i, got, want)
			}
		}
	})
}
