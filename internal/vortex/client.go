package vortex

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/darter-p2p/darter"
)

// receiveBuffer is what one request borrows while it runs. A fast parent fills much of it between two
// reads; from a slow one, bytes are passed on as they come.
const receiveBuffer = 256 << 10

// Client fetches pieces. Its methods are safe for concurrent use.
type Client struct {
	cfg     ClientConfig
	pool    *pool
	buffers sync.Pool // *[]byte of receiveBuffer
}

// NewClient returns a client.
func NewClient(cfg ClientConfig) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Dial == nil {
		dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 3 * time.Second, Count: 3}}
		cfg.Dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", to.String())
		}
	}
	c := &Client{cfg: cfg, pool: newPool(cfg.IdlePerAddress, cfg.IdleTotal, cfg.IdleTimeout)}
	c.buffers.New = func() any { b := make([]byte, receiveBuffer); return &b }
	return c, nil
}

// Close closes the connections that are not in use; those in use are closed after their request.
func (c *Client) Close() error {
	c.pool.close()
	return nil
}

// Fetch asks the host at addr for piece n of a task, which lies at span, and writes the bytes to w in
// order as they arrive. progress, if not nil, is called with the number of bytes written so far. The piece
// returned is as the parent describes it; its number, offset and length were compared with the request,
// its checksum was not: w sees the bytes anyway.
//
// Errors of w come back as they are. Others are a darter.Error: NotFound when the parent has no such
// piece, Unavailable when it cannot be reached, is busy or broke off, TimedOut when it stalled, Corrupt
// when it broke the protocol, Invalid when the request makes no sense. When ctx ends, its cause is in
// the chain.
func (c *Client) Fetch(ctx context.Context, addr netip.AddrPort, task darter.TaskID, n uint32, span darter.Span,
	w io.Writer, progress func(int64),
) (darter.Piece, error) {
	return c.fetch(ctx, addr, request{task: task, number: n}, span, w, progress)
}

func (c *Client) fetch(ctx context.Context, addr netip.AddrPort, ask request, span darter.Span, w io.Writer, progress func(int64)) (darter.Piece, error) {
	task := ask.task
	op := fmt.Sprintf("fetch piece %d of %s from %s", ask.number, task.Short(), addr)
	if !task.Valid() || span.Length < 0 || span.Offset < 0 {
		return darter.Piece{}, &darter.Error{Kind: darter.Invalid, Op: op, Err: errors.New("no such piece can exist")}
	}
	x := &exchange{client: c, ask: ask, span: span, to: w, progress: progress}
	if conn := c.pool.take(addr); conn != nil {
		p, err := x.run(ctx, conn, addr)
		if err == nil || x.heard || ctx.Err() != nil {
			return p, x.explain(ctx, op, err)
		}
		c.pool.closes(addr) // died before a byte of the reply: closed by the parent between two requests
	}
	conn, err := c.dial(ctx, addr)
	if err != nil {
		return darter.Piece{}, x.explain(ctx, op, err)
	}
	p, err := x.run(ctx, conn, addr)
	return p, x.explain(ctx, op, err)
}

func (c *Client) dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.ConnectTimeout,
		&darter.Error{Kind: darter.Unavailable, Err: fmt.Errorf("no connection within %s", c.cfg.ConnectTimeout)})
	defer cancel()
	conn, err := c.cfg.Dial(ctx, addr)
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return conn, err
}

// exchange is one request and its reply.
type exchange struct {
	client   *Client
	ask      request
	span     darter.Span
	to       io.Writer
	progress func(int64)
	heard    bool // at least one byte of the reply came
}

// ownError marks an error of the writer, which is not the parent's fault.
type ownError struct{ error }

// run does the exchange over conn, and keeps or closes it.
func (x *exchange) run(ctx context.Context, conn net.Conn, addr netip.AddrPort) (darter.Piece, error) {
	undo := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(past) })
	p, clean, err := x.talk(ctx, conn)
	if !undo() || !clean {
		conn.Close()
		return p, err
	}
	_ = conn.SetDeadline(time.Time{})
	x.client.pool.put(addr, conn)
	return p, err
}

// talk sends the request and reads the reply. clean reports that the connection is good for another.
func (x *exchange) talk(ctx context.Context, conn net.Conn) (p darter.Piece, clean bool, err error) {
	var frame [headerSize + relaySize]byte
	if err := x.allow(ctx, conn); err != nil {
		return p, false, err
	}
	if _, err := conn.Write(appendRequest(frame[:0], uint8(rand.Uint32()), x.ask)); err != nil {
		return p, false, err
	}
	pooled := x.client.buffers.Get().(*[]byte)
	defer x.client.buffers.Put(pooled)
	in := &incoming{x: x, conn: conn, buf: *pooled}
	head, err := in.next(ctx, headerSize)
	if err != nil {
		return p, false, err
	}
	tag, length := parseHeader(head)
	switch {
	case tag == TagError && length <= maxFailure:
		return x.failed(ctx, in, int(length))
	case tag != x.answer() || length < 4+metaFixed || length > 4+maxMeta:
		return p, false, corrupt("a frame with tag %d and %d bytes is no reply", tag, length)
	}
	p, err = x.metadata(ctx, in, int(length))
	if err != nil {
		return p, false, err
	}
	if x.ask.relay {
		if p.CRC, err = x.chunks(ctx, in); err != nil {
			kind := darter.KindOf(err)
			return p, len(in.rest()) == 0 && (kind == darter.NotFound || kind == darter.Conflict || kind == darter.Denied), err
		}
		p.HasCRC = true
	} else if err := x.body(ctx, in); err != nil {
		return p, false, err
	}
	return p, len(in.rest()) == 0, nil // surplus is ignored, as Dragonfly does, but not read on
}

// answer is the tag of the reply that was asked for.
func (x *exchange) answer() Tag {
	if x.ask.relay {
		return TagRelayed
	}
	return TagContent
}

// metadata reads what describes the piece and compares it with the request.
func (x *exchange) metadata(ctx context.Context, in *incoming, length int) (darter.Piece, error) {
	value, err := in.next(ctx, length)
	if err != nil {
		return darter.Piece{}, err
	}
	p, err := parseContent(value)
	switch {
	case err != nil:
		return p, corrupt("%w", err)
	case p.Number != x.ask.number:
		return p, corrupt("asked for piece %d, offered %d", x.ask.number, p.Number)
	case p.Offset != x.span.Offset || p.Length != x.span.Length:
		return p, corrupt("piece %d lies at %d with %d bytes, not at %d with %d", p.Number, x.span.Offset, x.span.Length, p.Offset, p.Length)
	}
	return p, nil
}

// body passes the bytes of the piece to the writer.
func (x *exchange) body(ctx context.Context, in *incoming) error {
	for done := int64(0); done < x.span.Length; {
		left := x.span.Length - done
		if err := in.fill(ctx, 1); err != nil {
			return err
		}
		chunk := in.rest()
		chunk = chunk[:min(int64(len(chunk)), left)]
		if err := x.pass(ctx, chunk); err != nil {
			return err
		}
		in.at += len(chunk)
		done += int64(len(chunk))
		if x.progress != nil {
			x.progress(done)
		}
	}
	return nil
}

// failed reads the parent's refusal.
func (x *exchange) failed(ctx context.Context, in *incoming, length int) (darter.Piece, bool, error) {
	value, err := in.next(ctx, length)
	if err != nil {
		return darter.Piece{}, false, err
	}
	code, message, err := parseFailure(value)
	if err != nil {
		return darter.Piece{}, false, corrupt("%w", err)
	}
	kind := darter.Unavailable
	switch code {
	case CodeNotFound:
		kind = darter.NotFound
	case CodeInvalid:
		kind = darter.Invalid
	}
	return darter.Piece{}, len(in.rest()) == 0, &darter.Error{Kind: kind, Err: fmt.Errorf("the parent refused: %s", message)}
}

// allow gives the parent its time for the next step.
func (x *exchange) allow(ctx context.Context, conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(x.client.cfg.StallTimeout)); err != nil {
		return err
	}
	return context.Cause(ctx) // the deadline just set may have undone the one that ctx's end set
}

// explain turns an error into what Fetch promises.
func (x *exchange) explain(ctx context.Context, op string, err error) error {
	if err == nil {
		return nil
	}
	if own, ok := errors.AsType[ownError](err); ok {
		return own.error
	}
	if ctx.Err() != nil {
		kind := darter.Unavailable
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			kind = darter.TimedOut
		}
		return &darter.Error{Kind: kind, Op: op, Err: context.Cause(ctx)}
	}
	if known, ok := errors.AsType[*darter.Error](err); ok {
		return &darter.Error{Kind: known.Kind, Op: op, Err: err}
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &darter.Error{Kind: darter.TimedOut, Op: op, Err: fmt.Errorf("the parent sent nothing for %s", x.client.cfg.StallTimeout)}
	case errors.Is(err, io.EOF):
		return &darter.Error{Kind: darter.Unavailable, Op: op, Err: errors.New("the parent closed the connection before the end")}
	}
	return &darter.Error{Kind: darter.Unavailable, Op: op, Err: err}
}

func corrupt(format string, args ...any) error {
	return &darter.Error{Kind: darter.Corrupt, Err: fmt.Errorf(format, args...)}
}

// incoming reads a reply through one buffer, so that short frames cost one system call with what
// follows them, and never more than the buffer holds.
type incoming struct {
	x       *exchange
	conn    net.Conn
	buf     []byte
	at, end int
}

// rest is what was read and not used.
func (in *incoming) rest() []byte { return in.buf[in.at:in.end] }

// next returns the next n bytes; n is at most the size of a metadata value.
func (in *incoming) next(ctx context.Context, n int) ([]byte, error) {
	if err := in.fill(ctx, n); err != nil {
		return nil, err
	}
	out := in.buf[in.at : in.at+n]
	in.at += n
	return out, nil
}

// fill reads until at least n bytes are there.
func (in *incoming) fill(ctx context.Context, n int) error {
	if in.at == in.end {
		in.at, in.end = 0, 0
	}
	for in.end-in.at < n {
		if in.at+n > len(in.buf) {
			in.end = copy(in.buf, in.rest())
			in.at = 0
		}
		if err := in.x.allow(ctx, in.conn); err != nil {
			return err
		}
		got, err := in.conn.Read(in.buf[in.end:])
		in.end += got
		in.x.heard = in.x.heard || got > 0
		if err != nil && in.end-in.at < n {
			return err
		}
	}
	return nil
}
