package rpc

import (
	"context"
	"errors"
	"fmt"
	"time"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	dfdaemonv2 "d7y.io/api/v2/pkg/apis/dfdaemon/v2"
	"google.golang.org/grpc/metadata"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/store"
)

// SyncPieces tells a child which of the pieces it is interested in are here, each once, as they come. It ends
// when all were told, or no more can come; with an error when the task is removed or its download
// here failed.
func (u *Upload) SyncPieces(m *dfdaemonv2.SyncPiecesRequest, stream dfdaemonv2.DfdaemonUpload_SyncPiecesServer) error {
	return wire.Status(u.syncPieces(m, stream))
}

func (u *Upload) syncPieces(m *dfdaemonv2.SyncPiecesRequest, stream dfdaemonv2.DfdaemonUpload_SyncPiecesServer) error {
	id, wanted, err := interest(m)
	if err != nil {
		return err
	}
	ctx := stream.Context()
	// Listening begins before the task is looked at, so that no failure falls between.
	failed := make(chan error, 1)
	defer u.cfg.Tasks.OnFailure(id, func(err error) {
		select {
		case failed <- err:
		default:
		}
	})()
	task, err := u.appear(ctx, id)
	if err != nil {
		return err
	}
	version := task.Meta().Version
	if asked := first(metadata.ValueFromIncomingContext(ctx, wire.MetaVersion)); asked != "" && version != "" && asked != version {
		return &darter.Error{Kind: darter.Conflict, Op: "sync pieces of " + id.Short(),
			Err: fmt.Errorf("this host holds version %q, not %q", version, asked)}
	}
	header := metadata.Pairs(wire.MetaNative, "1", wire.MetaRelay, "1")
	if version != "" {
		header.Set(wire.MetaVersion, version)
	}
	if err := stream.SendHeader(header); err != nil {
		return err
	}
	t := &telling{stream: stream, task: task, wanted: wanted, relay: len(metadata.ValueFromIncomingContext(ctx, wire.MetaRelay)) > 0,
		port: int32(u.cfg.Pieces.Port()), ip: u.cfg.Pieces.Addr().String()}
	return u.tell(t, failed)
}

// interest reads and bounds what a child asks for.
func interest(m *dfdaemonv2.SyncPiecesRequest) (darter.TaskID, darter.PieceSet, error) {
	var wanted darter.PieceSet
	id, err := taskOf(m.GetTaskId())
	if err != nil {
		return id, wanted, err
	}
	if len(m.GetInterestedPieceNumbers()) == 0 {
		return id, wanted, &darter.Error{Kind: darter.Invalid, Op: "sync pieces of " + id.Short(), Err: errors.New("no pieces are asked for")}
	}
	for _, n := range m.GetInterestedPieceNumbers() {
		if n >= wire.MaxPieces {
			return id, wanted, &darter.Error{Kind: darter.Invalid, Op: "sync pieces of " + id.Short(), Err: fmt.Errorf("no task has a piece %d", n)}
		}
		wanted.Add(n)
	}
	return id, wanted, nil
}

// appear waits for a task for a while: the scheduler may send children here in the moment in which
// this host begins to fetch. It stays below the ten seconds after which Dragonfly's children give up.
func (u *Upload) appear(ctx context.Context, id darter.TaskID) (store.Task, error) {
	ctx, cancel := context.WithTimeout(ctx, u.cfg.AppearTimeout)
	defer cancel()
	defer u.onDrain(cancel)()
	return u.cfg.Tasks.Await(ctx, id)
}

// telling is what one child has been told of a task.
type telling struct {
	stream dfdaemonv2.DfdaemonUpload_SyncPiecesServer
	task   store.Task
	wanted darter.PieceSet // not reported as held yet
	coming darter.PieceSet // reported as arriving
	relay  bool            // the child understands what arrives
	port   int32
	ip     string
}

// news reports what is here now, and what arrives to a child that can use it.
func (t *telling) news() error {
	layout := t.task.Meta().Layout
	for n := range t.wanted.Intersect(t.task.Pieces()).All() {
		span := layout.Span(n)
		err := t.stream.Send(&dfdaemonv2.SyncPiecesResponse{Number: n, Offset: uint64(span.Offset), Length: uint64(span.Length), Ip: t.ip, TcpPort: &t.port})
		if err != nil {
			return err
		}
		t.wanted.Remove(n)
	}
	if !t.relay {
		return nil
	}
	arriving := t.wanted.Intersect(t.task.Arriving())
	for n := range arriving.Minus(t.coming).All() {
		err := t.stream.Send(&dfdaemonv2.SyncPiecesResponse{Number: n, Offset: uint64(layout.Span(n).Offset), Ip: t.ip, TcpPort: &t.port})
		if err != nil {
			return err
		}
	}
	t.coming = arriving
	return nil
}

// tell reports pieces until there is nothing more to report.
func (u *Upload) tell(t *telling, failed <-chan error) error {
	task, ctx := t.task, t.stream.Context()
	op := "sync pieces of " + task.Meta().ID.Short()
	for {
		changed := task.Changed() // before looking, so that nothing falls between
		complete, removed := task.State() == store.Complete, task.Removed()
		if err := t.news(); err != nil {
			return err
		}
		switch {
		case t.wanted.Empty() || complete:
			return nil
		case removed:
			return &darter.Error{Kind: darter.NotFound, Op: op, Err: errors.New("the task was removed")}
		}
		select {
		case <-changed:
		case err := <-failed:
			return &darter.Error{Kind: darter.Unavailable, Op: op, Err: fmt.Errorf("the download of the task failed here: %w", err), Hint: "ask another host"}
		case <-u.draining:
			return shuttingDown(op)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// SyncHost tells a child, once per interval, how busy this host's network is.
func (u *Upload) SyncHost(_ *dfdaemonv2.SyncHostRequest, stream dfdaemonv2.DfdaemonUpload_SyncHostServer) error {
	if err := stream.SendHeader(metadata.Pairs(wire.MetaNative, "1")); err != nil {
		return err
	}
	tick := time.NewTicker(u.cfg.HostInterval)
	defer tick.Stop()
	for {
		n := u.cfg.Host().Network
		err := stream.Send(&commonv2.Host{Network: &commonv2.Network{
			MaxRxBandwidth: n.MaxRx, RxBandwidth: &n.Rx, MaxTxBandwidth: n.MaxTx, TxBandwidth: &n.Tx}})
		if err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-u.draining:
			return wire.Status(shuttingDown("sync host"))
		case <-stream.Context().Done():
			return wire.Status(context.Cause(stream.Context()))
		}
	}
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
