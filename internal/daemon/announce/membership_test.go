package announce

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/darter-p2p/darter"
)

// boss is a manager that can be away.
type boss struct {
	mu    sync.Mutex
	away  bool
	named []candidate
	asked int
}

func (b *boss) ListSchedulers(_ context.Context, listed func(netip.AddrPort, uint64)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	if b.away {
		return &darter.Error{Kind: darter.Unavailable, Op: "list schedulers"}
	}
	for _, c := range b.named {
		listed(c.at, c.cluster)
	}
	return nil
}

func (b *boss) set(away bool, named ...candidate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away, b.named = away, named
}

// ward knows who is well.
type ward struct {
	mu   sync.Mutex
	sick map[netip.AddrPort]bool
}

func (w *ward) ask(_ context.Context, at netip.AddrPort) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sick[at] {
		return errors.New("connection refused")
	}
	return nil
}

func (w *ward) set(at netip.AddrPort, sick bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sick[at] = sick
}

func looking(t *testing.T, change func(*MembershipConfig)) (m *Membership, stop func()) {
	t.Helper()
	cfg := DefaultMembershipConfig()
	cfg.Health = func(context.Context, netip.AddrPort) error { return nil }
	change(&cfg)
	m, err := NewMembership(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- m.Run(ctx) }()
	return m, func() { cancel(); <-ran }
}

func wantSet(t *testing.T, m *Membership, when string, want ...netip.AddrPort) {
	t.Helper()
	synctest.Wait()
	if got := m.Current(); !slices.Equal(got, want) {
		t.Errorf("%s: the set is %v, want %v", when, got, want)
	}
}

func TestManagerNamesTheFirstClusterThatHasAHealthyMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &boss{named: []candidate{{one, 7}, {two, 3}, {three, 3}}}
		w := &ward{sick: map[netip.AddrPort]bool{one: true, three: true}}
		m, stop := looking(t, func(c *MembershipConfig) { c.Manager, c.Health = b, w.ask })
		defer stop()
		wantSet(t, m, "at the start", two)
		w.set(three, false)
		time.Sleep(10 * time.Second) // sooner than Refresh, because somebody was missing
		wantSet(t, m, "when the second of the cluster is well", two, three)
		w.set(one, false)
		time.Sleep(90 * time.Second)
		wantSet(t, m, "when the first cluster is well", one)
	})
}

func TestManagerAwayKeepsTheSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &boss{named: []candidate{{one, 1}, {two, 1}}}
		w := &ward{sick: make(map[netip.AddrPort]bool)}
		m, stop := looking(t, func(c *MembershipConfig) { c.Manager, c.Health = b, w.ask })
		defer stop()
		wantSet(t, m, "at the start", one, two)
		b.set(true)
		time.Sleep(time.Hour)
		wantSet(t, m, "while the manager is away", one, two)
		b.set(false)
		time.Sleep(time.Hour)
		wantSet(t, m, "while it names nobody", one, two)
		b.set(false, candidate{one, 1}, candidate{two, 1})
		w.set(one, true)
		w.set(two, true)
		time.Sleep(time.Hour)
		wantSet(t, m, "while all are sick", one, two)
	})
}

func TestManagerAwayAtTheStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "schedulers")
	synctest.Test(t, func(t *testing.T) {
		b := &boss{named: []candidate{{two, 1}, {one, 1}}}
		m, stop := looking(t, func(c *MembershipConfig) { c.Manager, c.File = b, file })
		wantSet(t, m, "an earlier run", one, two)
		stop()
		b.set(true)
		m, stop = looking(t, func(c *MembershipConfig) { c.Manager, c.File = b, file })
		defer stop()
		wantSet(t, m, "from the file", one, two)
		b.set(false, candidate{three, 1})
		began := time.Now()
		changed := m.Changed()
		<-changed
		if took := time.Since(began); took > 7*time.Second {
			t.Errorf("the manager was heard %s after it came back, want within 7s", took)
		}
		wantSet(t, m, "from the manager", three)
	})
}

func TestManagerAMomentBehindIsHeardAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &boss{away: true}
		m, stop := looking(t, func(c *MembershipConfig) { c.Manager = b })
		defer stop()
		time.Sleep(50 * time.Millisecond)
		changed := m.Changed()
		b.set(false, candidate{one, 1})
		began := time.Now()
		<-changed
		if took := time.Since(began); took > 200*time.Millisecond {
			t.Errorf("it took %s, want at most 200ms", took)
		}
	})
}

func TestStaticNamesAreResolvedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		ips := []netip.Addr{netip.MustParseAddr("fd00::1"), two.Addr()}
		m, stop := looking(t, func(c *MembershipConfig) {
			c.Static = []string{"10.0.0.1:8002", "schedulers.example:8002", "gone.example:8002"}
			c.Resolve = func(_ context.Context, host string) ([]netip.Addr, error) {
				mu.Lock()
				defer mu.Unlock()
				if host == "gone.example" {
					return nil, errors.New("no such host")
				}
				return ips, nil
			}
		})
		defer stop()
		wantSet(t, m, "at the start: IPv4 is preferred, a name that is gone costs nobody else", one, two)
		mu.Lock()
		ips = []netip.Addr{three.Addr()}
		mu.Unlock()
		time.Sleep(2 * time.Minute)
		wantSet(t, m, "after the name moved", one, three)
	})
}

func TestStaticAddressesHoldBeforeTheFirstLookAndWhileAllAreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultMembershipConfig()
		cfg.Static = []string{"10.0.0.1:8002"}
		cfg.Health = func(ctx context.Context, _ netip.AddrPort) error { return errors.New("connection refused") }
		m, err := NewMembership(cfg)
		if err != nil {
			t.Fatal(err)
		}
		wantSet(t, m, "before Run", one)
		var told [][]netip.AddrPort // whoever acts on the set must hear of the first as well
		m.cfg.Events.Changed = func(set []netip.AddrPort) { told = append(told, set) }
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_ = m.Run(ctx)
		wantSet(t, m, "after an hour alone", one)
		if len(told) != 1 || !slices.Equal(told[0], []netip.AddrPort{one}) {
			t.Errorf("told of %v, want the static set once", told)
		}
	})
}

func TestASlowHealthCheckIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, stop := looking(t, func(c *MembershipConfig) {
			c.Static = []string{"10.0.0.1:8002", "10.0.0.2:8002"}
			c.Health = func(ctx context.Context, at netip.AddrPort) error {
				if at == two {
					<-ctx.Done()
					return context.Cause(ctx)
				}
				return nil
			}
		})
		defer stop()
		time.Sleep(16 * time.Second)
		wantSet(t, m, "after the limit", one)
	})
}

func TestMembershipRefusesWhatIsNoAddress(t *testing.T) {
	for _, bad := range []string{"", "host", "host:", ":8002", "host:0", "host:99999", "http://host:8002"} {
		cfg := DefaultMembershipConfig()
		cfg.Health = func(context.Context, netip.AddrPort) error { return nil }
		cfg.Static = []string{bad}
		if _, err := NewMembership(cfg); darter.KindOf(err) != darter.Invalid || darter.HintOf(err) == "" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzParseSet(f *testing.F) {
	f.Add([]byte("darter schedulers 1\n10.0.0.5:8002\n[fd00::5]:8002\n"))
	f.Add([]byte("darter schedulers 1\n"))
	f.Add([]byte("darter schedulers 2\n10.0.0.5:8002\n"))
	f.Add([]byte("\x00\xff"))
	f.Fuzz(func(t *testing.T, text []byte) {
		set := parseSet(text)
		if len(set) == 0 {
			return
		}
		file := filepath.Join(t.TempDir(), "set")
		m := &Membership{cfg: MembershipConfig{File: file}}
		m.keep(set)
		again, err := os.ReadFile(file)
		if err != nil || !slices.Equal(parseSet(again), set) {
			t.Errorf("%v was kept as %q", set, again)
		}
	})
}
