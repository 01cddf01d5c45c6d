package rpc_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	dfdaemonv2 "d7y.io/api/v2/pkg/apis/dfdaemon/v2"
	schedulerv2 "d7y.io/api/v2/pkg/apis/scheduler/v2"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/jobs"
	"github.com/darter-p2p/darter/internal/manager/jobs/rpc"
)

// dragonfly is a plain scheduler, and all daemons behind it: it takes a preheat at once, says nothing of its end, and shows
// a host as holding a file when somebody asks for the second time.
type dragonfly struct {
	hosts []darter.Host

	mu       sync.Mutex
	asked    map[string]int  // preheats, by URL
	scopes   []string        // as asked for
	ips      []string        // of the last preheat
	never    map[string]bool // hosts that never get anything
	dropped  int
	taskHeld bool
}

func (d *dragonfly) ListHosts(context.Context, *schedulerv2.ListHostsRequest) (*schedulerv2.ListHostsResponse, error) {
	out := &schedulerv2.ListHostsResponse{}
	for _, h := range d.hosts {
		out.Hosts = append(out.Hosts, wire.FromHost(h))
	}
	out.Hosts = append(out.Hosts, &commonv2.Host{Id: "odd", Ip: "not an address"})
	return out, nil
}

func (d *dragonfly) PreheatFile(_ context.Context, m *schedulerv2.PreheatFileRequest) (*emptypb.Empty, error) {
	if err := m.Validate(); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked[m.GetUrl()]++
	d.scopes, d.ips = append(d.scopes, m.GetScope()), m.GetIps()
	return &emptypb.Empty{}, nil
}

func (d *dragonfly) StatFile(_ context.Context, m *schedulerv2.StatFileRequest) (*schedulerv2.StatFileResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := &schedulerv2.StatFileResponse{}
	yes := true
	for _, h := range d.hosts {
		if d.asked[m.GetUrl()] > 0 && !d.never[h.Hostname] {
			out.Peers = append(out.Peers, &schedulerv2.PeerFile{Ip: h.IP.String(), Hostname: h.Hostname, CachedFiles: []*schedulerv2.File{{Url: m.GetUrl(), IsFinished: &yes}}})
		}
	}
	return out, nil
}

func (d *dragonfly) StatLocalTask(_ context.Context, m *dfdaemonv2.StatLocalTaskRequest) (*dfdaemonv2.StatLocalTaskResponse, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.taskHeld {
		return nil, status.Error(codes.NotFound, "no")
	}
	return &dfdaemonv2.StatLocalTaskResponse{TaskId: m.GetTaskId(), FinishedAt: timestamppb.Now()}, nil
}

func (d *dragonfly) DeleteTask(context.Context, *dfdaemonv2.DeleteTaskRequest) (*emptypb.Empty, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dropped++
	d.taskHeld = false
	return &emptypb.Empty{}, nil
}

// scheduling is the scheduler's half: both services have a DeleteTask.
type scheduling struct {
	schedulerv2.UnimplementedSchedulerServer
	d *dragonfly
}

func (s scheduling) ListHosts(ctx context.Context, m *schedulerv2.ListHostsRequest) (*schedulerv2.ListHostsResponse, error) {
	return s.d.ListHosts(ctx, m)
}
func (s scheduling) PreheatFile(ctx context.Context, m *schedulerv2.PreheatFileRequest) (*emptypb.Empty, error) {
	return s.d.PreheatFile(ctx, m)
}
func (s scheduling) StatFile(ctx context.Context, m *schedulerv2.StatFileRequest) (*schedulerv2.StatFileResponse, error) {
	return s.d.StatFile(ctx, m)
}

type serving struct {
	dfdaemonv2.UnimplementedDfdaemonUploadServer
	d *dragonfly
}

func (s serving) StatLocalTask(ctx context.Context, m *dfdaemonv2.StatLocalTaskRequest) (*dfdaemonv2.StatLocalTaskResponse, error) {
	return s.d.StatLocalTask(ctx, m)
}
func (s serving) DeleteTask(ctx context.Context, m *dfdaemonv2.DeleteTaskRequest) (*emptypb.Empty, error) {
	return s.d.DeleteTask(ctx, m)
}

type plainList map[uint64][]netip.AddrPort

func (p plainList) PlainSchedulers(context.Context) (map[uint64][]netip.AddrPort, error) {
	out := map[uint64][]netip.AddrPort{}
	for k, v := range p {
		out[k] = v
	}
	return out, nil
}

// bridge starts a plain scheduler with hosts, and a bridge to it.
func bridge(t *testing.T, m *manager, hosts int) *dragonfly {
	t.Helper()
	d := &dragonfly{asked: map[string]int{}, never: map[string]bool{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	at := netip.MustParseAddrPort(listener.Addr().String())
	for i := range hosts {
		d.hosts = append(d.hosts, darter.Host{ID: darter.HostID(fmt.Sprint("p", i)), Hostname: fmt.Sprint("p", i), IP: at.Addr(), Port: at.Port(), DownloadPort: at.Port(), Cluster: 1})
	}
	g := grpc.NewServer()
	schedulerv2.RegisterSchedulerServer(g, scheduling{d: d})
	dfdaemonv2.RegisterDfdaemonUploadServer(g, serving{d: d})
	b, err := rpc.NewBridge(rpc.BridgeConfig{Engine: m.engine, Owner: "bridge", Schedulers: plainList{1: {at}}, Look: 20 * time.Millisecond, Poll: 10 * time.Millisecond,
		Error: func(what string, err error) { t.Logf("%s: %v", what, err) }})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var group errgroup.Group
	group.Go(func() error { return g.Serve(listener) })
	group.Go(func() error { return b.Run(ctx) })
	t.Cleanup(func() { cancel(); g.Stop(); _ = group.Wait() })
	return d
}

func TestAPlainSchedulerIsDriven(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB) {
		m := start(t, db, &front{}, "m1")
		d := bridge(t, m, 3)
		q := everywhere("http://o/a", "http://o/b")
		j := m.until(m.enqueue(q))
		require.Equal(t, darter.JobSucceeded, j.State, j.Text)
		require.EqualValues(t, 6, j.Tally.Done)
		require.Equal(t, map[string]int{"http://o/a": 1, "http://o/b": 1}, d.asked)
		require.Equal(t, []string{"all_peers", "all_peers"}, d.scopes)

		require.Len(t, d.ips, 3, "the hosts that are counted are the hosts that are asked")
		d.never["p2"] = true
		q = everywhere("http://o/c")
		q.MaxAttempts, q.Spec.Timeout = 1, time.Second
		j = m.until(m.enqueue(q))
		require.Equal(t, darter.JobPartial, j.State, "one host never shows it")
		require.Equal(t, darter.FailedTimeout, j.Failure)

		d.taskHeld = true
		j = m.until(m.enqueue(jobs.Request{Kind: darter.PurgeTask, Spec: jobs.Spec{TaskID: "x"}}))
		require.Equal(t, darter.JobSucceeded, j.State, j.Text)
		require.Equal(t, 3, d.dropped)
	})
}

// Where our own scheduler is attached, the plain ones of its cluster are left alone.
func TestOurOwnSchedulerGoesFirst(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB) {
		f, fleet := &front{}, newFleet(1)
		m := start(t, db, f, "m1")
		attach(t, f, fleet, 4)
		require.Equal(t, darter.JobSucceeded, m.until(m.enqueue(everywhere("http://o/first"))).State) // it is attached now
		d := bridge(t, m, 3)
		require.Equal(t, darter.JobSucceeded, m.until(m.enqueue(everywhere("http://o/second"))).State)
		require.Empty(t, d.asked)
	})
}
