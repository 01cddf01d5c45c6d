package manager

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/darter-p2p/darter"
)

// Run serves until ctx ends. Then it turns probes away, lets running calls end within Drain, has the rooms give their
// work back, and closes the database. It returns nil after a stop that was asked for.
func (m *Manager) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	behind, release := context.WithCancel(context.WithoutCancel(ctx)) // rooms outlive the servers that call them
	defer release()
	group.Go(func() error { return m.live(behind) })
	group.Go(func() error {
		if err := m.grpc.Serve(m.cfg.GRPC); !errors.Is(err, grpc.ErrServerStopped) { // which is so when a stop was quicker than the start
			return err
		}
		return nil
	})
	group.Go(func() error { return m.serveHTTP(m.secured(m.cfg.HTTP)) })
	if m.cfg.Local != nil {
		group.Go(func() error { return m.serveHTTP(m.cfg.Local) })
	}
	group.Go(func() error { return m.server.Run(ctx) })
	group.Go(func() error {
		<-ctx.Done()
		m.stop(context.WithoutCancel(ctx))
		release()
		return nil
	})
	m.api.ready.Store(true)
	m.cfg.Log.Info("manager serves", "grpc", m.cfg.GRPC.Addr().String(), "http", m.cfg.HTTP.Addr().String(), "database", string(m.rooms.DB.Dialect()))
	close(m.ready) // all listeners queue callers from before this point
	err := group.Wait()
	return errors.Join(err, m.Close())
}

func (m *Manager) serveHTTP(l net.Listener) error {
	if err := m.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// live runs the rooms. One that ends before it was asked to takes the others with it, and the role.
func (m *Manager) live(ctx context.Context) error {
	r := m.rooms
	running := map[string]func(context.Context) error{
		"database": r.DB.Run, "catalog": r.Catalog.Run, "records": r.Records.Run, "accounts": r.Accounts.Run,
		"jobs": r.Jobs.Run, "bridge": r.Bridge.Run,
		"members": m.keepMembers, "news": r.News.Run, "fleet": r.Fleet.Run,
	}
	if r.Desk != nil {
		running["desk"] = r.Desk.Run
	}
	if m.cfg.TLS != nil {
		running["certificate"] = m.cfg.TLS.Run
	}
	group, ctx := errgroup.WithContext(ctx)
	for name, run := range running {
		group.Go(func() error {
			err := run(ctx)
			if ctx.Err() != nil {
				return nil // it was asked to end; what it could not do any more is told by its events
			}
			return &darter.Error{Kind: darter.KindOf(err), Op: "run " + name, Err: errors.Join(errEnded, err)}
		})
	}
	return group.Wait()
}

var errEnded = errors.New("it ended by itself")

// stop turns probes away first, then callers.
func (m *Manager) stop(ctx context.Context) {
	m.api.stop()
	m.server.Stop()
	m.rooms.Control.Stop()
	m.rooms.Hosts.Stop()
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Drain)
	defer cancel()
	hard := time.AfterFunc(m.cfg.Drain, m.grpc.Stop)
	defer hard.Stop()
	m.grpc.GracefulStop()
	if err := m.http.Shutdown(ctx); err != nil {
		m.cfg.Log.Warn("manager cut HTTP requests off", "error", err)
		_ = m.http.Close()
	}
}
