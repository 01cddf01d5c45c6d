package rpc

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// neighbourLinks are the connections to parents: one per address, shared by all tasks, and closed when nobody
// has used it for a while.
type neighbourLinks struct {
	cfg NeighboursConfig

	mu struct {
		sync.Mutex
		closed bool
		open   map[netip.AddrPort]*neighbourLink
	}
}

type neighbourLink struct {
	at    netip.AddrPort
	conn  *grpc.ClientConn
	users int
	rest  *time.Timer // closes the connection; runs while users is 0
}

func newNeighbourLinks(cfg NeighboursConfig) *neighbourLinks {
	l := &neighbourLinks{cfg: cfg}
	l.mu.open = map[netip.AddrPort]*neighbourLink{}
	return l
}

// acquire returns the connection to an address, to be released after use.
func (l *neighbourLinks) acquire(at netip.AddrPort) (*neighbourLink, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return nil, errors.New("this host is shutting down")
	}
	k := l.mu.open[at]
	if k == nil {
		conn, err := l.dial(at) // opens nothing yet
		if err != nil {
			return nil, err
		}
		k = &neighbourLink{at: at, conn: conn}
		l.mu.open[at] = k
	}
	if k.rest != nil {
		k.rest.Stop()
		k.rest = nil
	}
	k.users++
	return k, nil
}

// release gives a connection back.
func (l *neighbourLinks) release(k *neighbourLink) {
	l.mu.Lock()
	k.users--
	last := k.users == 0
	if last && !l.mu.closed {
		k.rest = time.AfterFunc(l.cfg.KeepFor, func() { l.expire(k) })
	}
	closed := l.mu.closed
	l.mu.Unlock()
	if last && closed {
		_ = k.conn.Close()
	}
}

// expire closes a connection that nobody used for long, unless somebody does by now.
func (l *neighbourLinks) expire(k *neighbourLink) {
	l.mu.Lock()
	unused := k.users == 0 && l.mu.open[k.at] == k
	if unused {
		delete(l.mu.open, k.at)
	}
	l.mu.Unlock()
	if unused {
		_ = k.conn.Close()
	}
}

// close closes what is not in use; the rest is closed with its last release.
func (l *neighbourLinks) close() {
	l.mu.Lock()
	l.mu.closed = true
	var unused []*neighbourLink
	for _, k := range l.mu.open {
		if k.rest != nil {
			k.rest.Stop()
		}
		if k.users == 0 {
			unused = append(unused, k)
		}
	}
	clear(l.mu.open)
	l.mu.Unlock()
	for _, k := range unused {
		_ = k.conn.Close()
	}
}

// dial prepares a connection; gRPC opens it at the first call.
func (l *neighbourLinks) dial(at netip.AddrPort) (*grpc.ClientConn, error) {
	delays := backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second}
	return grpc.NewClient("passthrough:///"+at.String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithNoProxy(), grpc.WithIdleTimeout(0), grpc.WithDisableServiceConfig(),
		grpc.WithReadBufferSize(8<<10), grpc.WithWriteBufferSize(8<<10),
		grpc.WithStaticStreamWindowSize(1<<20), grpc.WithStaticConnWindowSize(1<<20), // no ping per message to find a better one
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<10)), // a report has some forty bytes
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: delays, MinConnectTimeout: l.cfg.ConnectTimeout}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: l.cfg.Ping, Timeout: l.cfg.PongWait}),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, l.cfg.ConnectTimeout)
			defer cancel()
			return l.cfg.Dial(ctx, address)
		}),
		grpc.WithChainUnaryInterceptor(nativeUnary), grpc.WithChainStreamInterceptor(nativeStream))
}
