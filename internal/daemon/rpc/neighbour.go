package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/store"
	"github.com/darter-p2p/darter/internal/vortex"
)

// NeighboursConfig says how parents are spoken to.
type NeighboursConfig struct {
	Host   darter.HostID  // required; who asks
	Pieces *vortex.Client // required; fetches the bytes. The caller closes it

	ConnectTimeout time.Duration // longest time to open a connection; default 3s
	HeaderTimeout  time.Duration // longest time until a parent answers at all; default 10s
	// IdleLimit is the longest silence of a plain Dragonfly parent: it stays silent for ever when its own
	// download fails. NativeIdleLimit is that of our own, which say so. Default 60s and 10m.
	IdleLimit, NativeIdleLimit time.Duration
	// Ping is the quiet time after which a connection is probed, PongWait how long the answer may take;
	// default 10s and 5s.
	Ping, PongWait time.Duration
	KeepFor        time.Duration // how long an unused connection is kept; default 60s

	// Dial opens a connection; default TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

// DefaultNeighboursConfig returns the defaults; Host and Pieces are missing.
func DefaultNeighboursConfig() NeighboursConfig {
	return NeighboursConfig{ConnectTimeout: 3 * time.Second, HeaderTimeout: 10 * time.Second, IdleLimit: 60 * time.Second,
		NativeIdleLimit: 10 * time.Minute, Ping: 10 * time.Second, PongWait: 5 * time.Second, KeepFor: 60 * time.Second}
}

// Validate reports the first setting that makes no sense.
func (c *NeighboursConfig) Validate() error {
	var why string
	switch {
	case c.Host == "" || c.Pieces == nil:
		why = "Host and Pieces are required"
	case c.ConnectTimeout <= 0 || c.HeaderTimeout <= 0 || c.IdleLimit <= 0 || c.NativeIdleLimit <= 0 || c.PongWait <= 0 || c.KeepFor <= 0:
		why = "time limits must be positive"
	case c.Ping < 10*time.Second:
		why = "Ping is below 10s, the least that gRPC allows"
	default:
		return nil
	}
	return &darter.Error{Kind: darter.Invalid, Op: "neighbours configuration", Err: errors.New(why)}
}

// Neighbours speaks to parents: over gRPC about what they hold, over vortex for the bytes. It is fetch's
// Neighbours. Its methods are safe for concurrent use.
type Neighbours struct {
	cfg   NeighboursConfig
	links *neighbourLinks
}

// NewNeighbours returns a Neighbours; it opens connections as they are needed.
func NewNeighbours(cfg NeighboursConfig) (*Neighbours, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Dial == nil {
		cfg.Dial = dialTCP
	}
	return &Neighbours{cfg: cfg, links: newNeighbourLinks(cfg)}, nil
}

// Close closes the connections that are not in use; those in use are closed after their last use.
func (n *Neighbours) Close() error {
	n.links.close()
	return nil
}

// Fetch asks the piece server at from for piece number of a task, which lies at span, and writes the bytes to
// w as they arrive. Errors are those of vortex.Client.Fetch.
func (n *Neighbours) Fetch(ctx context.Context, t darter.TaskID, number uint32, from netip.AddrPort, span darter.Span,
	w store.PieceWriter, progress func(int64),
) (darter.Piece, error) {
	return n.cfg.Pieces.Fetch(ctx, from, t, number, span, w, progress)
}

// Relay asks for a piece that the parent may still be receiving, from an offset on. Errors are those of
// vortex.Client.Relay.
func (n *Neighbours) Relay(ctx context.Context, t darter.TaskID, number uint32, from netip.AddrPort, span darter.Span, offset int64, sole bool,
	w store.PieceWriter, progress func(int64),
) (darter.Piece, error) {
	return n.cfg.Pieces.Relay(ctx, from, t, number, span, vortex.Start{Offset: offset, Sole: sole}, w, progress)
}

// Alive asks p whether it is well, on the connection on which it tells what it holds. Any answer is a sign of life, one
// that says otherwise included. No answer before ctx ends is darter.TimedOut or darter.Unavailable.
func (n *Neighbours) Alive(ctx context.Context, p darter.Parent) error {
	op := fmt.Sprintf("ask %s (%s) for a sign of life", p.Host.ID, p.Host.Endpoint())
	link, err := n.links.acquire(p.Host.Endpoint())
	if err != nil {
		return &darter.Error{Kind: darter.Unavailable, Op: op, Err: err}
	}
	defer n.links.release(link)
	_, err = healthv1.NewHealthClient(link.conn).Check(ctx, &healthv1.HealthCheckRequest{})
	switch status.Code(err) {
	case codes.DeadlineExceeded, codes.Unavailable, codes.Canceled:
		return wire.FromStatus(op, err)
	}
	return nil
}

// Watch reports which of the wanted pieces p holds, as it gets them, until p has reported all it can (nil),
// ctx ends, or the link breaks. A parent that holds another version of the content is darter.Conflict, one
// that names pieces nobody asked for darter.Corrupt, one that cannot be reached or names no piece server
// darter.Unavailable, one that falls silent darter.TimedOut. One that answers, and does not hold the task, is darter.NotFound; one
// that answers that it cannot go on is darter.Denied.
func (n *Neighbours) Watch(ctx context.Context, t darter.TaskID, version string, p darter.Parent, wanted darter.PieceSet,
	heard func(darter.Holding),
) error {
	if wanted.Empty() {
		return nil
	}
	at := p.Host.Endpoint()
	w := &watching{n: n, op: fmt.Sprintf("sync pieces of %s from %s (%s)", t.Short(), p.Host.ID, at), task: t, version: version,
		parent: p, left: wanted.Clone(), wanted: wanted, heard: heard}
	if !at.IsValid() || at.Port() == 0 {
		return &darter.Error{Kind: darter.Invalid, Op: w.op, Err: errors.New("the parent has no address")}
	}
	link, err := n.links.acquire(at)
	if err != nil {
		return &darter.Error{Kind: darter.Unavailable, Op: w.op, Err: err}
	}
	defer n.links.release(link)
	return w.run(ctx, link.conn)
}
