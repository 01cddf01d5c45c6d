package scheduler

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
)

// Run serves until ctx ends. It returns when everything it started has ended, with the last snapshot written.
func (s *Scheduler) Run(ctx context.Context) error {
	s.load()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.server.Run(ctx, s.cfg.Listen, s.cfg.Server...) })
	group.Go(func() error { return s.keepSnapshot(ctx) })
	if s.cfg.Operator != nil {
		group.Go(func() error { return s.server.RunOperator(ctx, s.cfg.Operator) })
	}
	if s.policy.path != "" {
		group.Go(func() error { return s.keepPolicy(ctx) })
	}
	if s.link != nil {
		group.Go(func() error { return s.link.enlistment.Run(ctx) })
		group.Go(func() error { return s.link.control.Run(ctx) })
		group.Go(func() error { return s.link.teller.Run(ctx) })
	}
	close(s.ready)
	s.cfg.Log.Info("scheduler serves", "listen", s.cfg.Listen.Addr().String(), "advertised", s.Address().String(), "cluster", s.cfg.Cluster)
	err := group.Wait()
	if s.link != nil {
		err = errors.Join(err, s.link.daemons.Close())
	}
	s.save()
	s.cfg.Log.Info("scheduler stopped")
	return err
}

// keepSnapshot writes the hosts down now and then.
func (s *Scheduler) keepSnapshot(ctx context.Context) error {
	tick := time.NewTicker(s.cfg.SnapshotEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.save()
		}
	}
}
