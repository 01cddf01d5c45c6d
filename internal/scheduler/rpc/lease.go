package rpc

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
	"github.com/darter-p2p/darter/api/wire"
)

// Leases is what the lease service needs of those who know hosts and their content. Calls of one stream come one
// after another, those of different streams at once. None may block: the host waits for its grant.
type Leases interface {
	// Renewed takes a renewal and returns the grant. Its Next is above 0 unless it is Superseded, which ends the
	// stream. Seq is filled in. WantInventory begins a comparison, unless one runs, too many do, or the host does not
	// say what it holds: whoever still sees a difference at a later renewal asks again.
	Renewed(r darter.Renewal, c LeaseConn) darter.Grant
	// StreamBroken tells that the latest stream of a host has ended without a leave: err is nil when the host ended it in order,
	// darter.TimedOut when it was silent, darter.Invalid when it sent nonsense. It is not called when a later stream of
	// the same host is open already, nor when this scheduler stops.
	StreamBroken(host darter.HostID, e darter.Epoch, c LeaseConn, err error)
	// Holdings returns what is known of the content of a host, to be compared.
	Holdings(host darter.HostID) []darter.Location
	// InventoryPage takes a part of what a comparison found.
	InventoryPage(host darter.HostID, e darter.Epoch, p InventoryPage)
}

// LeaseConn is one stream of one host.
type LeaseConn struct {
	ID   uint64         // of the stream, rising
	From netip.AddrPort // the other end of the connection; invalid when that is not a network address
}

// InventoryPage is a part of the difference between what is known of a host and what it holds: at most 256 tasks.
type InventoryPage struct {
	Gained []darter.Location // it holds them, or holds them in another form
	Lost   []darter.TaskID   // it does not hold them
	Last   bool              // the comparison is over
}

// LeaseConfig are the settings of a LeaseServer.
type LeaseConfig struct {
	Leases Leases        // required
	First  time.Duration // longest wait for the first renewal of a stream; default 10s
	// Silent is after how many granted intervals without a word a stream is ended, but never before SilentMin: to
	// declare the host dead is not this service's business, to free the stream is. Default 4, and 10s.
	Silent       int
	SilentMin    time.Duration
	Queue        int           // grants that may wait for a host that does not read; default 16
	AnswerWait   time.Duration // longest wait for the answer to questions; default 30s
	Walks        int           // comparisons at once; default 64
	LocationRate int           // locations per second that all comparisons together ask for; default 50,000
	Events       LeaseEvents
}

// LeaseEvents tells what happened. Any may be nil; none may block.
type LeaseEvents struct {
	Opened   func(host darter.HostID, c LeaseConn)
	Ended    func(host darter.HostID, c LeaseConn, err error) // each stream, also one that said nothing; nil: in order
	Compared func(c Compared)
}

// Compared tells of a comparison of inventories that came to its end.
type Compared struct {
	Host         darter.HostID
	Gained, Lost int
	Answers      int
	Took         time.Duration
}

// DefaultLeaseConfig returns the defaults; Leases is still to be set.
func DefaultLeaseConfig() LeaseConfig {
	return LeaseConfig{First: 10 * time.Second, Silent: 4, SilentMin: 10 * time.Second, Queue: 16, AnswerWait: 30 * time.Second, Walks: 64, LocationRate: 50_000}
}

// Validate says what is wrong with the settings.
func (c LeaseConfig) Validate() error {
	if c.Leases == nil || c.First <= 0 || c.Silent <= 0 || c.SilentMin <= 0 || c.Queue <= 0 || c.AnswerWait <= 0 || c.Walks <= 0 || c.LocationRate <= 0 {
		return &darter.Error{Kind: darter.Invalid, Op: "check lease settings", Err: errors.New("Leases is required, and every duration and limit must be above zero")}
	}
	return nil
}

// LeaseServer serves darter.v1.Liveness.
//
//	host ─▶ Renewal ─▶ Leases.Renewed ─▶ Grant ─▶ host         one goroutine reads, one writes
//	            WantInventory ─▶ Walk ─▶ Questions ─▶ host ─▶ Answer ─▶ Leases.InventoryPage
//
// It promises one grant for each renewal, in order; that a host that does not read, does not speak, renews without end
// or sends nonsense costs a bounded queue and then its stream; and that comparisons never delay a grant.
type LeaseServer struct {
	darterv1.UnimplementedLivenessServer
	cfg     LeaseConfig
	budget  *rate.Limiter // of locations
	workers sync.WaitGroup
	last    atomic.Uint64 // id of the last stream

	mu struct {
		sync.Mutex
		stopping bool
		streams  map[uint64]*leaseStream
		latest   map[darter.HostID]*leaseStream
		walks    int
	}
}

// NewLeaseServer checks the settings. Register makes it serve.
func NewLeaseServer(cfg LeaseConfig) (*LeaseServer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &LeaseServer{cfg: cfg, budget: rate.NewLimiter(rate.Limit(cfg.LocationRate), max(cfg.LocationRate, burstOfLocations))}
	s.mu.streams, s.mu.latest = map[uint64]*leaseStream{}, map[darter.HostID]*leaseStream{}
	return s, nil
}

// Register makes the service one of a gRPC server.
func (s *LeaseServer) Register(r grpc.ServiceRegistrar) { darterv1.RegisterLivenessServer(r, s) }

// Prompt sends a host a word unasked on its latest stream: to renew at once, to announce itself, to keep another interval. It
// returns false when there is no such stream, or the host does not read it. WantInventory is not for Prompt: a
// comparison begins with a renewal, so ask for one.
func (s *LeaseServer) Prompt(host darter.HostID, g darter.Grant) bool {
	s.mu.Lock()
	c := s.mu.latest[host]
	s.mu.Unlock()
	if c == nil {
		return false
	}
	g.Seq, g.WantInventory = 0, false
	return c.push(g)
}

// Streams returns how many streams are open.
func (s *LeaseServer) Streams() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.streams)
}

// Stop ends every stream and refuses new ones. No StreamBroken follows: it is not the hosts that went.
func (s *LeaseServer) Stop() {
	s.mu.Lock()
	s.mu.stopping = true
	streams := make([]*leaseStream, 0, len(s.mu.streams))
	for _, c := range s.mu.streams {
		streams = append(streams, c)
	}
	s.mu.Unlock()
	for _, c := range streams {
		c.end(errStopping())
	}
}

// Wait returns when every reader and writer has ended. Call it after the gRPC server has stopped.
func (s *LeaseServer) Wait() { s.workers.Wait() }

func errStopping() error {
	return &darter.Error{Kind: darter.Unavailable, Op: "keep a stream", Err: errors.New("the scheduler stops"), Hint: "open another one; the scheduler comes back, or the set of schedulers changes"}
}

// Lease serves one host's stream.
func (s *LeaseServer) Lease(stream darterv1.Liveness_LeaseServer) error {
	if err := stream.SendHeader(metadata.Pairs(wire.MetaNative, "1")); err != nil {
		return err
	}
	c, err := s.open(stream.Context())
	if err != nil {
		return wire.Status(err)
	}
	s.workers.Go(func() { s.serve(c, stream) })
	s.workers.Go(func() { c.write(stream) })
	// The handler itself only waits: its return is what frees a writer whose host does not read.
	return wire.Status(c.verdict())
}

func (s *LeaseServer) open(ctx context.Context) (*leaseStream, error) {
	c := &leaseStream{server: s, conn: LeaseConn{ID: s.last.Add(1)}, out: make(chan darter.Grant, s.cfg.Queue), asks: make(chan ask, 1), done: make(chan struct{}),
		calm: rate.NewLimiter(rate.Inf, renewalBurst)}
	if p, ok := peer.FromContext(ctx); ok {
		c.conn.From, _ = netip.ParseAddrPort(p.Addr.String())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.stopping {
		return nil, errStopping()
	}
	s.mu.streams[c.conn.ID] = c
	return c, nil
}

// serve reads a stream to its end and tells of it.
func (s *LeaseServer) serve(c *leaseStream, in darterv1.Liveness_LeaseServer) {
	c.silence = time.AfterFunc(s.cfg.First, func() { c.end(errSilent()) })
	c.slow = time.AfterFunc(s.cfg.AnswerWait, func() { c.end(errUnanswered()) })
	c.slow.Stop() // nothing was asked yet
	c.end(c.read(in))
	c.silence.Stop()
	c.slow.Stop()
	err := c.verdict()
	if s.forget(c) {
		s.cfg.Leases.StreamBroken(c.host, c.epoch, c.conn, err)
	}
	if f := s.cfg.Events.Ended; f != nil {
		f(c.host, c.conn, err)
	}
}

// adopt makes c the latest stream of its host. An earlier one of the same run is of no more use: its host gave it up.
func (s *LeaseServer) adopt(c *leaseStream) {
	s.mu.Lock()
	before := s.mu.latest[c.host]
	s.mu.latest[c.host] = c
	s.mu.Unlock()
	if before != nil && before.first == c.first {
		before.end(&darter.Error{Kind: darter.Conflict, Op: "keep the lease of " + string(c.host), Err: errors.New("the host opened another stream")})
	}
	if f := s.cfg.Events.Opened; f != nil {
		f(c.host, c.conn)
	}
}

// forget takes a stream out, and reports whether its end is news of its host.
func (s *LeaseServer) forget(c *leaseStream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.streams, c.conn.ID)
	if c.walk != nil {
		s.mu.walks--
	}
	if c.host == "" || s.mu.latest[c.host] != c {
		return false
	}
	delete(s.mu.latest, c.host)
	return !s.mu.stopping
}

// mayWalk takes one of the places for comparisons.
func (s *LeaseServer) mayWalk() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.walks >= s.cfg.Walks {
		return false
	}
	s.mu.walks++
	return true
}

func (s *LeaseServer) walked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.walks--
}
