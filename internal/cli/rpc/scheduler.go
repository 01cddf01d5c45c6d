package rpc

import (
	"context"

	schedulerv2 "d7y.io/api/v2/pkg/apis/scheduler/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/cli"
)

// Scheduler is a scheduler asked from outside.
type Scheduler struct {
	conn   *grpc.ClientConn
	client schedulerv2.SchedulerClient
	roster darterv1.RosterClient
}

// OpenScheduler prepares to ask the scheduler at host:port. The first question connects.
func OpenScheduler(_ context.Context, address string) (*Scheduler, error) {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(256<<20)))
	if err != nil {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "reach the scheduler at " + address, Err: err, Hint: "write it as HOST:PORT"}
	}
	return &Scheduler{conn: conn, client: schedulerv2.NewSchedulerClient(conn), roster: darterv1.NewRosterClient(conn)}, nil
}

// Close ends the connection.
func (s *Scheduler) Close() error { return s.conn.Close() }

// Hosts implements cli.Cluster.
func (s *Scheduler) Hosts(ctx context.Context) ([]darter.Host, error) {
	r, err := s.client.ListHosts(ctx, &schedulerv2.ListHostsRequest{})
	if err != nil {
		return nil, wire.FromStatus("list hosts", err)
	}
	out := make([]darter.Host, 0, len(r.GetHosts()))
	for _, m := range r.GetHosts() {
		h, err := wire.ToHost(m)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

// Task implements cli.Cluster.
func (s *Scheduler) Task(ctx context.Context, id darter.TaskID) (cli.ClusterTask, error) {
	m, err := s.client.StatTask(ctx, &schedulerv2.StatTaskRequest{HostId: "darter-cli", TaskId: string(id)})
	if err != nil {
		return cli.ClusterTask{}, wire.FromStatus("show task", err)
	}
	return cli.ClusterTask{ID: darter.TaskID(m.GetId()), URL: m.GetUrl(), State: m.GetState(), Length: int64(m.GetContentLength()),
		Pieces: m.GetPieceCount(), Peers: m.GetPeerCount(), Available: m.GetHasAvailablePeer(),
		Created: wire.ToTime(m.GetCreatedAt()), Updated: wire.ToTime(m.GetUpdatedAt())}, nil
}
