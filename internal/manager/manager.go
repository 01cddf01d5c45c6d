package manager

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/darter-p2p/darter/internal/manager/affinity"
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
	api    *surface
	closed func() error
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
	m.closed = sync.OnceValue(m.rooms.DB.Close)
	if err = m.build(ctx); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func (m *Manager) build(ctx context.Context) (err error) {
	if m.setup, err = m.prepareSetup(ctx); err != nil {
		return err
	}
	m.server = rpc.New(rpc.Config{Book: book{m.rooms.Catalog}, TTL: m.cfg.TTL, Events: m.events()})
	if err := m.announceFixed(ctx); err != nil {
		return err
	}
	m.grpc = m.server.GRPC(m.credentials()...)
	m.rooms.Control.Register(m.grpc)
	m.rooms.Hosts.Register(m.grpc)
	if m.api, err = m.openAPI(ctx); err != nil {
		return err
	}
	m.http = &http.Server{
		Handler: m.api.Handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 32 << 10,
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

// Close gives the database back. Run does so by itself; a second time does nothing.
func (m *Manager) Close() error { return m.closed() }

// Schedulers returns who would be listed now.
func (m *Manager) Schedulers() []Scheduler { return m.server.Active() }

// Match says how well each cluster fits a daemon, the best first, and why.
func (m *Manager) Match(a affinity.Asker) []affinity.Score { return m.server.Match(a, false) }

func (m *Manager) events() rpc.Events {
	return rpc.Events{
		Listed: func(to netip.Addr, n int) {
			if m.cfg.Events.Listed != nil {
				m.cfg.Events.Listed(to, n)
			}
		},
		Blind: func(err error) {
			m.cfg.Log.Warn("the list of schedulers could not be renewed; the last one stays", "error", err)
		},
	}
}
