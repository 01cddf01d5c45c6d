package fetch

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/darter-p2p/darter"
)

func TestARateLimitsWhatIsFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 10*mib) // the source gives 20 MiB/s
		n := w.node("a", false)
		want := w.want()
		want.Rate = mib
		s, err := n.engine.Start(t.Context(), want)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if sent := w.origin.sent.Load(); sent < 4*mib || sent > 6*mib {
			t.Errorf("the origin sent %d bytes in five seconds at 1 MiB/s", sent)
		}
		// Somebody without a limit comes along: then it is fast for both.
		began := time.Now()
		if got, _, err := n.get(t.Context(), w.want()); err != nil || !bytes.Equal(got, w.data) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("an asker without a limit waited %s", took)
		}
		if err := s.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		s.Close()
		n.stop()
	})
}

func TestASlowLimitBlamesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 6*mib)
		seed := w.node("seed", true)
		getAll(t, w, []*node{seed})
		n := w.node("a", true)
		want := w.want()
		want.Rate = 64 << 10 // a piece of 4 MiB takes a minute
		began := time.Now()
		got, from, err := n.get(t.Context(), want)
		if err != nil || !bytes.Equal(got, w.data) || from[darter.FromPeer] != 6*mib {
			t.Errorf("%d bytes, %v from, %v", len(got), from, err)
		}
		if took := time.Since(began); took < 80*time.Second || took > 110*time.Second {
			t.Errorf("6 MiB at 64 KiB/s took %s, want 96", took)
		}
		n.mu.Lock()
		if len(n.fails) > 0 || len(n.falls) > 0 {
			t.Errorf("blamed: %v, fell back: %v", n.fails, n.falls)
		}
		n.mu.Unlock()
		n.stop()
		seed.stop()
	})
}
