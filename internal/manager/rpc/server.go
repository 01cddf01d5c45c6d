package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	managerv2 "d7y.io/api/v2/pkg/apis/manager/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
)

// Config is what the server needs.
type Config struct {
	Fixed  []Scheduler   // always listed
	TTL    time.Duration // how long an announced scheduler is believed to live after a sign of life
	Events Events
}

// Events tells what happened. Any may be nil.
type Events struct {
	Joined func(Scheduler)
	Lost   func(Scheduler)
	Listed func(to netip.Addr, schedulers int)
}

// Server answers manager.v2.Manager.
type Server struct {
	managerv2.UnimplementedManagerServer
	cfg    Config
	roster *roster
	health *health.Server

	hearing  sync.WaitGroup // streams of signs of life
	stopping chan struct{}  // closed by Stop
	stop     sync.Once
}

// New returns a server that knows the fixed schedulers.
func New(cfg Config) *Server {
	return &Server{cfg: cfg, roster: newRoster(cfg.Fixed), health: health.NewServer(), stopping: make(chan struct{})}
}

// GRPC returns a gRPC server with this service and health on it. The caller serves and stops it.
func (s *Server) GRPC() *grpc.Server {
	g := grpc.NewServer(
		grpc.MaxRecvMsgSize(1<<20), grpc.MaxConcurrentStreams(1024), grpc.ConnectionTimeout(5*time.Second),
		grpc.ReadBufferSize(8<<10), grpc.WriteBufferSize(8<<10),
		// Plain Dragonfly clients ping every 300 s, our own more often; neither is an attack.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
	)
	managerv2.RegisterManagerServer(g, s)
	healthv1.RegisterHealthServer(g, s.health)
	return g
}

// Active returns who is alive, by cluster and number.
func (s *Server) Active(now time.Time) []Scheduler {
	var out []Scheduler
	for _, l := range s.roster.list(0, now) {
		if l.alive {
			out = append(out, l.Scheduler)
		}
	}
	return out
}

// Watch tells of schedulers that fall silent, until ctx ends; then it stops the server's streams.
func (s *Server) Watch(ctx context.Context) error {
	tick := time.NewTicker(max(s.cfg.TTL/4, 100*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.Stop()
			s.hearing.Wait()
			return nil
		case <-tick.C:
			for _, gone := range s.roster.fallen(time.Now()) {
				if s.cfg.Events.Lost != nil {
					s.cfg.Events.Lost(gone)
				}
			}
		}
	}
}

// Stop tells health probes and schedulers that this server goes, so that no stream holds up its end.
func (s *Server) Stop() {
	s.health.Shutdown()
	s.stop.Do(func() { close(s.stopping) })
}

func (s *Server) joined(sch Scheduler) {
	if s.cfg.Events.Joined != nil {
		s.cfg.Events.Joined(sch)
	}
}

func invalid(op string, err error) error {
	return wire.Status(&darter.Error{Kind: darter.Invalid, Op: op, Err: err})
}

func unknown(op, hostname string) error {
	return wire.Status(&darter.Error{Kind: darter.NotFound, Op: op, Err: fmt.Errorf("no scheduler %q is known here", hostname),
		Hint: "announce it with UpdateScheduler first"})
}

var errNotScheduler = errors.New("only schedulers keep themselves alive here; daemons announce themselves to schedulers")
