package manager

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"runtime"
	"time"

	"google.golang.org/grpc"

	"github.com/darter-p2p/darter/internal/manager/rest"
	"github.com/darter-p2p/darter/internal/manager/rpc"
)

// Manager is the role. Build it with New, then Run it; one that never runs is closed.
type Manager struct {
	cfg    Config
	rooms  *Rooms
	setup  Setup
	server *rpc.Server
	grpc   *grpc.Server
	http   *http.Server
	ready  chan struct{} // closed when all servers take calls
	doors  *rest.Doors
}

// New checks the configuration, opens the database, brings its tables up to date and builds the servers. Nothing
// runs yet. The listeners are the manager's from here on: Run closes them.
func New(ctx context.Context, cfg Config) (_ *Manager, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m := &Manager{cfg: cfg, ready: make(chan struct{})}
	if m.rooms, err = openRooms(ctx, &m.cfg); err != nil {
		return nil, err
	}
	if err = m.build(ctx); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func (m *Manager) build(ctx context.Context) (err error) {
	if m.setup, err = m.prepareSetup(ctx); err != nil {
		return err
	}
	m.server = rpc.New(rpc.Config{Fixed: m.cfg.Schedulers, TTL: m.cfg.TTL, Events: m.events()})
	m.grpc = m.server.GRPC()
	m.rooms.Control.Register(m.grpc)
	m.doors = rest.New(rest.System{Version: m.cfg.Version, Commit: m.cfg.Commit, Go: runtime.Version(), Started: time.Now().UTC()})
	m.http = &http.Server{
		Handler: m.doors, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 32 << 10,
		ConnContext: knowPeer,
	}
	return nil
}

// Rooms returns the parts that keep rows, for those that are built on top of them.
func (m *Manager) Rooms() *Rooms { return m.rooms }

// Handler returns what the HTTP listeners serve.
func (m *Manager) Handler() http.Handler { return m.http.Handler }

// Ready is closed when all servers take calls.
func (m *Manager) Ready() <-chan struct{} { return m.ready }

// Close gives the database back. Run does so by itself.
func (m *Manager) Close() error { return m.rooms.DB.Close() }

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
