package vortex

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/darter-p2p/darter"
)

// A relay that waits for its bytes for more than half of so long a time goes on without its slot: not the uplink is its
// limit.
const relayWindow = 200 * time.Millisecond

var (
	errOutbid = errors.New("a more urgent piece is asked for")
	errSlow   = errors.New("nothing came for a while")
)

// relay answers a request for a piece that may still be arriving; it waits for bytes no longer than bid lives. whole tells
// whether the piece went out, good whether the connection can be used again.
func (c *connection) relay(ctx, bid context.Context, r request, waited time.Duration, yield func()) (whole, good bool) {
	s := c.server
	content, err := s.cfg.Pieces.Follow(r.task, r.number)
	if err != nil {
		return false, c.notOpened(ctx, err)
	}
	defer content.Close()
	if r.offset > content.Span.Length {
		s.reject(c.host, Malformed)
		c.refuse(ctx, CodeInvalid, "the offset lies behind the piece")
		return false, false
	}
	bid, cancel := context.WithCancelCause(bid)
	defer cancel(nil)
	defer c.watch(func() { cancel(errGone) })()
	began := time.Now()
	out := &relaying{c: c, content: content, at: r.offset, began: began, bid: bid, yield: yield}
	err = out.run(ctx, r.number)
	switch {
	case err == nil:
	case errors.Is(err, errGaveUp):
		s.reject(c.host, Broken)
		return false, true
	default:
		s.reject(c.host, Interrupted)
		return false, false
	}
	if s.cfg.Events.PieceSent != nil {
		s.cfg.Events.PieceSent(PieceSent{Task: r.task, Number: r.number, To: c.host, Bytes: content.Span.Length - r.offset,
			Duration: time.Since(began), Waited: waited})
	}
	return true, true
}

// errGaveUp says that a relay ended before the piece did, and that the receiver was told.
var errGaveUp = errors.New("the piece ceased to arrive")

// relaying is one piece on its way through this host.
type relaying struct {
	c       *connection
	content Arrival
	at      int64
	began   time.Time
	idle    time.Duration   // spent waiting for bytes since began
	bid     context.Context // ends when the piece is to be waited for no more
	yield   func()
}

// run sends the metadata and then each chunk as soon as it is here.
func (o *relaying) run(ctx context.Context, number uint32) error {
	buffer := o.c.server.buffers.Get().(*[]byte)
	defer o.c.server.buffers.Put(buffer)
	p, held := o.content.Piece()
	if !held {
		p = darter.Piece{Number: number, Offset: o.content.Span.Offset, Length: o.content.Span.Length}
	}
	if err := o.write(ctx, appendContent((*buffer)[:0], uint8(rand.Uint32()), TagRelayed, p)); err != nil {
		return err
	}
	size := firstChunk
	for {
		chunk := (*buffer)[:chunkHead+size]
		size = sendChunk
		n, err := o.next(chunk[chunkHead:])
		switch {
		case errors.Is(err, io.EOF):
			return o.finish(ctx, chunk)
		case err != nil && o.outbid():
			return o.giveUp(ctx, endedBusy, chunk)
		case err != nil && o.bid.Err() != nil:
			return err
		case err != nil:
			end := endedLeft
			if darter.KindOf(err) == darter.Corrupt {
				end = endedVoid
			}
			return o.giveUp(ctx, end, chunk)
		}
		chunk = chunk[:chunkHead+n]
		sealChunk(chunk)
		if err := o.write(ctx, chunk); err != nil {
			return err
		}
		o.at += int64(n)
		o.c.server.queue.progress(int64(n), time.Now())
		if now := time.Now(); now.Sub(o.began) >= relayWindow {
			if o.idle > now.Sub(o.began)/2 {
				o.yield()
			}
			o.began, o.idle = now, 0
		}
		if o.outbid() {
			return o.giveUp(ctx, endedBusy, chunk)
		}
	}
}

func (o *relaying) outbid() bool { return errors.Is(context.Cause(o.bid), errOutbid) }

// next waits for the next bytes, at most as long as a receiver may stall, and not at all when the receiver is gone. Who
// waits needs no slot.
func (o *relaying) next(b []byte) (int, error) {
	asked := time.Now()
	defer func() { o.idle += time.Since(asked) }()
	for {
		ctx, cancel := context.WithTimeoutCause(o.bid, relayWindow/2, errSlow)
		n, err := o.content.Next(ctx, b, o.at)
		cancel()
		switch {
		case !errors.Is(err, errSlow):
			return n, err
		case time.Since(asked) >= o.c.server.cfg.StallTimeout:
			return 0, &darter.Error{Kind: darter.TimedOut, Op: "relay a piece", Err: errors.New("nothing came for too long")}
		}
		o.yield()
	}
}

// giveUp tells the receiver that the rest does not come from here.
func (o *relaying) giveUp(ctx context.Context, end ending, b []byte) error {
	if err := o.write(ctx, appendMark(b[:0], givenUp, uint32(end))); err != nil {
		return err
	}
	return errGaveUp
}

// finish sends the checksum of the whole piece.
func (o *relaying) finish(ctx context.Context, b []byte) error {
	p, held := o.content.Piece()
	if !held || !p.HasCRC {
		return io.ErrUnexpectedEOF
	}
	return o.write(ctx, appendMark(b[:0], endOfBody, p.CRC))
}

func (o *relaying) write(ctx context.Context, b []byte) error {
	if err := o.c.pay(ctx, len(b)); err != nil {
		return err
	}
	_, err := o.c.conn.Write(b)
	return err
}

// Start says where a relay begins.
type Start struct {
	Offset int64 // bytes of the piece that are here already
	Sole   bool  // nobody else is known to have the piece
}

// Relay is Fetch for a piece that the host at addr, one of ours, may still be receiving itself. What
// is written to w was checked on its way, chunk by chunk, and may be passed on before the rest is there. Beside
// Fetch's errors it is darter.NotFound when the parent ceased to receive the piece, which leaves what was
// written good, darter.Denied likewise when the parent has more urgent pieces to send, and darter.Conflict when the piece turned out wrong there, so that all of it is worthless.
func (c *Client) Relay(ctx context.Context, addr netip.AddrPort, task darter.TaskID, n uint32, span darter.Span, from Start,
	w io.Writer, progress func(int64),
) (darter.Piece, error) {
	if from.Offset < 0 || from.Offset > span.Length {
		return darter.Piece{}, &darter.Error{Kind: darter.Invalid, Op: "relay a piece", Err: fmt.Errorf("offset %d of %d bytes", from.Offset, span.Length)}
	}
	return c.fetch(ctx, addr, request{task: task, number: n, relay: true, offset: from.Offset, sole: from.Sole}, span, w, progress)
}

// chunks passes the bytes of a relayed piece to the writer, and returns its checksum.
func (x *exchange) chunks(ctx context.Context, in *incoming) (crc uint32, err error) {
	for done := x.ask.offset; ; {
		head, err := in.next(ctx, chunkHead)
		if err != nil {
			return 0, err
		}
		n, value := parseChunk(head)
		switch {
		case n == givenUp && ending(value) == endedBusy:
			return 0, &darter.Error{Kind: darter.Denied, Err: errors.New("the parent has more urgent pieces to send")}
		case n == givenUp && ending(value) == endedVoid:
			return 0, &darter.Error{Kind: darter.Conflict, Err: errors.New("the piece turned out wrong at the parent")}
		case n == givenUp:
			return 0, &darter.Error{Kind: darter.NotFound, Err: errors.New("the parent ceased to receive the piece")}
		case n == endOfBody && done == x.span.Length:
			return value, nil
		case n == endOfBody || n > maxChunk || int64(n) > x.span.Length-done:
			return 0, corrupt("a chunk of %d bytes after %d of %d", n, done, x.span.Length)
		}
		body, err := in.next(ctx, int(n))
		if err != nil {
			return 0, err
		}
		if crc32.ChecksumIEEE(body) != value {
			return 0, corrupt("the chunk at %d has CRC-32 %d, not %d", done, crc32.ChecksumIEEE(body), value)
		}
		if err := x.pass(ctx, body); err != nil {
			return 0, err
		}
		if done += int64(n); x.progress != nil {
			x.progress(done - x.ask.offset)
		}
	}
}

// pass writes bytes at the rate that is allowed.
func (x *exchange) pass(ctx context.Context, b []byte) error {
	if err := x.client.cfg.Rate.WaitN(ctx, len(b)); err != nil {
		return err
	}
	if _, err := x.to.Write(b); err != nil {
		return ownError{err}
	}
	return nil
}
