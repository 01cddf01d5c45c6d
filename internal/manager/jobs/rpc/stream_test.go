package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
	"github.com/darter-p2p/darter/internal/manager/jobs"
	"github.com/darter-p2p/darter/internal/manager/jobs/rpc"
	"github.com/darter-p2p/darter/internal/scheduler/control"
	controlrpc "github.com/darter-p2p/darter/internal/scheduler/control/rpc"
)

type clusters []uint64

func (c clusters) ClusterIDs(context.Context) ([]uint64, error) { return c, nil }

// fleet is a set of daemons in memory.
type fleet struct {
	hosts []darter.Host
	gate  chan struct{} // fetches wait for it when it is there
	began chan struct{} // and say so
	cut   chan struct{} // as do those that are cut off

	mu      sync.Mutex
	held    map[string]bool
	fetched map[string]int
	ended   int // fetches that were cut off
	fail    func(host darter.HostID, url string) error
}

func newFleet(hosts int) *fleet {
	f := &fleet{held: map[string]bool{}, fetched: map[string]int{}, began: make(chan struct{}, 1000), cut: make(chan struct{}, 1000)}
	for i := range hosts {
		f.hosts = append(f.hosts, darter.Host{ID: darter.HostID(fmt.Sprintf("h%d", i)), Hostname: fmt.Sprintf("h%d", i),
			IP: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), Port: 4000, Cluster: 1})
	}
	return f
}

func (f *fleet) KnownHosts() []darter.Host { return f.hosts }

func (f *fleet) Fetch(ctx context.Context, to darter.Target, w darter.Want) (darter.TaskID, int64, error) {
	if f.gate != nil {
		f.began <- struct{}{}
		select {
		case <-f.gate:
		case <-ctx.Done():
			f.mu.Lock()
			defer f.mu.Unlock()
			f.ended++
			f.cut <- struct{}{}
			return "", 0, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fetched[string(to.ID)+" "+w.URL]++
	if f.fail != nil {
		if err := f.fail(to.ID, w.URL); err != nil {
			return "", 0, err
		}
	}
	f.held[string(to.ID)+" "+w.URL] = true
	return darter.TaskID(w.URL), 7, nil // the fleet names tasks by their URLs
}

func (f *fleet) Holds(_ context.Context, at darter.Target, task darter.TaskID) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held[string(at.ID)+" "+string(task)], nil
}

func (f *fleet) Drop(_ context.Context, at darter.Target, task darter.TaskID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.held, string(at.ID)+" "+string(task))
	return nil
}

// manager is one that can be killed and started again on the same database.
type manager struct {
	t      *testing.T
	db     *database.DB
	engine *jobs.Engine
	stop   func()
}

// front is where schedulers find whichever manager runs.
type front struct {
	mu sync.Mutex
	at *bufconn.Listener
}

func (f *front) dial(context.Context) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///manager", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.at == nil {
				return nil, errors.New("no manager runs")
			}
			return f.at.DialContext(ctx)
		}))
}

func start(t *testing.T, db *database.DB, f *front, name string) *manager {
	t.Helper()
	cfg := jobs.DefaultConfig()
	cfg.DB, cfg.Replica, cfg.Clusters, cfg.Poll = db, name, clusters{1}, 50*time.Millisecond
	engine, err := jobs.New(cfg)
	require.NoError(t, err)
	s, err := rpc.New(rpc.Config{Engine: engine, Poll: 50 * time.Millisecond, Heartbeat: 200 * time.Millisecond})
	require.NoError(t, err)
	g := grpc.NewServer()
	s.Register(g)
	listener := bufconn.Listen(1 << 20)
	ctx, cancel := context.WithCancel(t.Context())
	var group errgroup.Group
	group.Go(func() error { return engine.Run(ctx) })
	group.Go(func() error { return g.Serve(listener) })
	f.mu.Lock()
	f.at = listener
	f.mu.Unlock()
	var once sync.Once
	m := &manager{t: t, db: db, engine: engine}
	m.stop = func() {
		once.Do(func() {
			f.mu.Lock()
			f.at = nil
			f.mu.Unlock()
			g.Stop() // cuts streams off, as a kill does
			cancel()
			_ = group.Wait()
		})
	}
	t.Cleanup(m.stop)
	return m
}

func attach(t *testing.T, f *front, fleet *fleet, slots uint32) (stop func()) {
	t.Helper()
	agent, err := control.New(control.Config{ID: "s1", Hosts: fleet, Daemons: fleet})
	require.NoError(t, err)
	link, err := controlrpc.New(controlrpc.Config{Agent: agent, Dial: f.dial, Cluster: 1, Slots: slots, Report: 20 * time.Millisecond,
		First: 10 * time.Millisecond, Most: 100 * time.Millisecond})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var group errgroup.Group
	group.Go(func() error { return link.Run(ctx) })
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); require.NoError(t, group.Wait()) }) }
	t.Cleanup(stop)
	return stop
}

func (m *manager) enqueue(q jobs.Request) darter.JobID {
	m.t.Helper()
	q.Owner = "me"
	var out jobs.Enqueued
	require.NoError(m.t, m.db.Write(m.t.Context(), func(ctx context.Context, tx *database.Tx) (err error) {
		out, err = m.engine.Enqueue(ctx, tx, q)
		return err
	}))
	return out.ID
}

// until follows a job's story to a state, or to its end.
func (m *manager) until(id darter.JobID, states ...darter.JobState) jobs.Job {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 30*time.Second)
	defer cancel()
	for _, err := range m.engine.Watch(ctx, id, 0) {
		require.NoError(m.t, err)
		j, err := m.engine.Get(ctx, id)
		require.NoError(m.t, err)
		for _, s := range states {
			if j.State == s {
				return j
			}
		}
	}
	j, err := m.engine.Get(m.t.Context(), id)
	require.NoError(m.t, err)
	return j
}

func everywhere(urls ...string) jobs.Request {
	return jobs.Request{Kind: darter.PreheatFiles, Spec: jobs.Spec{URLs: urls, Targets: darter.Targets{Scope: darter.AllPeers}}}
}

func each(t *testing.T, test func(t *testing.T, db *database.DB)) {
	t.Helper()
	databasetest.Each(t, test, jobs.Tables())
}

func TestAPreheatOverTheStream(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB) {
		f, fleet := &front{}, newFleet(3)
		m := start(t, db, f, "m1")
		attach(t, f, fleet, 4)
		fleet.fail = func(host darter.HostID, url string) error {
			if host == "h1" && url == "http://o/b" {
				return &control.Failed{Class: darter.Failed404, Err: errors.New("the origin says 404")}
			}
			return nil
		}
		j := m.until(m.enqueue(everywhere("http://o/a")))
		require.Equal(t, darter.JobSucceeded, j.State, j.Text)
		require.EqualValues(t, 3, j.Tally.Done)
		require.EqualValues(t, 21, j.Tally.Bytes)
		j = m.until(m.enqueue(everywhere("http://o/b", "http://o/c")))
		require.Equal(t, darter.JobPartial, j.State)
		require.Equal(t, darter.Failed404, j.Failure)
		require.EqualValues(t, 5, j.Tally.Done)
		failed, err := m.engine.Failures(t.Context(), j.ID, nil, 10)
		require.NoError(t, err)
		require.Len(t, failed, 1)
		require.Equal(t, darter.HostID("h1"), failed[0].HostID)

		workers, err := m.engine.Workers(t.Context(), 1)
		require.NoError(t, err)
		require.Len(t, workers, 1)
		require.Equal(t, "s1", workers[0].ID)
	})
}

func TestLocateAndPurge(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB) {
		f, fleet := &front{}, newFleet(4)
		m := start(t, db, f, "m1")
		attach(t, f, fleet, 4)
		fleet.held["h1 task"], fleet.held["h3 task"] = true, true
		locate := jobs.Request{Kind: darter.LocateTask, Spec: jobs.Spec{TaskID: "task"}}
		j := m.until(m.enqueue(locate))
		require.Equal(t, darter.JobSucceeded, j.State, j.Text)
		items, err := m.engine.Items(t.Context(), j.ID, 1, 0, 10)
		require.NoError(t, err)
		require.Equal(t, []uint32{1, 3}, items[0].Held)
		purge := locate
		purge.Kind = darter.PurgeTask
		require.Equal(t, darter.JobSucceeded, m.until(m.enqueue(purge)).State)
		j = m.until(m.enqueue(locate))
		items, err = m.engine.Items(t.Context(), j.ID, 1, 0, 10)
		require.NoError(t, err)
		require.Empty(t, items[0].Held)
	})
}

// Fifty preheats run when the manager dies. Another one starts; the scheduler, which worked on, tells it what it missed:
// nothing is lost and nothing is fetched twice.
func TestFiftyPreheatsSurviveTheManager(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB) {
		f, fleet := &front{}, newFleet(3)
		fleet.gate = make(chan struct{})
		m := start(t, db, f, "m1")
		attach(t, f, fleet, 64)
		var ids []darter.JobID
		for i := range 50 {
			ids = append(ids, m.enqueue(everywhere(fmt.Sprintf("http://o/%d/a", i), fmt.Sprintf("http://o/%d/b", i))))
		}
		for _, id := range ids {
			require.Equal(t, darter.JobRunning, m.until(id, darter.JobRunning).State)
		}
		for range 40 {
			fleet.gate <- struct{}{}
		}
		m.stop()
		for range 40 { // the scheduler goes on alone
			fleet.gate <- struct{}{}
		}
		m = start(t, db, f, "m2")
		close(fleet.gate)
		for _, id := range ids {
			j := m.until(id)
			require.Equal(t, darter.JobSucceeded, j.State, j.Text)
			require.EqualValues(t, 6, j.Tally.Done)
			steps, err := m.engine.Steps(t.Context(), id)
			require.NoError(t, err)
			require.EqualValues(t, 1, steps[1].Attempt, "nobody took the work from the scheduler")
		}
		require.Len(t, fleet.fetched, 300)
		for what, n := range fleet.fetched {
			require.Equal(t, 1, n, what)
		}
	})
}

func TestCancelReachesTheDaemons(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB) {
		f, fleet := &front{}, newFleet(5)
		fleet.gate = make(chan struct{})
		m := start(t, db, f, "m1")
		attach(t, f, fleet, 4)
		id := m.enqueue(everywhere("http://o/a"))
		for range 5 {
			<-fleet.began
		}
		fleet.gate <- struct{}{}
		require.NoError(t, db.Write(t.Context(), func(ctx context.Context, tx *database.Tx) error { return m.engine.Cancel(ctx, tx, "me", id) }))
		j := m.until(id)
		require.Equal(t, darter.JobCanceled, j.State)
		require.Equal(t, 4, fleet.ended)
		require.EqualValues(t, 1, j.Tally.Done, "what was done before counts")
	})
}

func TestPauseAndResumeOverTheStream(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB) {
		f, fleet := &front{}, newFleet(3)
		fleet.gate = make(chan struct{})
		m := start(t, db, f, "m1")
		attach(t, f, fleet, 4)
		id := m.enqueue(everywhere("http://o/a"))
		for range 3 {
			<-fleet.began
		}
		fleet.gate <- struct{}{}
		require.NoError(t, db.Write(t.Context(), func(ctx context.Context, tx *database.Tx) error { return m.engine.Pause(ctx, tx, "me", id) }))
		for range 2 {
			<-fleet.cut
		}
		close(fleet.gate)
		require.NoError(t, db.Write(t.Context(), func(ctx context.Context, tx *database.Tx) error { return m.engine.Resume(ctx, tx, "me", id) }))
		j := m.until(id)
		require.Equal(t, darter.JobSucceeded, j.State, j.Text)
		require.Len(t, fleet.fetched, 3)
	})
}

// A scheduler that stops gives its work back, and no attempt is counted.
func TestASchedulerThatStopsGivesBack(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB) {
		f, fleet := &front{}, newFleet(2)
		fleet.gate = make(chan struct{})
		m := start(t, db, f, "m1")
		stop := attach(t, f, fleet, 4)
		id := m.enqueue(everywhere("http://o/a"))
		<-fleet.began
		stop()
		steps, err := m.engine.Steps(t.Context(), id)
		require.NoError(t, err)
		require.Zero(t, steps[1].Attempt)
		close(fleet.gate)
		attach(t, f, fleet, 4)
		require.Equal(t, darter.JobSucceeded, m.until(id).State)
	})
}
