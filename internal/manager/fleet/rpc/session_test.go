package rpc

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/database/databasetest"
	"github.com/darter-p2p/darter/internal/manager/fleet"
)

// notebook is a Book in memory that writes down what it is told, in order.
type notebook struct {
	mu    sync.Mutex
	lines []string
	seen  map[darter.HostID]bool
	wrote chan string
}

func (n *notebook) note(line string) {
	n.mu.Lock()
	n.lines = append(n.lines, line)
	n.mu.Unlock()
	n.wrote <- line
}

func (n *notebook) See(_ context.Context, scheduler string, _ uint64, hosts []darter.HostStatus) error {
	for _, h := range hosts {
		n.mu.Lock()
		n.seen[h.Host.ID] = !h.Gone
		n.mu.Unlock()
		n.note(scheduler + " " + string(h.Host.ID) + " " + h.Verdict.String())
	}
	return nil
}

func (n *notebook) Vouch(_ context.Context, scheduler string) error {
	n.note(scheduler + " vouches")
	return nil
}

func (n *notebook) Seen(context.Context, string) (out []darter.HostID, _ error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, there := range n.seen {
		if there {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out, nil
}

// open serves on a file of its own and returns a stream.
func open(t *testing.T) (*notebook, *fleet.Orders, darterv1.Hosts_TellClient, *Server) {
	t.Helper()
	n := &notebook{seen: map[darter.HostID]bool{}, wrote: make(chan string, 100)}
	orders := fleet.New(databasetest.Open(t, databasetest.File(t), fleet.Migrations()))
	s := New(Config{Book: n, Orders: orders})
	g, door := grpc.NewServer(), bufconn.Listen(1<<16)
	s.Register(g)
	var serving errgroup.Group
	serving.Go(func() error { return g.Serve(door) })
	conn, err := grpc.NewClient("passthrough:///m", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return door.DialContext(ctx) }))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		g.Stop()
		require.NoError(t, serving.Wait())
	})
	stream, err := darterv1.NewHostsClient(conn).Tell(t.Context())
	require.NoError(t, err)
	return n, orders, stream, s
}

func hosts(verdict darter.Verdict, ids ...darter.HostID) (out []*darterv1.HostStatus) {
	for _, id := range ids {
		out = append(out, wire.FromHostStatus(darter.HostStatus{Host: darter.Host{ID: id, Hostname: string(id), Epoch: 1}, Verdict: verdict}))
	}
	return out
}

func TestOnlyWhatDiffersIsWrittenAndTwoAbsencesCount(t *testing.T) {
	n, _, stream, _ := open(t)
	say := func(m *darterv1.HostsReport, want ...string) {
		t.Helper()
		require.NoError(t, stream.Send(m))
		for _, w := range want {
			require.Equal(t, w, <-n.wrote)
		}
	}
	require.NoError(t, stream.Send(&darterv1.HostsReport{SchedulerId: "s1", ClusterId: 1}))
	require.Equal(t, "s1 vouches", <-n.wrote)
	say(&darterv1.HostsReport{Hosts: hosts(darter.Alive, "a", "b")}, "s1 a alive", "s1 b alive")
	say(&darterv1.HostsReport{Hosts: hosts(darter.Alive, "c"), Whole: true}, "s1 c alive", "s1 vouches")
	say(&darterv1.HostsReport{Hosts: hosts(darter.Suspect, "b")}, "s1 b suspect")
	say(&darterv1.HostsReport{}, "s1 vouches")
	say(&darterv1.HostsReport{Hosts: append(hosts(darter.Alive, "a"), hosts(darter.Suspect, "b")...), Whole: true}, "s1 vouches") // c is missing, once
	say(&darterv1.HostsReport{Hosts: hosts(darter.Alive, "a"), Whole: true}, "s1 c forgotten", "s1 vouches")                      // c again; b once
	say(&darterv1.HostsReport{Hosts: hosts(darter.Alive, "a", "b"), Whole: true}, "s1 b alive", "s1 vouches")                     // b is back in time
	say(&darterv1.HostsReport{Hosts: hosts(darter.Alive, "a"), Whole: true}, "s1 vouches")
}

func TestOrdersReachTheSchedulerAndAreAnswered(t *testing.T) {
	n, orders, stream, s := open(t)
	require.NoError(t, stream.Send(&darterv1.HostsReport{SchedulerId: "s1", ClusterId: 1}))
	<-n.wrote
	id, err := orders.Give(t.Context(), fleet.Order{Verb: fleet.Undrain, Whom: "h1", Reason: "done"})
	require.NoError(t, err)
	m, err := stream.Recv()
	require.NoError(t, err)
	require.Equal(t, id, m.GetId())
	require.True(t, m.GetDrain().GetUndo())
	require.Equal(t, "h1", m.GetDrain().GetHostId())
	require.NoError(t, stream.Send(&darterv1.HostsReport{Answers: []*darterv1.HostsAnswer{{Id: id, Error: "there is no such host"}}}))
	require.NoError(t, stream.Send(&darterv1.HostsReport{}))
	<-n.wrote
	_, said, err := orders.Show(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, said, 1)
	require.Equal(t, "there is no such host", said[0].Error)
	s.Stop()
	_, err = stream.Recv()
	require.Equal(t, codes.Unavailable, status.Code(err))
}

func TestStrangersAreRefused(t *testing.T) {
	for name, first := range map[string]*darterv1.HostsReport{"nobody": {ClusterId: 1}, "no cluster": {SchedulerId: "s1"},
		"a host without a name": {SchedulerId: "s1", ClusterId: 1, Hosts: hosts(darter.Alive, "")}} {
		_, _, stream, _ := open(t)
		require.NoError(t, stream.Send(first))
		_, err := stream.Recv()
		require.Equal(t, codes.InvalidArgument, status.Code(err), name)
	}
}
