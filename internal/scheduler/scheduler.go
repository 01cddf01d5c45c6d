package scheduler

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"

	"google.golang.org/grpc"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/liveness"
	"github.com/darter-p2p/darter/internal/scheduler/rpc"
	"github.com/darter-p2p/darter/internal/scheduler/swarm"
)

// Config are the settings of the role.
type Config struct {
	rpc.Config
	// Listen serves scheduler.v2.Scheduler; required.
	Listen net.Listener
	// Operator takes orders about hosts and zones; nil takes none. It must be a listener that only the operator reaches.
	Operator net.Listener
	// PolicyFile is the liveness policy as YAML, read again when it changes; empty means Liveness.Policy.
	PolicyFile string
	// DataDir holds the snapshot of hosts; empty keeps nothing.
	DataDir string
	// Cluster is the scheduler cluster this one belongs to; default 1.
	Cluster uint64
	// AdvertiseIP is where daemons reach it; the listener's address when not set.
	AdvertiseIP netip.Addr
	// SnapshotEvery is the time between two snapshots; default 30s.
	SnapshotEvery time.Duration
	// Server are further options of the gRPC server, such as tracing.
	Server []grpc.ServerOption
	// Log hears of the role's life; default: nothing.
	Log *slog.Logger
	// Manager is where this scheduler is listed and fetches its work; without Dial there is none.
	Manager ManagerConfig
	// Snapshots tells of snapshots; the other events are in the embedded Config.
	Snapshots Snapshots
}

// Snapshots are told what becomes of the snapshot of hosts. Nil functions are skipped.
type Snapshots struct {
	Loaded  func(hosts int)
	Saved   func(hosts int)
	Failed  func(error)                 // could not be written; tried again at the next turn
	Damaged func(aside string, _ error) // could not be read; moved aside
}

// HostStatus, TaskStatus and PeerStatus are what the scheduler knows, for status pages and tests.
type (
	HostStatus = swarm.HostView
	TaskStatus = swarm.TaskView
	PeerStatus = swarm.PeerView
)

// DefaultConfig returns the defaults; Listen is still to be set.
func DefaultConfig() Config {
	return Config{Config: rpc.DefaultConfig(), Cluster: 1, SnapshotEvery: 30 * time.Second}
}

// Validate says what is wrong with the settings.
func (c Config) Validate() error {
	if c.Listen == nil || c.SnapshotEvery <= 0 || c.Cluster == 0 {
		return &darter.Error{Kind: darter.Invalid, Op: "check scheduler settings", Err: errors.New("listener, cluster or snapshot interval is missing")}
	}
	return c.Config.Validate()
}

// Scheduler is the role.
type Scheduler struct {
	cfg    Config
	server *rpc.Server
	ready  chan struct{}
	policy policyFile
	saved  []byte       // the last snapshot written; used by one goroutine
	link   *managerLink // nil without a manager
	said   []byte       // liveness policy that the manager gave last; used by one goroutine
}

// New checks the settings and builds the role. Run runs it.
func New(cfg Config) (*Scheduler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Throttled == nil {
		q := newQuota(os.DirFS("/"))
		cfg.Throttled = func() bool { return q.throttled(time.Now()) }
	}
	server, err := rpc.New(cfg.Config)
	if err != nil {
		return nil, err
	}
	s := &Scheduler{cfg: cfg, server: server, ready: make(chan struct{}), policy: policyFile{path: cfg.PolicyFile}}
	if err := s.firstPolicy(); err != nil {
		return nil, err
	}
	s.link, err = s.linkManager()
	return s, err
}

// firstPolicy puts the policy in force that holds from the start. A wrong file is an error here: later, what is in force
// stays so.
func (s *Scheduler) firstPolicy() error {
	p := s.cfg.Liveness.Policy
	if s.policy.path == "" {
		return s.server.SetPolicy(p, "defaults", policyDocument(p))
	}
	return s.policy.look(func(p liveness.Policy, document string) error { return s.server.SetPolicy(p, s.policy.path, document) }, p.Number)
}

// Ready is closed once the hosts of the snapshot are known and requests are served.
func (s *Scheduler) Ready() <-chan struct{} { return s.ready }

// Address is where daemons reach the scheduler.
func (s *Scheduler) Address() netip.AddrPort {
	at, err := netip.ParseAddrPort(s.cfg.Listen.Addr().String())
	if err != nil {
		return netip.AddrPort{} // not a network listener
	}
	if s.cfg.AdvertiseIP.IsValid() {
		return netip.AddrPortFrom(s.cfg.AdvertiseIP, at.Port())
	}
	return at
}

// Hosts returns every host, in order of first announce.
func (s *Scheduler) Hosts() []HostStatus { return s.server.Hosts() }

// Tasks returns up to limit tasks, the most recently touched first.
func (s *Scheduler) Tasks(limit int) []TaskStatus { return s.server.Tasks(limit) }

// Liveness returns what is counted of hosts, and the zones' guards.
func (s *Scheduler) Liveness() (liveness.Stats, []darter.ZoneStatus) { return s.server.Liveness() }

// Swarm returns what is counted of offers and records, and how many locations are known.
func (s *Scheduler) Swarm() (swarm.Tally, int) { return s.server.Swarm() }

// Count returns how many hosts, tasks and peers are known.
func (s *Scheduler) Count() (hosts, tasks, peers int) { return s.server.Count() }
