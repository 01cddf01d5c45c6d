package vortex

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/darter-p2p/darter"
)

const (
	// sendStep is how much is sent between two looks at rate and deadline.
	sendStep = 256 << 10
	// smallBody is sent in one write together with its metadata: below this sendfile costs more than it saves.
	smallBody = 64 << 10
	// A body that went out at less than crawlRate bytes per second for crawlAfter goes on without its slot.
	crawlRate  = 128 << 10
	crawlAfter = 5 * time.Second
)

// Server serves pieces. Make it with NewServer.
type Server struct {
	cfg     ServerConfig
	queue   *queue
	open    atomic.Int64 // connections
	buffers sync.Pool    // *[]byte for metadata and a small body

	mu struct {
		sync.Mutex
		draining bool
		idle     map[*connection]struct{} // between two requests
	}
}

// NewServer returns a server; Run makes it serve.
func NewServer(cfg ServerConfig) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, queue: newQueue(cfg.Slots, cfg.MostSlots, cfg.MaxWaiting)}
	s.mu.idle = map[*connection]struct{}{}
	s.buffers.New = func() any { b := make([]byte, 0, headerSize+4+maxMeta+smallBody); return &b }
	return s, nil
}

// Drain refuses new requests with "busy", those that wait for a slot included, and lets running bodies
// finish. Run does it when its context ends.
func (s *Server) Drain() {
	s.queue.drain()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.draining = true
	for c := range s.mu.idle {
		_ = c.conn.SetReadDeadline(past)
	}
}

// past is a deadline that ends reads and writes at once.
var past = time.Unix(1, 0)

// connection is one accepted connection.
type connection struct {
	server *Server
	conn   net.Conn
	in     *bufio.Reader
	host   netip.Addr
}

// serve answers requests on one connection until it is closed or useless.
func (s *Server) serve(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	c := &connection{server: s, conn: conn, in: bufio.NewReaderSize(conn, 128), host: hostOf(conn.RemoteAddr())}
	if s.open.Add(1) > int64(s.cfg.MaxConnections) {
		s.reject(c.host, Crowded)
		s.open.Add(-1)
		return
	}
	defer s.open.Add(-1)
	tune(conn)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(past) })
	defer stop()
	for c.next(ctx) {
	}
}

// next reads one request and answers it. It reports whether the connection is good for another.
func (c *connection) next(ctx context.Context) bool {
	s := c.server
	if !c.idle() {
		return false
	}
	_, err := c.in.Peek(1)
	if !c.wake() || err != nil {
		return false // idle for too long, closed, or draining: nothing was taken on, so nothing is owed
	}
	r, err := c.readRequest()
	if err != nil {
		if errors.As(err, new(*malformed)) {
			s.reject(c.host, Malformed)
			c.refuse(ctx, CodeInvalid, err.Error())
		}
		return false
	}
	return c.answer(ctx, r)
}

// idle marks the connection as waiting for a request, so that Drain can end the wait. It reports false
// when the server drains already.
func (c *connection) idle() bool {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.draining {
		return false
	}
	s.mu.idle[c] = struct{}{}
	return c.conn.SetReadDeadline(time.Now().Add(s.cfg.IdleTimeout)) == nil
}

// wake undoes idle. It reports false when the server drains.
func (c *connection) wake() bool {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.idle, c)
	return !s.mu.draining
}

// malformed is a request that breaks the protocol.
type malformed struct{ why string }

func (m *malformed) Error() string { return m.why }

// readRequest reads one request frame. What is longer than a request is never read, let alone kept.
func (c *connection) readRequest() (request, error) {
	var frame [headerSize + relaySize]byte
	if _, err := io.ReadFull(c.in, frame[:headerSize]); err != nil {
		return request{}, err
	}
	tag, length := parseHeader(frame[:headerSize])
	switch {
	case tag == TagClose:
		return request{}, io.EOF
	case tag == 2 || tag == 4 || tag == 6:
		return request{}, &malformed{"persistent and cached pieces are not served here"}
	case tag != TagDownload && tag != TagRelay:
		return request{}, &malformed{fmt.Sprintf("tag %d is not a request", tag)}
	case tag == TagDownload && length != requestSize, tag == TagRelay && length != relaySize:
		return request{}, &malformed{fmt.Sprintf("the request has %d bytes, not %d or %d", length, requestSize, relaySize)}
	}
	value := frame[headerSize : headerSize+length]
	if _, err := io.ReadFull(c.in, value); err != nil {
		return request{}, err
	}
	r, err := parseRequest(value)
	if err != nil {
		return r, &malformed{err.Error()}
	}
	return r, nil
}

// answer waits for a slot, opens the piece and sends it.
func (c *connection) answer(ctx context.Context, r request) bool {
	s, asked := c.server, time.Now()
	a, bid := ask{key: key{r.task, r.number}, host: c.host, sole: r.sole}, ctx
	if r.relay {
		var end context.CancelCauseFunc
		bid, end = context.WithCancelCause(ctx)
		defer end(nil)
		a.outbid = func() { end(errOutbid) }
	}
	t, err := s.queue.join(a)
	if err == nil {
		err = c.await(ctx, t)
	}
	if err != nil {
		return c.turnAway(ctx, err)
	}
	waited := time.Since(asked)
	sent := false
	release := sync.OnceFunc(func() { s.queue.release(t, sent) })
	defer release()
	if r.relay {
		whole, good := c.relay(ctx, bid, r, waited, func() { sent = true; release() })
		sent = sent || whole
		return good
	}

	content, err := s.cfg.Pieces.Open(r.task, r.number)
	if err != nil {
		return c.notOpened(ctx, err)
	}
	defer content.Close()
	began := time.Now()
	yield := func() { sent = true; release() }
	if err := c.send(ctx, content, yield); err != nil {
		s.reject(c.host, Interrupted)
		return false
	}
	sent = true
	if s.cfg.Events.PieceSent != nil {
		s.cfg.Events.PieceSent(PieceSent{Task: r.task, Number: r.number, To: c.host, Bytes: content.Piece.Length,
			Duration: time.Since(began), Waited: waited})
	}
	return true
}

// errGone ends a wait whose requester went away.
var errGone = errors.New("the requester closed the connection")

// await waits until the ticket has its slot, the requester goes away, or it took too long.
func (c *connection) await(ctx context.Context, t *ticket) error {
	select {
	case <-t.settled:
		return t.refused // the usual case needs no watch
	default:
	}
	ctx, done := context.WithTimeoutCause(ctx, c.server.cfg.WaitTimeout, errBusy)
	defer done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer c.watch(func() { cancel(errGone) })()
	return c.server.queue.wait(ctx, t)
}

// turnAway answers a request that got no slot.
func (c *connection) turnAway(ctx context.Context, err error) bool {
	switch {
	case errors.Is(err, errGone):
		c.server.reject(c.host, Interrupted)
		return false
	case errors.Is(err, errDraining):
		c.server.reject(c.host, Draining)
		c.refuse(ctx, CodeUnknown, "busy: "+err.Error())
		return false
	}
	c.server.reject(c.host, Busy)
	return c.refuse(ctx, CodeUnknown, "busy: "+errBusy.Error())
}

// notOpened answers a request for a piece that cannot be opened.
func (c *connection) notOpened(ctx context.Context, err error) bool {
	switch darter.KindOf(err) {
	case darter.NotFound:
		c.server.reject(c.host, Missing)
		return c.refuse(ctx, CodeNotFound, err.Error())
	case darter.Unavailable:
		c.server.reject(c.host, Busy)
		return c.refuse(ctx, CodeUnknown, "busy: "+err.Error())
	}
	c.server.reject(c.host, Broken)
	return c.refuse(ctx, CodeInternal, "the piece cannot be read") // the cause may name local paths
}

// refuse sends an Error frame.
func (c *connection) refuse(ctx context.Context, code Code, message string) bool {
	if c.allow(ctx) != nil {
		return false
	}
	_, err := c.conn.Write(appendFailure(nil, uint8(rand.Uint32()), code, message))
	return err == nil
}

// send writes metadata and body. A stalled receiver ends it, as does ctx. It calls yield when the receiver
// is too slow to be worth a slot.
func (c *connection) send(ctx context.Context, content Content, yield func()) error {
	began := time.Now()
	buffer := c.server.buffers.Get().(*[]byte)
	defer c.server.buffers.Put(buffer)
	head := appendContent((*buffer)[:0], uint8(rand.Uint32()), TagContent, content.Piece)
	left := content.Piece.Length
	if left <= smallBody {
		at := len(head)
		head = head[:at+int(left)]
		if _, err := io.ReadFull(content.Body, head[at:]); err != nil {
			return err
		}
		left = 0
	}
	if err := c.pay(ctx, len(head)); err != nil {
		return err
	}
	if _, err := c.conn.Write(head); err != nil {
		return err
	}
	for left > 0 {
		step := min(left, sendStep)
		if err := c.pay(ctx, int(step)); err != nil {
			return err
		}
		n, err := io.Copy(c.conn, part(content.Body, step))
		if err != nil {
			return err
		}
		if n != step {
			return io.ErrUnexpectedEOF
		}
		left -= step
		c.server.queue.progress(step, time.Now())
		if c.server.crawls(content.Piece.Length-left, time.Since(began)) {
			yield()
		}
	}
	return nil
}

// crawls reports whether a body goes out so slowly that its receiver must be the reason: a few such
// receivers would otherwise hold every slot. Under a rate limit of our own it says nothing.
func (s *Server) crawls(sent int64, took time.Duration) bool {
	return s.cfg.Rate.Unlimited() && took > crawlAfter && float64(sent) < took.Seconds()*crawlRate
}

// part is the next n bytes of body, in the form that the kernel can send by itself where possible.
func part(body io.Reader, n int64) io.Reader {
	if limited, ok := body.(*io.LimitedReader); ok {
		if file, ok := limited.R.(*os.File); ok {
			return &io.LimitedReader{R: file, N: n}
		}
	}
	return &io.LimitedReader{R: body, N: n}
}

// pay waits until the rate lets n bytes pass, and then gives the receiver its time for them.
func (c *connection) pay(ctx context.Context, n int) error {
	if err := c.server.cfg.Rate.WaitN(ctx, n); err != nil {
		return err
	}
	return c.allow(ctx)
}

// allow gives the receiver its time for the next write.
func (c *connection) allow(ctx context.Context) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(c.server.cfg.StallTimeout)); err != nil {
		return err
	}
	return context.Cause(ctx) // the deadline just set may have undone the one that ended the connection
}

func (s *Server) reject(from netip.Addr, why Reason) {
	if s.cfg.Events.Rejected != nil {
		s.cfg.Events.Rejected(Rejected{From: from, Why: why})
	}
}

func hostOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// tune makes the kernel notice dead peers early.
func tune(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 3 * time.Second, Count: 3})
	}
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
