package manager

import (
	"context"
	"errors"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// Run serves until ctx ends, then lets running calls end within Drain. It returns nil after a stop that
// was asked for.
func (m *Manager) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return m.grpc.Serve(m.cfg.GRPC) })
	group.Go(func() error {
		if err := m.http.Serve(m.cfg.HTTP); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error { return m.server.Watch(ctx) })
	group.Go(func() error {
		<-ctx.Done()
		m.stop(context.WithoutCancel(ctx))
		return nil
	})
	m.doors.SetReady(true)
	m.cfg.Log.Info("manager serves", "grpc", m.cfg.GRPC.Addr().String(), "http", m.cfg.HTTP.Addr().String())
	close(m.ready) // both listeners queue callers from before this point
	return group.Wait()
}

// stop turns probes away first, then callers.
func (m *Manager) stop(ctx context.Context) {
	m.doors.SetReady(false)
	m.server.Stop()
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
