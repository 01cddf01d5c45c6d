package control

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/darter-p2p/darter"
)

// fleet are daemons in memory; each fetch takes a second.
type fleet struct {
	hosts []darter.Host
	fail  func(at darter.Target) error
	lie   bool // say that it was fetched, and hold nothing

	mu    sync.Mutex
	held  map[darter.HostID]bool
	tried []darter.HostID
	most  int
	now   int
}

func newFleet(kind darter.HostKind, n byte) *fleet {
	f := &fleet{held: map[darter.HostID]bool{}}
	for i := range n {
		f.hosts = append(f.hosts, darter.Host{ID: darter.HostID([]byte{'a' + i}), Kind: kind, IP: netip.AddrFrom4([4]byte{10, 0, 0, i}), Port: 4000})
	}
	return f
}

func (f *fleet) KnownHosts() []darter.Host { return f.hosts }

func (f *fleet) Fetch(ctx context.Context, to darter.Target, _ darter.Want) (darter.TaskID, int64, error) {
	f.mu.Lock()
	f.now++
	f.most = max(f.most, f.now)
	f.tried = append(f.tried, to.ID)
	f.mu.Unlock()
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now--
	if ctx.Err() != nil {
		return "", 0, ctx.Err()
	}
	if f.fail != nil {
		if err := f.fail(to); err != nil {
			return "", 0, err
		}
	}
	f.held[to.ID] = !f.lie
	return "", 1, nil
}

func (f *fleet) Holds(_ context.Context, at darter.Target, _ darter.TaskID) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held[at.ID], nil
}

func (f *fleet) Drop(context.Context, darter.Target, darter.TaskID) error { return nil }

// carry runs an agent with one order and returns what it has to say, once, at the end.
func carry(t *testing.T, f *fleet, atOnce int, o darter.Order, during func(a *Agent)) darter.OrderReport {
	t.Helper()
	a, err := New(Config{ID: "s", Hosts: f, Daemons: f, AtOnce: atOnce})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	o.Lease = darter.OrderLease{Job: "j", Step: 1, Epoch: 1}
	require.True(t, a.Take(ctx, o))
	require.True(t, a.Take(ctx, o), "the same order twice is one")
	if during != nil {
		during(a)
	}
	time.Sleep(time.Hour)
	synctest.Wait()
	var out darter.OrderReport
	if said := a.Reports(); len(said) > 0 {
		out = said[0]
		require.Empty(t, a.Reports(), "one report is on its way until it is acknowledged")
		a.Broken()
		require.Equal(t, said, a.Reports(), "what was not acknowledged is said again")
		a.Acked(o.Lease, true, false)
		require.Empty(t, a.Held())
	}
	stop()
	require.NoError(t, <-ended)
	return out
}

func preheat(scope darter.Scope) darter.Order {
	return darter.Order{Kind: darter.PreheatFiles, Targets: darter.Targets{Scope: scope}, TasksAtOnce: 8, HostsAtOnce: 500, Timeout: time.Minute,
		Items: []darter.OrderItem{{Number: 3, Task: "0123456789", Want: darter.Want{URL: "http://o/x"}, Done: []uint32{1}}}}
}

func TestEveryHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(darter.Normal, 10)
		f.held["c"] = true
		r := carry(t, f, 4, preheat(darter.AllPeers), nil)
		require.Len(t, r.Hosts, 10)
		require.Len(t, r.Outcomes, 9, "the second host was done before")
		require.True(t, r.Ended)
		require.Equal(t, 4, f.most, "no more at once than the settings say")
		require.NotContains(t, f.tried, darter.HostID("c"), "who holds it is not asked to fetch")
		for _, o := range r.Outcomes {
			require.Equal(t, darter.OrderOutcome{Item: 3, Host: o.Host, Held: o.Host == 2, Bytes: o.Bytes}, o)
		}
	})
}

func TestOneSeedTheNextOneAndNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(darter.Seed, 5)
		order := turn([]darter.Target{{IP: f.hosts[0].IP, Port: 4000}, {IP: f.hosts[1].IP, Port: 4000}, {IP: f.hosts[2].IP, Port: 4000}, {IP: f.hosts[3].IP, Port: 4000}, {IP: f.hosts[4].IP, Port: 4000}}, "0123456789")
		first := f.hosts[order[0]].ID
		f.fail = func(at darter.Target) error {
			if at.ID == first {
				return &Failed{Class: darter.FailedConnect, Err: errors.New("refused")}
			}
			return nil
		}
		r := carry(t, f, 8, preheat(darter.OneSeed), nil)
		require.Len(t, r.Outcomes, 2)
		require.Equal(t, darter.FailedConnect, r.Outcomes[0].Failure)
		require.Equal(t, darter.OrderOutcome{Item: 3, Host: order[1], Bytes: 1}, r.Outcomes[1])

		f = newFleet(darter.Seed, 5)
		f.fail = func(darter.Target) error { return &Failed{Class: darter.Failed404, Err: errors.New("no such file")} }
		r = carry(t, f, 8, preheat(darter.OneSeed), nil)
		require.Len(t, r.Outcomes, 1, "another seed would hear the same")
	})
}

func TestAHostThatLiesIsNotDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(darter.Normal, 1)
		f.lie = true
		o := preheat(darter.AllPeers)
		o.Items[0].Done = nil
		r := carry(t, f, 8, o, nil)
		require.Equal(t, darter.FailedUnchecked, r.Outcomes[0].Failure)
	})
}

func TestWordsEndTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease := darter.OrderLease{Job: "j", Step: 1, Epoch: 1}
		f := newFleet(darter.Normal, 6)
		r := carry(t, f, 2, preheat(darter.AllPeers), func(a *Agent) {
			time.Sleep(1500 * time.Millisecond)
			a.Word(lease, false)
		})
		require.True(t, r.Released)
		require.False(t, r.Ended)
		require.Len(t, r.Outcomes, 2, "what was done is told, what was cut off is neither done nor failed")
		require.Len(t, f.tried, 4)

		f = newFleet(darter.Normal, 6)
		r = carry(t, f, 2, preheat(darter.AllPeers), func(a *Agent) {
			time.Sleep(1500 * time.Millisecond)
			a.Word(lease, true)
			require.Empty(t, a.Held())
		})
		require.Zero(t, r, "nothing is said of a lost lease")
	})
}

func TestADownloadHasATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := preheat(darter.AllPeers)
		o.Timeout = 500 * time.Millisecond
		r := carry(t, newFleet(darter.Normal, 1), 8, o, nil)
		require.Equal(t, darter.FailedTimeout, r.Outcomes[0].Failure)
	})
}

func TestHostsSyncAndUnknownKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(darter.Normal, 3)
		r := carry(t, f, 8, darter.Order{Kind: darter.SyncHosts}, nil)
		require.Equal(t, f.hosts, r.Found)
		require.Equal(t, []darter.OrderOutcome{{}}, r.Outcomes)
		require.Equal(t, darter.HostID("s"), r.Hosts[0].ID)
		r = carry(t, f, 8, darter.Order{Kind: "brew.coffee"}, nil)
		require.Equal(t, darter.FailedInvalid, r.Failure)
	})
}

func TestTurnIsAnotherForEveryTask(t *testing.T) {
	var hosts []darter.Target
	for i := range byte(8) {
		hosts = append(hosts, darter.Target{IP: netip.AddrFrom4([4]byte{10, 0, 0, i}), Port: 4000})
	}
	first := map[uint32]bool{}
	for i := range byte(100) {
		order := turn(hosts, darter.TaskID([]byte{'0' + i%10, '0' + i/10, 'x', 'y', 'z', 'w'}))
		require.Len(t, order, 8)
		require.Len(t, slices.Compact(slices.Sorted(slices.Values(order))), 8)
		first[order[0]] = true
	}
	require.Greater(t, len(first), 4)
}
