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

// guide is a scheduler that sends whoever lost a parent to the source.
type guide struct {
	puppet
	lost chan time.Time
}

func (g guide) Register(context.Context, darter.Registration) (Conversation, error) { return g, nil }

func (g guide) Report(r darter.Report) {
	if r.Kind == darter.NeedOthers && len(r.Lost) > 0 {
		g.lost <- time.Now()
		g.advice <- darter.Advice{Kind: darter.GoToSource, AllPieces: true}
	}
}

// A frozen parent takes every request and says nothing, in the middle of a piece or before its first byte. Nobody else has
// the content: the scheduler must hear of it long before the transport of pieces loses patience, and the asks must end, or
// their pieces would wait for the source as long.
func TestFrozenParentIsGivenUp(t *testing.T) {
	for name, after := range map[string]time.Duration{"from the start": 0, "in the middle": 100 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 64*mib)
				ice := w.node("ice", true)
				getAll(t, w, []*node{ice})
				g := guide{puppet{make(chan darter.Advice, 64)}, make(chan time.Time, 64)}
				child := w.node("child", true, func(c *Config) { c.Scheduler = g })
				g.advice <- darter.Advice{Kind: darter.UseParents, Parents: []darter.Parent{{Peer: w.peerOf(ice), Host: darter.Host{ID: "ice"}}}}
				var froze time.Time
				time.AfterFunc(after, func() { froze = time.Now(); ice.frozen.Store(true) })
				got, from, err := child.get(t.Context(), w.want())
				if err != nil || !bytes.Equal(got, w.data) || from[darter.FromSource] == 0 {
					t.Fatalf("%d bytes, from %v, %v", len(got), from, err)
				}
				if len(g.lost) == 0 {
					t.Fatalf("the scheduler heard nothing; failures noted: %v, from %v in %s", child.fails, from, time.Since(froze))
				}
				told := (<-g.lost).Sub(froze)
				if least, most := vigilAfter, vigilAfter+vigilWait+300*time.Millisecond; told < least || told > most {
					t.Errorf("the scheduler heard of it after %s, not within %s to %s", told, least, most)
				}
				if took := time.Since(froze); took > told+10*time.Second {
					t.Errorf("it took %s, and the source needs 3.2s", took)
				}
				ice.stop()
				child.stop()
				if n := len(child.fails); n == 0 || child.fails[0] != Silent {
					t.Errorf("failures noted: %v", child.fails)
				}
			})
		})
	}
}

// One with a long queue says nothing either, but lives: it is waited for.
func TestParentWithALongQueueIsNotGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 16*mib)
		holder, child := w.node("holder", true), w.node("child", true)
		getAll(t, w, []*node{holder})
		holder.mute.Store(true)
		time.AfterFunc(20*time.Second, func() { holder.mute.Store(false) })
		began := time.Now()
		if from := getAll(t, w, []*node{child}); from[darter.FromPeer] != int64(len(w.data)) || time.Since(began) < 20*time.Second {
			t.Errorf("from %v after %s", from, time.Since(began))
		}
		holder.stop()
		child.stop()
		if slices.Contains(child.fails, Silent) {
			t.Errorf("failures noted: %v", child.fails)
		}
	})
}

// peerOf returns the peer of a node that has only one.
func (w *world) peerOf(n *node) darter.PeerID {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, o := range w.nodes {
		if o == n {
			return id
		}
	}
	return ""
}
