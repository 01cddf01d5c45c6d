package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	managerv2 "d7y.io/api/v2/pkg/apis/manager/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/manager/affinity"
)

// Config is what the server needs.
type Config struct {
	Book   Book          // required
	TTL    time.Duration // how long a member is believed to live after a sign of life
	Look   time.Duration // how often the picture is renewed; default 1s
	Events Events
}

// Events tells what happened. Any may be nil.
type Events struct {
	Listed func(to netip.Addr, schedulers int)
	Blind  func(err error) // the picture could not be renewed; the last one stays
}

// Server answers manager.v2.Manager.
type Server struct {
	managerv2.UnimplementedManagerServer
	cfg    Config
	view   atomic.Pointer[view]
	health *health.Server

	hearing  sync.WaitGroup // streams of signs of life
	stopping chan struct{}  // closed by Stop
	stop     sync.Once
}

// view is a picture, and what was computed from it. It never changes.
type view struct {
	*Picture
	taken    time.Time
	searcher *affinity.Searcher
	clusters map[uint64]*Cluster
}

// New returns a server that knows nothing yet: Renew looks.
func New(cfg Config) *Server {
	if cfg.Look == 0 {
		cfg.Look = time.Second
	}
	s := &Server{cfg: cfg, health: health.NewServer(), stopping: make(chan struct{})}
	s.view.Store(newView(&Picture{}))
	return s
}

func newView(p *Picture) *view {
	v := &view{Picture: p, taken: time.Now(), clusters: make(map[uint64]*Cluster, len(p.Clusters))}
	scopes := make([]affinity.Cluster, len(p.Clusters))
	for i := range p.Clusters {
		c := &p.Clusters[i]
		v.clusters[c.ID] = c
		scopes[i] = affinity.Cluster{ID: c.ID, Name: c.Name, Default: c.Default, IDC: c.IDC, Location: c.Location, Networks: c.Networks, Hostnames: c.Hostnames}
	}
	v.searcher = affinity.New(scopes)
	return v
}

// Renew looks at the rows. It is called by Run, and by whoever has changed them and wants that seen at once.
func (s *Server) Renew(ctx context.Context) error {
	p, err := s.cfg.Book.Picture(ctx)
	if err != nil {
		if s.cfg.Events.Blind != nil && ctx.Err() == nil {
			s.cfg.Events.Blind(err)
		}
		return err
	}
	s.view.Store(newView(p))
	return nil
}

// Age is how old the picture is that lists are made of.
func (s *Server) Age() time.Duration { return time.Since(s.view.Load().taken) }

// Match says how well each cluster fits a daemon, the best first. Those without a scheduler to send it to are left out
// when live is set.
func (s *Server) Match(a affinity.Asker, live bool) []affinity.Score {
	v := s.view.Load()
	ranked := v.searcher.Rank(a)
	if !live {
		return ranked
	}
	out := ranked[:0]
	for _, c := range ranked {
		if len(v.schedulers(c.Cluster)) > 0 {
			out = append(out, c)
		}
	}
	return out
}

// GRPC returns a gRPC server with this service and health on it. The caller serves and stops it.
func (s *Server) GRPC(more ...grpc.ServerOption) *grpc.Server {
	g := grpc.NewServer(append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(4 << 20), grpc.MaxConcurrentStreams(1024), grpc.ConnectionTimeout(5 * time.Second),
		grpc.ReadBufferSize(8 << 10), grpc.WriteBufferSize(8 << 10),
		// Plain Dragonfly clients ping every 300 s, our own more often; neither is an attack.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second}),
	}, more...)...)
	managerv2.RegisterManagerServer(g, s)
	healthv1.RegisterHealthServer(g, s.health)
	return g
}

// Active returns the schedulers that are alive, by cluster and number.
func (s *Server) Active() []Member {
	var out []Member
	for _, m := range s.view.Load().Members {
		if m.Kind == SchedulerKind && m.Active {
			out = append(out, m)
		}
	}
	return out
}

// Run keeps the picture fresh until ctx ends; then it stops the server's streams.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(s.cfg.Look)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.Stop()
			s.hearing.Wait()
			return nil
		case <-tick.C:
			_ = s.Renew(ctx) // Blind tells; the next turn tries again
		}
	}
}

// Stop tells health probes and members that this server goes, so that no stream holds up its end.
func (s *Server) Stop() {
	s.health.Shutdown()
	s.stop.Do(func() { close(s.stopping) })
}

func invalid(op string, err error) error {
	return wire.Status(&darter.Error{Kind: darter.Invalid, Op: op, Err: err})
}

func unknown(op string, kind Kind, hostname string) error {
	announce := "UpdateScheduler"
	if kind == SeedKind {
		announce = "UpdateSeedPeer"
	}
	return wire.Status(&darter.Error{Kind: darter.NotFound, Op: op, Err: fmt.Errorf("no %s %q is known here", kind, hostname), Hint: "announce it with " + announce + " first"})
}

var errNotMember = errors.New("only schedulers and seed peers keep themselves alive here; daemons announce themselves to schedulers")
