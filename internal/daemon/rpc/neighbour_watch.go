package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	dfdaemonv2 "d7y.io/api/v2/pkg/apis/dfdaemon/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
)

// watching is one SyncPieces stream, seen from the child.
type watching struct {
	n       *Neighbours
	op      string
	task    darter.TaskID
	version string
	parent  darter.Parent
	wanted  darter.PieceSet // what was asked for
	left    darter.PieceSet // what was not reported yet
	heard   func(darter.Holding)
	relays  bool // the parent passes on what still arrives
}

// run follows the stream to its end. It has no deadline, since it lasts as long as a download: silence is
// what ends it.
func (w *watching) run(ctx context.Context, conn grpc.ClientConnInterface) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cfg := w.n.cfg
	silence := time.AfterFunc(cfg.HeaderTimeout, func() {
		cancel(&darter.Error{Kind: darter.TimedOut, Op: w.op, Err: fmt.Errorf("no answer within %s", cfg.HeaderTimeout)})
	})
	defer silence.Stop()
	out := metadata.AppendToOutgoingContext(ctx, wire.MetaRelay, "1")
	if w.version != "" {
		out = metadata.AppendToOutgoingContext(out, wire.MetaVersion, w.version)
	}
	stream, err := dfdaemonv2.NewDfdaemonUploadClient(conn).SyncPieces(out, &dfdaemonv2.SyncPiecesRequest{
		HostId: string(cfg.Host), TaskId: string(w.task), InterestedPieceNumbers: w.wanted.Numbers()})
	if err != nil {
		return w.explain(ctx, err)
	}
	header, err := stream.Header()
	if err != nil {
		return w.explain(ctx, err)
	}
	if theirs := first(header.Get(wire.MetaVersion)); theirs != "" && w.version != "" && theirs != w.version {
		return &darter.Error{Kind: darter.Conflict, Op: w.op, Err: fmt.Errorf("the parent holds version %q, not %q", theirs, w.version)}
	}
	w.relays = first(header.Get(wire.MetaRelay)) != ""
	silence.Stop()
	limit := cfg.IdleLimit
	if first(header.Get(wire.MetaNative)) != "" {
		limit = cfg.NativeIdleLimit
	}
	idle := time.AfterFunc(limit, func() {
		cancel(&darter.Error{Kind: darter.TimedOut, Op: w.op, Err: fmt.Errorf("the parent was silent for %s", limit)})
	})
	defer idle.Stop()
	return w.explain(ctx, w.listen(stream, func() { idle.Reset(limit) }))
}

// listen passes on what the parent reports.
func (w *watching) listen(stream dfdaemonv2.DfdaemonUpload_SyncPiecesClient, lively func()) error {
	for !w.left.Empty() {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil // all that it has, which may be less than was asked for
		}
		if err != nil {
			return err
		}
		lively()
		h, err := w.holding(m)
		if err != nil {
			return err
		}
		switch {
		case h.Arriving && w.left.Has(h.Number):
			w.heard(h)
		case !h.Arriving && w.left.Remove(h.Number): // a repeated number is harmless
			w.heard(h)
		}
	}
	return nil
}

// holding checks one report. Its offset and length are not looked at, but that one of ours says 0 for what still
// arrives: the layout is known, and the bytes are checked when they come.
func (w *watching) holding(m *dfdaemonv2.SyncPiecesResponse) (darter.Holding, error) {
	if !w.wanted.Has(m.GetNumber()) {
		return darter.Holding{}, &darter.Error{Kind: darter.Corrupt, Op: w.op, Err: fmt.Errorf("the parent reports piece %d, which was not asked for", m.GetNumber())}
	}
	port := m.GetTcpPort()
	if port <= 0 || port > 65535 {
		return darter.Holding{}, &darter.Error{Kind: darter.Unavailable, Op: w.op, Err: fmt.Errorf("the parent names no TCP port for pieces (%d)", port),
			Hint: "a parent that serves pieces over QUIC only cannot be used"}
	}
	ip, err := netip.ParseAddr(m.GetIp())
	switch {
	case err != nil || ip.IsMulticast():
		return darter.Holding{}, &darter.Error{Kind: darter.Corrupt, Op: w.op, Err: fmt.Errorf("the parent serves pieces at %.64q, which is no address of a host", m.GetIp())}
	case ip.IsUnspecified():
		ip = w.parent.Host.IP
	}
	return darter.Holding{Number: m.GetNumber(), From: netip.AddrPortFrom(ip.Unmap(), uint16(port)),
		Arriving: w.relays && m.GetLength() == 0, Relays: w.relays}, nil
}

// explain gives an error the cause of the context's end, where that is what it came of.
func (w *watching) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if _, ours := errors.AsType[*darter.Error](err); ours {
		return err
	}
	if ctx.Err() != nil {
		cause := context.Cause(ctx)
		if _, ours := errors.AsType[*darter.Error](cause); ours {
			return cause
		}
		return &darter.Error{Kind: darter.Unavailable, Op: w.op, Err: cause}
	}
	e := wire.FromStatus(w.op, err)
	if kind := darter.KindOf(e); wire.Answered(err) && kind != darter.NotFound && kind != darter.Conflict {
		return &darter.Error{Kind: darter.Denied, Op: w.op, Err: e}
	}
	return e
}
