package announce

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/darter-p2p/darter"
)

var (
	one   = netip.MustParseAddrPort("10.0.0.1:8002")
	two   = netip.MustParseAddrPort("10.0.0.2:8002")
	three = netip.MustParseAddrPort("10.0.0.3:8002")
)

// town is a set of schedulers, of which some are away.
type town struct {
	mu    sync.Mutex
	away  map[netip.AddrPort]bool
	heard map[netip.AddrPort][]time.Duration // since the town was built
	left  []netip.AddrPort
	began time.Time
}

func newTown() *town {
	return &town{away: make(map[netip.AddrPort]bool), heard: make(map[netip.AddrPort][]time.Duration), began: time.Now()}
}

func (w *town) AnnounceHost(_ context.Context, at netip.AddrPort, _ darter.Host) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away[at] {
		return &darter.Error{Kind: darter.Unavailable, Op: "announce"}
	}
	w.heard[at] = append(w.heard[at], time.Since(w.began))
	return nil
}

func (w *town) DeleteHost(ctx context.Context, at netip.AddrPort, _ darter.HostID, _ darter.Epoch) error {
	w.mu.Lock()
	away := w.away[at]
	w.mu.Unlock()
	if away { // one that swallows what is sent to it
		<-ctx.Done()
		return ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = append(w.left, at)
	return nil
}

func (w *town) send(at netip.AddrPort, away bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away[at] = away
}

func (w *town) said(at netip.AddrPort) []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.heard[at])
}

func fixed(t *testing.T, members ...netip.AddrPort) *Membership {
	t.Helper()
	cfg := DefaultMembershipConfig()
	cfg.Health = func(context.Context, netip.AddrPort) error { return nil }
	m, err := NewMembership(cfg)
	if err != nil {
		t.Fatal(err)
	}
	m.replace(members)
	return m
}

// announcing runs an announcer in the bubble until the test ends.
func announcing(t *testing.T, w *town, m Members) (a *Announcer, stop func()) {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Host, cfg.Members, cfg.Schedulers = func() darter.Host { return darter.Host{ID: "h", Epoch: 3} }, m, w
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx) }()
	return a, func() {
		cancel()
		if err := <-ran; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	}
}

func TestAnnounceAtOnceAndEachInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		_, stop := announcing(t, w, fixed(t, one, two))
		defer stop()
		time.Sleep(10*time.Minute + time.Second)
		want := []time.Duration{0, 5 * time.Minute, 10 * time.Minute}
		for _, at := range []netip.AddrPort{one, two} {
			if got := w.said(at); !slices.Equal(got, want) {
				t.Errorf("%s heard at %v, want %v", at, got, want)
			}
		}
	})
}

func TestAnnounceToAnAbsentSchedulerIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		w.away[one] = true
		_, stop := announcing(t, w, fixed(t, one, two))
		defer stop()
		time.Sleep(10 * time.Minute)
		w.send(one, false)
		back := time.Since(w.began)
		time.Sleep(time.Minute)
		if got := w.said(one); len(got) != 1 || got[0]-back > 40*time.Second {
			t.Errorf("back at %s, heard at %v; want once, within 40s", back, got)
		}
		if got := w.said(two); len(got) != 3 { // the other one is no worse off
			t.Errorf("the one that was there heard at %v", got)
		}
	})
}

func TestKickAnnouncesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		a, stop := announcing(t, w, fixed(t, one, two))
		defer stop()
		time.Sleep(time.Minute)
		a.Kick(one)
		time.Sleep(time.Minute)
		for range 10 {
			a.Kick(netip.AddrPort{}) // all; many at once are one
		}
		synctest.Wait()
		if got := w.said(one); len(got) < 3 || len(got) > 4 || got[1] != time.Minute || got[2] != 2*time.Minute {
			t.Errorf("%s heard at %v", one, got)
		}
		if got := w.said(two); len(got) < 2 || len(got) > 3 || got[1] != 2*time.Minute {
			t.Errorf("%s heard at %v", two, got)
		}
	})
}

func TestAnnouncerFollowsTheSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		m := fixed(t, one, two)
		_, stop := announcing(t, w, m)
		defer stop()
		time.Sleep(time.Minute)
		m.replace([]netip.AddrPort{two, three})
		time.Sleep(30 * time.Minute)
		if got := w.said(one); len(got) != 1 {
			t.Errorf("the one that is gone heard at %v", got)
		}
		if got := w.said(three); len(got) == 0 || got[0] != time.Minute {
			t.Errorf("the new one heard at %v, want from 1m on", got)
		}
	})
}

func TestLeaveIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown()
		w.away[one] = true
		a, stop := announcing(t, w, fixed(t, one, two))
		stop()
		began := time.Now()
		a.Leave(t.Context())
		if took := time.Since(began); took != 2*time.Second || !slices.Equal(w.left, []netip.AddrPort{two}) {
			t.Errorf("Leave took %s and told %v; want 2s for the deaf one, and the other told", took, w.left)
		}
	})
}
