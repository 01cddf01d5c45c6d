package vortex

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/darter-p2p/darter"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shelf serves pieces of one size out of a file, or out of memory.
type shelf struct {
	file  string
	bytes []byte
	size  int64
	gate  chan struct{} // when set, Open takes one token
	mu    sync.Mutex
	opens []uint32
}

func (s *shelf) Follow(task darter.TaskID, n uint32) (Arrival, error) {
	c, err := s.Open(task, n)
	if err != nil {
		return Arrival{}, err
	}
	defer c.Close()
	at := c.Piece.Offset
	return Arrival{Span: darter.Span{Offset: at, Length: c.Piece.Length}, Following: &whole{piece: c.Piece, bytes: s.bytes[at : at+c.Piece.Length]}}, nil
}

// whole is a piece that is all here.
type whole struct {
	piece darter.Piece
	bytes []byte
}

func (w *whole) Next(_ context.Context, b []byte, off int64) (int, error) {
	if off >= int64(len(w.bytes)) {
		return 0, io.EOF
	}
	return copy(b, w.bytes[off:]), nil
}
func (w *whole) Piece() (darter.Piece, bool) { return w.piece, true }
func (w *whole) Close() error                { return nil }

func (s *shelf) Open(task darter.TaskID, n uint32) (Content, error) {
	s.mu.Lock()
	s.opens = append(s.opens, n)
	s.mu.Unlock()
	if s.gate != nil {
		<-s.gate
	}
	at := int64(n) * s.size
	if task != taskA || at >= int64(len(s.bytes)) {
		return Content{}, &darter.Error{Kind: darter.NotFound, Op: "open piece", Err: fmt.Errorf("piece %d is not here", n)}
	}
	length := min(s.size, int64(len(s.bytes))-at)
	body := s.bytes[at : at+length]
	p := darter.Piece{Number: n, Offset: at, Length: length, CRC: crc32.ChecksumIEEE(body), HasCRC: true, Created: time.Unix(1700000000, 0)}
	if s.file == "" {
		return Content{Piece: p, Body: bytes.NewReader(body), Closer: io.NopCloser(nil)}, nil
	}
	f, err := os.Open(s.file)
	if err != nil {
		return Content{}, err
	}
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return Content{}, err
	}
	return Content{Piece: p, Body: &io.LimitedReader{R: f, N: length}, Closer: f}, nil
}

func (s *shelf) opened() []uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]uint32(nil), s.opens...)
}

func (s *shelf) span(n uint32) darter.Span {
	at := int64(n) * s.size
	return darter.Span{Offset: at, Length: min(s.size, int64(len(s.bytes))-at)}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return b
}

func onDisk(t testing.TB, size, total int) *shelf {
	s := &shelf{file: filepath.Join(t.TempDir(), "data"), bytes: randomBytes(total), size: int64(size)}
	require.NoError(t, os.WriteFile(s.file, s.bytes, 0o600))
	return s
}

// serving runs a server on loopback until the test ends, and returns where.
func serving(t testing.TB, pieces Pieces, change func(*ServerConfig)) (*Server, netip.AddrPort) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	cfg := DefaultServerConfig()
	cfg.Listener, cfg.Pieces = l, pieces
	if change != nil {
		change(&cfg)
	}
	s, err := NewServer(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return s, l.Addr().(*net.TCPAddr).AddrPort()
}

func fetching(t testing.TB, change func(*ClientConfig)) *Client {
	cfg := DefaultClientConfig()
	if change != nil {
		change(&cfg)
	}
	c, err := NewClient(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestTransfer(t *testing.T) {
	for name, s := range map[string]*shelf{
		"file":   onDisk(t, 1<<20, 5<<20/2),
		"memory": {bytes: randomBytes(5 << 20 / 2), size: 1 << 20},
		"small":  onDisk(t, 1000, 2500),
		"edge":   onDisk(t, smallBody, smallBody+sendStep+1),
	} {
		t.Run(name, func(t *testing.T) {
			var sent []PieceSent
			var mu sync.Mutex
			_, addr := serving(t, s, func(c *ServerConfig) {
				c.Events.PieceSent = func(p PieceSent) { mu.Lock(); defer mu.Unlock(); sent = append(sent, p) }
			})
			c := fetching(t, nil)
			for n := range uint32((len(s.bytes) + int(s.size) - 1) / int(s.size)) {
				var got bytes.Buffer
				var seen int64
				p, err := c.Fetch(t.Context(), addr, taskA, n, s.span(n), &got, func(done int64) {
					require.Greater(t, done, seen)
					seen = done
				})
				require.NoError(t, err)
				want := s.bytes[s.span(n).Offset:s.span(n).End()]
				require.True(t, bytes.Equal(want, got.Bytes()))
				require.Equal(t, int64(len(want)), seen)
				require.True(t, p.HasCRC)
				require.Equal(t, crc32.ChecksumIEEE(want), p.CRC)
			}
		})
	}
}

func TestConnectionIsKept(t *testing.T) {
	s := onDisk(t, 1<<20, 4<<20)
	_, addr := serving(t, s, nil)
	dials := 0
	c := fetching(t, func(c *ClientConfig) {
		c.Dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			dials++
			return (&net.Dialer{}).DialContext(ctx, "tcp", to.String())
		}
	})
	for n := range uint32(4) {
		_, err := c.Fetch(t.Context(), addr, taskA, n, s.span(n), io.Discard, nil)
		require.NoError(t, err)
	}
	_, err := c.Fetch(t.Context(), addr, taskA, 99, s.span(0), io.Discard, nil)
	require.Equal(t, darter.NotFound, darter.KindOf(err), "%v", err)
	_, err = c.Fetch(t.Context(), addr, taskA, 0, s.span(0), io.Discard, nil)
	require.NoError(t, err)
	require.Equal(t, 1, dials, "a refusal leaves the connection usable")
}

// A parent as Dragonfly has it closes after each reply: that yields a dial for each piece, and no error.
func TestParentThatClosesAfterEachReply(t *testing.T) {
	s := &shelf{bytes: randomBytes(3000), size: 1000}
	addr := parent(t, func(conn net.Conn) {
		r := readAsked(conn)
		content, err := s.Open(r.task, r.number)
		if err == nil {
			_, _ = conn.Write(appendContent(nil, 0, TagContent, content.Piece))
			_, _ = io.Copy(conn, content.Body)
		}
	})
	c := fetching(t, nil)
	for n := range uint32(3) {
		var got bytes.Buffer
		_, err := c.Fetch(t.Context(), addr, taskA, n, s.span(n), &got, nil)
		require.NoError(t, err)
		require.Equal(t, s.bytes[s.span(n).Offset:s.span(n).End()], got.Bytes())
	}
}

// A child as Dragonfly has it uses a connection once, and closes its sending half as soon as it has the
// metadata: the body must still arrive.
func TestChildThatHalfClosesDuringBody(t *testing.T) {
	s := onDisk(t, 4<<20, 4<<20)
	_, addr := serving(t, s, nil)
	conn, err := net.Dial("tcp", addr.String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write(appendRequest(nil, 0, request{task: taskA}))
	require.NoError(t, err)
	head := make([]byte, headerSize)
	_, err = io.ReadFull(conn, head)
	require.NoError(t, err)
	_, length := parseHeader(head)
	_, err = io.CopyN(io.Discard, conn, int64(length))
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	body, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.True(t, bytes.Equal(s.bytes, body))
}

// parent runs a hand-made parent on loopback.
func parent(t testing.TB, serve func(net.Conn)) netip.AddrPort {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func readAsked(conn net.Conn) request {
	frame := make([]byte, headerSize+requestSize)
	if _, err := io.ReadFull(conn, frame); err != nil {
		return request{}
	}
	r, _ := parseRequest(frame[headerSize:])
	return r
}

func TestHostileParents(t *testing.T) {
	span := darter.Span{Offset: 1000, Length: 1000}
	right := darter.Piece{Number: 1, Offset: 1000, Length: 1000}
	reply := func(p darter.Piece, body int) []byte {
		return append(appendContent(nil, 0, TagContent, p), make([]byte, body)...)
	}
	for name, c := range map[string]struct {
		reply []byte
		kind  darter.Kind
	}{
		"garbage":         {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), darter.Corrupt},
		"frame of 4 GiB":  {[]byte{0, 1, 0xff, 0xff, 0xff, 0xff}, darter.Corrupt},
		"error of 4 GiB":  {[]byte{0, 255, 0xff, 0xff, 0xff, 0xff}, darter.Corrupt},
		"empty error":     {[]byte{0, 255, 0, 0, 0, 0}, darter.Corrupt},
		"short metadata":  {[]byte{0, 1, 0, 0, 0, 4, 0, 0, 0, 0}, darter.Corrupt},
		"another piece":   {reply(darter.Piece{Number: 2, Offset: 1000, Length: 1000}, 1000), darter.Corrupt},
		"another offset":  {reply(darter.Piece{Number: 1, Offset: 0, Length: 1000}, 1000), darter.Corrupt},
		"another length":  {reply(darter.Piece{Number: 1, Offset: 1000, Length: 1001}, 1001), darter.Corrupt},
		"nothing at all":  {nil, darter.Unavailable},
		"cut in header":   {[]byte{0, 1, 0}, darter.Unavailable},
		"cut in body":     {reply(right, 999), darter.Unavailable},
		"internal error":  {appendFailure(nil, 0, CodeInternal, "disk"), darter.Unavailable},
		"busy":            {appendFailure(nil, 0, CodeUnknown, "busy"), darter.Unavailable},
		"reserved error":  {appendFailure(nil, 0, 77, "what"), darter.Unavailable},
		"not found":       {appendFailure(nil, 0, CodeNotFound, "none"), darter.NotFound},
		"invalid request": {appendFailure(nil, 0, CodeInvalid, "no"), darter.Invalid},
	} {
		t.Run(name, func(t *testing.T) {
			addr := parent(t, func(conn net.Conn) { readAsked(conn); _, _ = conn.Write(c.reply) })
			var got bytes.Buffer
			_, err := fetching(t, nil).Fetch(t.Context(), addr, taskA, 1, span, &got, nil)
			require.Error(t, err)
			require.Equal(t, c.kind, darter.KindOf(err), "%v", err)
			require.LessOrEqual(t, got.Len(), 1000)
			if c.kind == darter.Corrupt {
				require.Zero(t, got.Len(), "nothing may be written before the metadata is checked")
			}
		})
	}
}

func TestSurplusIsIgnoredAndTheConnectionDropped(t *testing.T) {
	addr := parent(t, func(conn net.Conn) {
		readAsked(conn)
		_, _ = conn.Write(append(appendContent(nil, 0, TagContent, darter.Piece{Length: 3}), "abcdef"...))
		_, _ = io.Copy(io.Discard, conn)
	})
	c := fetching(t, nil)
	var got bytes.Buffer
	_, err := c.Fetch(t.Context(), addr, taskA, 0, darter.Span{Length: 3}, &got, nil)
	require.NoError(t, err)
	require.Equal(t, "abc", got.String())
	require.Nil(t, c.pool.take(addr))
}

func TestStalledParentEndsWithTheContext(t *testing.T) {
	addr := parent(t, func(conn net.Conn) {
		readAsked(conn)
		_, _ = conn.Write(append(appendContent(nil, 0, TagContent, darter.Piece{Length: 1000}), make([]byte, 10)...))
		_, _ = io.Copy(io.Discard, conn) // until the child goes away
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough waited")
	_, err := fetching(t, nil).Fetch(ctx, addr, taskA, 0, darter.Span{Length: 1000}, io.Discard, func(int64) { cancel(enough) })
	require.ErrorIs(t, err, enough)
	require.Equal(t, darter.Unavailable, darter.KindOf(err))
}

func TestStalledParentIsGivenUp(t *testing.T) {
	addr := parent(t, func(conn net.Conn) { readAsked(conn); _, _ = io.Copy(io.Discard, conn) })
	c := fetching(t, func(c *ClientConfig) { c.StallTimeout = 20 * time.Millisecond })
	_, err := c.Fetch(t.Context(), addr, taskA, 0, darter.Span{Length: 1000}, io.Discard, nil)
	require.Equal(t, darter.TimedOut, darter.KindOf(err), "%v", err)
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	l.Close()
	_, err = fetching(t, nil).Fetch(t.Context(), addr, taskA, 0, darter.Span{Length: 1}, io.Discard, nil)
	require.Equal(t, darter.Unavailable, darter.KindOf(err), "%v", err)
}

type fullDisk struct{ err error }

func (f fullDisk) Write([]byte) (int, error) { return 0, f.err }

func TestWriterErrorComesBackAsItIs(t *testing.T) {
	s := onDisk(t, 1<<20, 1<<20)
	_, addr := serving(t, s, nil)
	full := &darter.Error{Kind: darter.NoSpace, Op: "write piece", Err: errors.New("disk full")}
	c := fetching(t, nil)
	_, err := c.Fetch(t.Context(), addr, taskA, 0, s.span(0), fullDisk{full}, nil)
	require.Same(t, full, err)
	require.Nil(t, c.pool.take(addr), "the rest of the body is still on that connection")
}

func TestKeptConnectionThatDiedIsRetriedOnce(t *testing.T) {
	s := onDisk(t, 1000, 2000)
	_, addr := serving(t, s, nil)
	c := fetching(t, nil)
	here, there := net.Pipe() // alive cannot look into a pipe, so the request finds out
	there.Close()
	c.pool.put(addr, here)
	var got bytes.Buffer
	_, err := c.Fetch(t.Context(), addr, taskA, 1, s.span(1), &got, nil)
	require.NoError(t, err)
	require.Equal(t, s.bytes[1000:], got.Bytes())
}

func TestMalformedRequestsAreRefused(t *testing.T) {
	s := onDisk(t, 1000, 2000)
	for name, ask := range map[string][]byte{
		"oversized":    append([]byte{0, 0, 0xff, 0xff, 0xff, 0xff}, make([]byte, 100)...),
		"undersized":   {0, 0, 0, 0, 0, 67},
		"persistent":   append([]byte{0, 2, 0, 0, 0, 68}, make([]byte, 68)...),
		"a reply":      {0, 1, 0, 0, 0, 68},
		"bad task id":  append([]byte{0, 0, 0, 0, 0, 68}, make([]byte, 68)...),
		"unknown tag":  {0, 99, 0, 0, 0, 0},
		"http request": []byte("GET / HTTP/1.1\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			reasons := make(chan Reason, 1)
			_, addr := serving(t, s, func(c *ServerConfig) { c.Events.Rejected = func(r Rejected) { reasons <- r.Why } })
			conn, err := net.Dial("tcp", addr.String())
			require.NoError(t, err)
			defer conn.Close()
			_, err = conn.Write(ask)
			require.NoError(t, err)
			head := make([]byte, headerSize+1)
			_, err = io.ReadFull(conn, head)
			require.NoError(t, err)
			require.Equal(t, byte(TagError), head[1])
			require.Equal(t, byte(CodeInvalid), head[6])
			require.Equal(t, Malformed, <-reasons)
		})
	}
}

func TestRequestWithoutSlotWaits(t *testing.T) {
	s := &shelf{bytes: randomBytes(3000), size: 1000, gate: make(chan struct{})}
	srv, addr := serving(t, s, func(c *ServerConfig) { c.Slots, c.MostSlots, c.MaxWaiting = 1, 1, 1 })
	c := fetching(t, nil)
	results := make(chan error, 2)
	fetch := func(n uint32) {
		_, err := c.Fetch(t.Context(), addr, taskA, n, s.span(n), io.Discard, nil)
		results <- err
	}
	go fetch(0)
	require.Eventually(t, func() bool { return len(s.opened()) == 1 }, 5*time.Second, time.Millisecond)
	go fetch(1)
	require.Eventually(t, func() bool { return waiting(srv) == 1 }, 5*time.Second, time.Millisecond)
	_, err := c.Fetch(t.Context(), addr, taskA, 2, s.span(2), io.Discard, nil)
	require.Equal(t, darter.Unavailable, darter.KindOf(err))
	require.ErrorContains(t, err, "busy")
	close(s.gate)
	require.NoError(t, <-results)
	require.NoError(t, <-results)
}

func waiting(s *Server) int {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return len(s.queue.mu.waiting)
}

func TestWaitingRequestLeavesWhenItsConnectionCloses(t *testing.T) {
	s := &shelf{bytes: randomBytes(3000), size: 1000, gate: make(chan struct{})}
	srv, addr := serving(t, s, func(c *ServerConfig) { c.Slots, c.MostSlots = 1, 1 })
	first := make(chan error, 1)
	c := fetching(t, nil)
	go func() {
		_, err := c.Fetch(t.Context(), addr, taskA, 0, s.span(0), io.Discard, nil)
		first <- err
	}()
	require.Eventually(t, func() bool { return len(s.opened()) == 1 }, 5*time.Second, time.Millisecond)
	conn, err := net.Dial("tcp", addr.String())
	require.NoError(t, err)
	_, err = conn.Write(appendRequest(nil, 0, request{task: taskA, number: 1}))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return waiting(srv) == 1 }, 5*time.Second, time.Millisecond)
	conn.Close()
	require.Eventually(t, func() bool { return waiting(srv) == 0 }, 5*time.Second, time.Millisecond)
	close(s.gate)
	require.NoError(t, <-first)
	require.Equal(t, []uint32{0}, s.opened(), "nobody waited for piece 1 any more")
}

func TestRunFinishesBodiesAndRefusesTheRest(t *testing.T) {
	s := &shelf{bytes: randomBytes(3000), size: 1000, gate: make(chan struct{})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	cfg := DefaultServerConfig()
	cfg.Listener, cfg.Pieces, cfg.Slots, cfg.MostSlots = l, s, 1, 1
	srv, err := NewServer(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	c := fetching(t, nil)
	running, queued := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := c.Fetch(t.Context(), addr, taskA, 0, s.span(0), io.Discard, nil)
		running <- err
	}()
	require.Eventually(t, func() bool { return len(s.opened()) == 1 }, 5*time.Second, time.Millisecond)
	go func() {
		_, err := c.Fetch(t.Context(), addr, taskA, 1, s.span(1), io.Discard, nil)
		queued <- err
	}()
	require.Eventually(t, func() bool { return waiting(srv) == 1 }, 5*time.Second, time.Millisecond)
	cancel()
	require.Equal(t, darter.Unavailable, darter.KindOf(<-queued))
	close(s.gate)
	require.NoError(t, <-running)
	require.NoError(t, <-ended)
}

func TestRunCutsOffWhatDoesNotFinish(t *testing.T) {
	s := onDisk(t, 64<<20, 64<<20)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	cfg := DefaultServerConfig()
	cfg.Listener, cfg.Pieces, cfg.DrainTimeout, cfg.StallTimeout = l, s, time.Millisecond, time.Hour
	srv, err := NewServer(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write(appendRequest(nil, 0, request{task: taskA}))
	require.NoError(t, err)
	_, err = io.ReadFull(conn, make([]byte, 100)) // the body has begun; then nobody reads on
	require.NoError(t, err)
	cancel()
	require.NoError(t, <-ended)
}

func TestStalledReceiverLosesItsSlot(t *testing.T) {
	s := onDisk(t, 64<<20, 64<<20)
	reasons := make(chan Reason, 4)
	_, addr := serving(t, s, func(c *ServerConfig) {
		c.Slots, c.MostSlots, c.StallTimeout = 1, 1, 30*time.Millisecond
		c.Events.Rejected = func(r Rejected) { reasons <- r.Why }
	})
	conn, err := net.Dial("tcp", addr.String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write(appendRequest(nil, 0, request{task: taskA}))
	require.NoError(t, err)
	require.Equal(t, Interrupted, <-reasons)
}

// Receivers that take just enough not to be dropped must not keep the slots from everybody else.
func TestCrawlingReceiverGivesItsSlotUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{bytes: randomBytes(4 << 20), size: 4 << 20}
		cfg := DefaultServerConfig()
		cfg.Pieces, cfg.Listener, cfg.Slots, cfg.MostSlots = s, &net.TCPListener{}, 1, 1
		srv, err := NewServer(cfg)
		require.NoError(t, err)
		here, there := net.Pipe()
		var served sync.WaitGroup
		served.Go(func() { srv.serve(context.Background(), there) })
		_, err = here.Write(appendRequest(nil, 0, request{task: taskA}))
		require.NoError(t, err)
		body := 0
		for busyAt := time.Now(); ; {
			n, err := here.Read(make([]byte, 32<<10))
			require.NoError(t, err)
			body += n
			synctest.Wait()
			if srv.slotsBusy() == 0 {
				require.Less(t, body, 1<<20)
				require.Greater(t, time.Since(busyAt), crawlAfter)
				break
			}
			time.Sleep(time.Second)
		}
		rest, err := io.Copy(io.Discard, io.LimitReader(here, 4<<20))
		require.NoError(t, err, "it still gets the rest")
		require.Greater(t, rest, int64(3<<20))
		here.Close()
		served.Wait()
		require.Zero(t, srv.slotsBusy(), "the slot was given back once")
	})
}

func (s *Server) slotsBusy() int {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return s.queue.mu.busy
}

func TestTooManyConnections(t *testing.T) {
	reasons := make(chan Reason, 1)
	_, addr := serving(t, onDisk(t, 10, 10), func(c *ServerConfig) {
		c.MaxConnections = 1
		c.Events.Rejected = func(r Rejected) { reasons <- r.Why }
	})
	first, err := net.Dial("tcp", addr.String())
	require.NoError(t, err)
	defer first.Close()
	second, err := net.Dial("tcp", addr.String())
	require.NoError(t, err)
	defer second.Close()
	require.Equal(t, Crowded, <-reasons)
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	_, addr := serving(t, onDisk(t, 10, 10), func(c *ServerConfig) { c.IdleTimeout = 10 * time.Millisecond })
	conn, err := net.Dial("tcp", addr.String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

func TestManyFetchAtOnce(t *testing.T) {
	s := onDisk(t, 300_000, 3_000_000)
	_, addr := serving(t, s, nil)
	c := fetching(t, nil)
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			n := uint32(i % 10)
			var got bytes.Buffer
			_, err := c.Fetch(context.Background(), addr, taskA, n, s.span(n), &got, nil)
			if err != nil || !bytes.Equal(got.Bytes(), s.bytes[s.span(n).Offset:s.span(n).End()]) {
				t.Errorf("piece %d: %v", n, err)
			}
		})
	}
	all.Wait()
}

func TestConfigIsChecked(t *testing.T) {
	_, err := NewServer(DefaultServerConfig())
	require.Equal(t, darter.Invalid, darter.KindOf(err))
	_, err = NewClient(ClientConfig{})
	require.Equal(t, darter.Invalid, darter.KindOf(err))
}

// Whatever arrives, the server answers with frames or closes, and ends.
func FuzzServer(f *testing.F) {
	f.Add(appendRequest(nil, 0, request{task: taskA, number: 0}))
	f.Add(append(appendRequest(nil, 0, request{task: taskA, number: 1}), appendRequest(nil, 0, request{task: taskA, number: 9})...))
	f.Add([]byte{0, 0, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte(strings.Repeat("\x00", 200)))
	s := &shelf{bytes: randomBytes(200), size: 100}
	f.Fuzz(func(t *testing.T, in []byte) {
		cfg := DefaultServerConfig()
		cfg.Pieces, cfg.Listener = s, &net.TCPListener{}
		srv, err := NewServer(cfg)
		require.NoError(t, err)
		here, there := net.Pipe()
		var both sync.WaitGroup
		both.Go(func() { srv.serve(context.Background(), there) })
		both.Go(func() { _, _ = here.Write(in); time.AfterFunc(time.Millisecond, func() { here.Close() }) })
		out, _ := io.ReadAll(here)
		both.Wait()
		if len(out) >= headerSize && out[1] != byte(TagContent) && out[1] != byte(TagError) {
			t.Fatalf("answered with tag %d", out[1])
		}
	})
}
