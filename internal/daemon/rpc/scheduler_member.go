package rpc

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
)

// member is one scheduler of the set.
type member struct {
	s  *Schedulers
	at netip.AddrPort

	mu struct {
		sync.Mutex
		link   *link // nil until first used
		origin origin
		rest   time.Time // left alone until then
		err    error     // why
		up     bool      // a connection stands
		lost   bool      // one stood before, and broke

		heard  time.Time     // last sign of life
		usual  time.Duration // how long answers take, smoothed
		silent time.Time     // when it gave no sign of life last; zero once it did; see scheduler_silence.go
	}
	proofs singleflight.Group
}

// origin is whether a scheduler is one of our own, once it said something.
type origin uint8

const (
	unheard origin = iota
	foreign
	native
)

// link is one connection, shared. It closes when it was retired and nobody uses it any more.
type link struct {
	conn    *grpc.ClientConn
	pings   bool
	uses    int // guarded by the member's lock
	retired chan struct{}
}

// acquire returns the connection, making it when there is none. Nothing is dialled before its first use.
func (m *member) acquire() (*link, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.link == nil {
		conn, err := m.s.dial(m.at, m.mu.origin == native)
		if err != nil {
			return nil, unavailable(schedulerOp("connect to", m.at), err)
		}
		m.mu.link = &link{conn: conn, pings: m.mu.origin == native, retired: make(chan struct{})}
	}
	m.mu.link.uses++
	return m.mu.link, nil
}

func (m *member) release(l *link) {
	m.mu.Lock()
	l.uses--
	last := l.uses == 0 && l.isRetired()
	m.mu.Unlock()
	if last {
		_ = l.conn.Close()
	}
}

func (l *link) isRetired() bool {
	select {
	case <-l.retired:
		return true
	default:
		return false
	}
}

// retire stops new uses of the connection; it closes after the last.
func (m *member) retire() {
	m.mu.Lock()
	l := m.mu.link
	m.mu.link = nil
	idle := l != nil && l.uses == 0
	if l != nil {
		close(l.retired)
	}
	m.mu.Unlock()
	if idle {
		_ = l.conn.Close()
	}
}

// cut closes the connection under whoever uses it.
func (m *member) cut() {
	m.mu.Lock()
	l := m.mu.link
	m.mu.Unlock()
	if l != nil {
		_ = l.conn.Close()
	}
	m.retire()
}

// heard notes what the headers of a conversation say of the scheduler. The first word of one of our own makes the next
// connection one that pings.
func (m *member) heard(header metadata.MD) {
	is := foreign
	if v := header.Get(wire.MetaNative); len(v) > 0 && v[0] == "1" {
		is = native
	}
	m.mu.Lock()
	m.mu.origin = is
	m.mu.rest, m.mu.err = time.Time{}, nil
	renew := is == native && m.mu.link != nil && !m.mu.link.pings
	m.mu.Unlock()
	if renew {
		m.retire()
	}
}

// well notes that a plain call was answered. Its headers may name one of our own, but their silence says nothing.
func (m *member) well(header metadata.MD) {
	if len(header.Get(wire.MetaNative)) > 0 {
		m.heard(header)
		return
	}
	m.mu.Lock()
	m.mu.rest, m.mu.err = time.Time{}, nil
	m.mu.Unlock()
}

func (m *member) isNative() (is, known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.origin == native, m.mu.origin != unheard
}

// failed leaves the scheduler alone for a while.
func (m *member) failed(err error) {
	m.mu.Lock()
	fresh := m.mu.rest.IsZero()
	m.mu.rest, m.mu.err = time.Now().Add(m.s.cfg.DownFor), err
	m.mu.Unlock()
	if fresh && m.s.cfg.Events.Down != nil {
		m.s.cfg.Events.Down(m.at, err)
	}
}

// resting returns an error while the scheduler is left alone.
func (m *member) resting(now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.After(m.mu.rest) || m.mu.rest.IsZero() {
		return nil
	}
	return unavailable(schedulerOp("ask", m.at), fmt.Errorf("%w: %w", errResting, m.mu.err))
}

func (m *member) status() Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Status{At: m.at, Up: m.mu.up, Native: m.mu.origin == native, Err: m.mu.err}
}

// seen notes a state of the connection, and returns true when it stands again after it was lost.
func (m *member) seen(state connectivity.State) (returned bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch state {
	case connectivity.Ready:
		returned = m.mu.lost
		m.mu.up, m.mu.lost = true, false
		m.mu.rest, m.mu.err = time.Time{}, nil
	case connectivity.TransientFailure:
		m.mu.up, m.mu.lost = false, true
	case connectivity.Idle:
		m.mu.lost = m.mu.lost || m.mu.up
		m.mu.up = false
	}
	return returned
}

// dial prepares a connection; gRPC opens it at the first call.
func (s *Schedulers) dial(at netip.AddrPort, pings bool) (*grpc.ClientConn, error) {
	delays := backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: s.cfg.ReconnectMax}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithNoProxy(), grpc.WithIdleTimeout(0), grpc.WithDisableServiceConfig(),
		grpc.WithReadBufferSize(8 << 10), grpc.WithWriteBufferSize(8 << 10),
		// A window that grows costs a ping and an answer for every message; messages here are small.
		grpc.WithStaticStreamWindowSize(1 << 20), grpc.WithStaticConnWindowSize(1 << 20),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16 << 20)),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: delays, MinConnectTimeout: s.cfg.ConnectTimeout}),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, s.cfg.ConnectTimeout)
			defer cancel()
			return s.cfg.Dial(ctx, address)
		}),
		grpc.WithChainUnaryInterceptor(nativeUnary), grpc.WithChainStreamInterceptor(nativeStream),
	}
	if pings {
		options = append(options, grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: s.cfg.Ping, Timeout: s.cfg.PongWait}))
	}
	return grpc.NewClient("passthrough:///"+at.String(), options...)
}

// nativeUnary says on every call that one of our own daemons speaks.
func nativeUnary(ctx context.Context, method string, in, out any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	return invoke(metadata.AppendToOutgoingContext(ctx, wire.MetaNative, "1"), method, in, out, conn, options...)
}

func nativeStream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
	return open(metadata.AppendToOutgoingContext(ctx, wire.MetaNative, "1"), desc, conn, method, options...)
}

// worthResting reports whether an error speaks of the scheduler as a whole rather than of one question.
func worthResting(err error) bool {
	k := darter.KindOf(err)
	return k == darter.Unavailable || k == darter.TimedOut
}
