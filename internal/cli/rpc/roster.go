package rpc

import (
	"context"
	"errors"
	"io"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/cli"
)

// HostTable implements cli.Roster.
func (s *Scheduler) HostTable(ctx context.Context) ([]darter.HostStatus, error) {
	stream, err := s.roster.HostTable(ctx, &darterv1.HostTableRequest{})
	if err != nil {
		return nil, fromRoster("list hosts", err)
	}
	var out []darter.HostStatus
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fromRoster("list hosts", err)
		}
		h, err := wire.ToHostStatus(m)
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
}

// HostStatus implements cli.Roster.
func (s *Scheduler) HostStatus(ctx context.Context, id darter.HostID) (darter.HostStatus, error) {
	m, err := s.roster.ShowHost(ctx, &darterv1.ShowHostRequest{HostId: string(id)})
	if err != nil {
		return darter.HostStatus{}, fromRoster("show host", err)
	}
	return wire.ToHostStatus(m)
}

// HostEvents implements cli.Roster.
func (s *Scheduler) HostEvents(ctx context.Context, id darter.HostID, after uint64, follow bool, each func(darter.HostEvent) error) error {
	stream, err := s.roster.HostEvents(ctx, &darterv1.HostEventsRequest{HostId: string(id), After: after, Follow: follow})
	if err != nil {
		return fromRoster("show events", err)
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fromRoster("show events", err)
		}
		e, err := wire.ToHostEvent(m)
		if err != nil {
			return err
		}
		if err := each(e); err != nil {
			return err
		}
	}
}

// Zones implements cli.Roster.
func (s *Scheduler) Zones(ctx context.Context) ([]darter.ZoneStatus, float64, error) {
	m, err := s.roster.ListZones(ctx, &darterv1.ListZonesRequest{})
	if err != nil {
		return nil, 0, fromRoster("list zones", err)
	}
	out := make([]darter.ZoneStatus, 0, len(m.GetZones()))
	for _, z := range m.GetZones() {
		out = append(out, wire.ToZoneStatus(z))
	}
	return out, m.GetSelfHealth(), nil
}

// Policy implements cli.Roster.
func (s *Scheduler) Policy(ctx context.Context) (darter.PolicyStatus, error) {
	m, err := s.roster.ShowPolicy(ctx, &darterv1.ShowPolicyRequest{})
	if err != nil {
		return darter.PolicyStatus{}, fromRoster("show policy", err)
	}
	return wire.ToPolicyStatus(m), nil
}

func fromRoster(op string, err error) error {
	if status.Code(err) == codes.Unimplemented {
		return &darter.Error{Kind: darter.NotFound, Op: op, Err: cli.ErrPlainScheduler}
	}
	return wire.FromStatus(op, err)
}

// Operator is a scheduler behind its own socket.
type Operator struct {
	conn   *grpc.ClientConn
	client darterv1.OperatorClient
}

// OpenOperator reaches the scheduler behind a unix socket. When none listens there, it is darter.Unavailable at once.
func OpenOperator(ctx context.Context, path string) (*Operator, error) {
	dial := net.Dialer{Timeout: connectLimit}
	first, err := dial.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, &darter.Error{Kind: darter.Unavailable, Op: "reach the scheduler at " + path, Err: err,
			Hint: "orders are taken on the scheduler's own machine, by its user: name its socket with --operator-socket"}
	}
	_ = first.Close() // it only proved that somebody listens
	conn, err := grpc.NewClient("passthrough:///scheduler", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dial.DialContext(ctx, "unix", path) }))
	if err != nil {
		return nil, &darter.Error{Kind: darter.Internal, Op: "reach the scheduler at " + path, Err: err}
	}
	return &Operator{conn: conn, client: darterv1.NewOperatorClient(conn)}, nil
}

// Close ends the connection.
func (o *Operator) Close() error { return o.conn.Close() }

// DrainHost implements cli.Operator.
func (o *Operator) DrainHost(ctx context.Context, id darter.HostID, undo bool, why string) (darter.HostStatus, error) {
	m, err := o.client.DrainHost(ctx, &darterv1.DrainHostRequest{HostId: string(id), Undo: undo, Reason: why})
	if err != nil {
		return darter.HostStatus{}, wire.FromStatus("drain host "+string(id), err)
	}
	return wire.ToHostStatus(m)
}

// ForgetHost implements cli.Operator.
func (o *Operator) ForgetHost(ctx context.Context, id darter.HostID, force bool, why string) (darter.HostStatus, error) {
	m, err := o.client.ForgetHost(ctx, &darterv1.ForgetHostRequest{HostId: string(id), Force: force, Reason: why})
	if err != nil {
		return darter.HostStatus{}, wire.FromStatus("forget host "+string(id), err)
	}
	return wire.ToHostStatus(m)
}

// ReleaseZone implements cli.Operator.
func (o *Operator) ReleaseZone(ctx context.Context, zone string, confirm bool, lift time.Duration, why string) (darter.ZoneStatus, error) {
	m, err := o.client.ReleaseZone(ctx, &darterv1.ReleaseZoneRequest{Zone: zone, Confirm: confirm, Lift: durationpb.New(lift), Reason: why})
	if err != nil {
		return darter.ZoneStatus{}, wire.FromStatus("release zone "+zone, err)
	}
	return wire.ToZoneStatus(m), nil
}
