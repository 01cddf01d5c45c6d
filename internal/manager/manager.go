package manager

import (
	"net/http"
	"net/netip"
	"runtime"
	"time"

	"google.golang.org/grpc"

	"github.com/darter-p2p/darter/internal/manager/rest"
	"github.com/darter-p2p/darter/internal/manager/rpc"
)

// Manager is the role. Build it with New, then Run it.
type Manager struct {
	cfg    Config
	server *rpc.Server
	grpc   *grpc.Server
	http   *http.Server
	ready  chan struct{} // closed when both servers take calls
	doors  *rest.Doors
}

// New checks the configuration and builds the servers. The listeners are the manager's from here on:
// Run closes them.
func New(cfg Config) (*Manager, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m := &Manager{cfg: cfg, ready: make(chan struct{})}
	m.server = rpc.New(rpc.Config{Fixed: cfg.Schedulers, TTL: cfg.TTL, Events: m.events()})
	m.grpc = m.server.GRPC()
	m.doors = rest.New(rest.System{Version: cfg.Version, Commit: cfg.Commit, Go: runtime.Version(), Started: time.Now().UTC()})
	m.http = &http.Server{
		Handler: m.doors, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	return m, nil
}

// Ready is closed when both servers take calls.
func (m *Manager) Ready() <-chan struct{} { return m.ready }

// Schedulers returns who would be listed now.
func (m *Manager) Schedulers() []Scheduler { return m.server.Active(time.Now()) }

func (m *Manager) events() rpc.Events {
	return rpc.Events{
		Joined: func(s Scheduler) {
			m.cfg.Log.Info("scheduler joined", "scheduler", s.String(), "cluster", s.Cluster)
			if m.cfg.Events.SchedulerJoined != nil {
				m.cfg.Events.SchedulerJoined(s)
			}
		},
		Lost: func(s Scheduler) {
			m.cfg.Log.Warn("scheduler lost", "scheduler", s.String(), "cluster", s.Cluster, "quiet_for", m.cfg.TTL)
			if m.cfg.Events.SchedulerLost != nil {
				m.cfg.Events.SchedulerLost(s)
			}
		},
		Listed: func(to netip.Addr, n int) {
			if m.cfg.Events.Listed != nil {
				m.cfg.Events.Listed(to, n)
			}
		},
	}
}
