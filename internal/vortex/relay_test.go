package vortex

import (
	"bytes"
	"context"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/darter-p2p/darter"
)

// arriving is one piece that comes when a test says so.
type arriving struct {
	shelf
	mu    sync.Mutex
	here  int64
	held  bool
	why   error
	moved chan struct{}
}

func arrivingPiece(n int) *arriving {
	return &arriving{shelf: shelf{bytes: randomBytes(n), size: int64(n)}, moved: make(chan struct{})}
}

// come makes so many bytes there, and the piece whole when it is all of them; an error ends it.
func (a *arriving) come(here int64, why error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.here, a.held, a.why = here, here == a.size, why
	close(a.moved)
	a.moved = make(chan struct{})
}

func (a *arriving) Follow(darter.TaskID, uint32) (Arrival, error) {
	return Arrival{Span: a.span(0), Following: a}, nil
}

func (a *arriving) Next(ctx context.Context, b []byte, off int64) (int, error) {
	b = b[:min(int64(len(b)), a.size-off)]
	for {
		a.mu.Lock()
		here, held, why, moved := a.here, a.held, a.why, a.moved
		a.mu.Unlock()
		switch {
		case len(b) == 0 && held:
			return 0, io.EOF
		case len(b) > 0 && off+int64(len(b)) <= here:
			return copy(b, a.bytes[off:]), nil
		case why != nil:
			return 0, why
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

func (a *arriving) Piece() (darter.Piece, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return darter.Piece{Length: a.size, CRC: crc32.ChecksumIEEE(a.bytes), HasCRC: true}, a.held
}

func (a *arriving) Close() error { return nil }

// The receiver has what came long before the rest is there, and ends only when the sender vouches for all of it.
func TestRelayPassesOnWhatIsThere(t *testing.T) {
	const size = 1 << 20
	a := arrivingPiece(size)
	_, addr := serving(t, a, nil)
	c := fetching(t, nil)
	seen := make(chan int64, 64)
	var got bytes.Buffer
	done := make(chan error, 1)
	var p darter.Piece
	go func() {
		var err error
		p, err = c.Relay(t.Context(), addr, taskA, 0, a.span(0), Start{}, &got, func(n int64) { seen <- n })
		done <- err
	}()
	for _, part := range []int64{firstChunk, firstChunk + sendChunk, size/2 + firstChunk} {
		a.come(part, nil)
		for <-seen < part {
		}
	}
	a.come(size, nil)
	require.NoError(t, <-done)
	require.True(t, bytes.Equal(a.bytes, got.Bytes()))
	require.Equal(t, crc32.ChecksumIEEE(a.bytes), p.CRC)

	got.Reset()
	_, err := c.Relay(t.Context(), addr, taskA, 0, a.span(0), Start{Offset: size - 10}, &got, nil)
	require.NoError(t, err)
	require.True(t, bytes.Equal(a.bytes[size-10:], got.Bytes()))
	_, err = c.Relay(t.Context(), addr, taskA, 0, a.span(0), Start{Offset: size + 1}, &got, nil)
	require.Equal(t, darter.Invalid, darter.KindOf(err))
}

// However a relay ends, the receiver knows what its bytes are worth, and the connection can be used again.
func TestRelayEnds(t *testing.T) {
	for name, one := range map[string]struct {
		why  error
		want darter.Kind
	}{
		"left":        {&darter.Error{Kind: darter.Unavailable, Op: "follow"}, darter.NotFound},
		"thrown away": {&darter.Error{Kind: darter.Corrupt, Op: "follow"}, darter.Conflict},
		"removed":     {&darter.Error{Kind: darter.NotFound, Op: "follow"}, darter.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			a := arrivingPiece(1 << 20)
			_, addr := serving(t, a, nil)
			dials := 0
			c := fetching(t, func(cfg *ClientConfig) {
				inner := net.Dialer{}
				cfg.Dial = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
					dials++
					return inner.DialContext(ctx, "tcp", to.String())
				}
			})
			a.come(300<<10, one.why)
			var got bytes.Buffer
			_, err := c.Relay(t.Context(), addr, taskA, 0, a.span(0), Start{}, &got, nil)
			require.Equal(t, one.want, darter.KindOf(err), "%v", err)
			require.True(t, bytes.HasPrefix(a.bytes, got.Bytes()))
			require.GreaterOrEqual(t, got.Len(), 300<<10-sendChunk)
			a.come(a.size, nil)
			_, err = c.Relay(t.Context(), addr, taskA, 0, a.span(0), Start{Offset: int64(got.Len())}, &got, nil)
			require.NoError(t, err)
			require.True(t, bytes.Equal(a.bytes, got.Bytes()))
			require.Equal(t, 1, dials)
		})
	}
}

// A further copy gives way to a piece that only this host has, also while nothing more of it comes.
func TestRelayGivesWay(t *testing.T) {
	a := arrivingPiece(1 << 20)
	a.come(200<<10, nil)
	s, addr := serving(t, a, func(c *ServerConfig) { c.Slots, c.MostSlots = 1, 1 })
	first, err := s.queue.join(ask{key: key{taskA, 0}, host: hostA}) // a first copy, done
	require.NoError(t, err)
	s.queue.release(first, true)
	c := fetching(t, nil)
	begun, done := make(chan int64, 64), make(chan error, 1)
	var got bytes.Buffer
	go func() {
		_, err := c.Relay(t.Context(), addr, taskA, 0, a.span(0), Start{}, &got, func(n int64) { begun <- n })
		done <- err
	}()
	<-begun
	urgent, err := s.queue.join(ask{key: key{taskA, 1}, host: hostB, sole: true})
	require.NoError(t, err)
	require.Equal(t, darter.Denied, darter.KindOf(<-done))
	require.True(t, bytes.HasPrefix(a.bytes, got.Bytes()))
	<-urgent.settled
	require.NoError(t, urgent.refused)
	s.queue.release(urgent, true)
}

// While nothing comes, others have the slot; the relay goes on all the same.
func TestRelayWaitsWithoutItsSlot(t *testing.T) {
	a := arrivingPiece(1 << 20)
	a.come(200<<10, nil)
	s, addr := serving(t, a, func(c *ServerConfig) { c.Slots, c.MostSlots = 1, 1 })
	begun, done := make(chan int64, 64), make(chan error, 1)
	c := fetching(t, nil)
	go func() {
		_, err := c.Relay(t.Context(), addr, taskA, 0, a.span(0), Start{}, io.Discard, func(n int64) { begun <- n })
		done <- err
	}()
	<-begun
	other, err := s.queue.join(ask{key: key{taskA, 1}, host: hostB})
	require.NoError(t, err)
	<-other.settled
	require.NoError(t, other.refused)
	a.come(a.size, nil)
	require.NoError(t, <-done)
	s.queue.release(other, true)
}

// A requester that goes away while nothing comes frees its slot at once.
func TestRelayEndsWithItsRequester(t *testing.T) {
	a := arrivingPiece(1 << 20)
	a.come(100<<10, nil)
	rejected := make(chan Rejected, 8)
	_, addr := serving(t, a, func(c *ServerConfig) { c.Events.Rejected = func(r Rejected) { rejected <- r } })
	ctx, cancel := context.WithCancel(t.Context())
	_, err := fetching(t, nil).Relay(ctx, addr, taskA, 0, a.span(0), Start{}, io.Discard, func(int64) { cancel() })
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, Interrupted, (<-rejected).Why)
}

// scripted is a connection whose other end said everything already.
type scripted struct {
	net.Conn
	said *bytes.Reader
}

func (s scripted) Read(b []byte) (int, error)      { return s.said.Read(b) }
func (s scripted) Write(b []byte) (int, error)     { return len(b), nil }
func (s scripted) SetDeadline(time.Time) error     { return nil }
func (s scripted) SetReadDeadline(time.Time) error { return nil }
func (s scripted) Close() error                    { return nil }

// relayed reads what a parent says after a relay request for a piece of ten bytes.
func relayed(t testing.TB, said []byte) ([]byte, darter.Piece, error) {
	c, err := NewClient(DefaultClientConfig())
	require.NoError(t, err)
	var got bytes.Buffer
	x := &exchange{client: c, ask: request{task: taskA, relay: true}, span: darter.Span{Length: 10}, to: &got}
	p, _, err := x.talk(t.Context(), scripted{said: bytes.NewReader(said)})
	return got.Bytes(), p, err
}

func chunked(parts ...[]byte) []byte {
	b := appendContent(nil, 0, TagRelayed, darter.Piece{Length: 10})
	for _, part := range parts {
		chunk := append(make([]byte, chunkHead), part...)
		sealChunk(chunk)
		b = append(b, chunk...)
	}
	return b
}

// Nothing of a chunk that is wrong is passed on, and none may be too long or missing.
func TestRelayChecksChunks(t *testing.T) {
	good := []byte("0123456789")
	end := appendMark(nil, endOfBody, crc32.ChecksumIEEE(good))
	got, p, err := relayed(t, append(chunked(good[:4], good[4:]), end...))
	require.NoError(t, err)
	require.Equal(t, good, got)
	require.True(t, p.HasCRC && p.CRC == crc32.ChecksumIEEE(good))

	flipped := chunked(good[:4], good[4:])
	flipped[len(flipped)-1] ^= 1
	got, _, err = relayed(t, append(flipped, end...))
	require.Equal(t, darter.Corrupt, darter.KindOf(err))
	require.Equal(t, good[:4], got)
	for name, said := range map[string][]byte{
		"too long":   chunked(good, good[:1]),
		"ends early": append(chunked(good[:4]), end...),
		"huge":       appendMark(chunked(), maxChunk+1, 0),
	} {
		_, _, err := relayed(t, said)
		require.Equal(t, darter.Corrupt, darter.KindOf(err), name)
	}
}

// Whatever a parent says, no more than the piece is taken, and a clean end means that all of it came.
func FuzzRelay(f *testing.F) {
	good := []byte("0123456789")
	f.Add(append(chunked(good[:4], good[4:]), appendMark(nil, endOfBody, crc32.ChecksumIEEE(good))...))
	f.Add(appendMark(chunked(good[:4]), givenUp, uint32(endedLeft)))
	f.Add(appendMark(chunked(), givenUp, uint32(endedBusy)))
	f.Add(appendFailure(nil, 0, CodeNotFound, "gone"))
	f.Fuzz(func(t *testing.T, said []byte) {
		got, p, err := relayed(t, said)
		if len(got) > 10 || (err == nil && (len(got) != 10 || !p.HasCRC)) {
			t.Fatalf("%d bytes, %+v, %v", len(got), p, err)
		}
	})
}
