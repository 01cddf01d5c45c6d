package jobs

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
)

// Run does the steps that belong to managers, gives up leases that ran out and fires schedules, until ctx ends. It
// returns when all of that has ended; work under way is given back.
func (e *Engine) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return e.keepWorking(ctx) })
	group.Go(func() error { return e.keepWatch(ctx) })
	group.Go(func() error { return e.keepSchedules(ctx) })
	return group.Wait()
}

// keepWorking claims resolve and local steps as they come.
func (e *Engine) keepWorking(ctx context.Context) error {
	var work errgroup.Group
	free := make(chan struct{}, e.cfg.Workers) // taken before a claim: what is claimed is begun at once
	ready := e.db.Subscribe(topicReady)
	defer ready.Close()
	for {
		for claimed := true; claimed; {
			select {
			case <-ctx.Done():
				return work.Wait()
			case free <- struct{}{}:
			}
			o, err := e.Claim(ctx, Claimer{Owner: e.cfg.Replica, Manager: true})
			if err != nil {
				e.failed(ctx, "claim work", err)
			}
			if claimed = err == nil && o != nil; !claimed {
				<-free
				break
			}
			work.Go(func() error {
				defer func() { <-free }()
				e.hold(ctx, o)
				return nil
			})
		}
		if !pause(ctx, ready, e.cfg.Poll) {
			return work.Wait()
		}
	}
}

// pause waits for a note, a while, or the end, which it tells.
func pause(ctx context.Context, s *database.Subscription, most time.Duration) (on bool) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-s.C():
	case <-timer.C:
	}
	return true
}

// hold does a step that belongs to a manager.
func (e *Engine) hold(ctx context.Context, o *darter.Order) {
	if err := e.Hold(ctx, e.cfg.Replica, o.Lease, func(ctx context.Context) error { return e.work(ctx, o) }); err != nil && !IsLost(err) {
		e.failed(ctx, "work on job "+string(o.Lease.Job), err)
	}
}

// Hold calls do while the lease that owner has is renewed. The context that do gets ends when the lease is lost or the
// job is to stop.
func (e *Engine) Hold(ctx context.Context, owner string, lease darter.OrderLease, do func(ctx context.Context) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	over := make(chan struct{})
	var beat errgroup.Group
	beat.Go(func() error { e.renew(ctx, owner, lease, over, stop); return nil })
	err := do(ctx)
	close(over)
	_ = beat.Wait()
	return err
}

// renew says every now and then that the holder lives, until the work is over or the lease is lost.
func (e *Engine) renew(ctx context.Context, owner string, lease darter.OrderLease, over <-chan struct{}, stop context.CancelCauseFunc) {
	tick := time.NewTicker(e.cfg.Lease / 4)
	defer tick.Stop()
	stops := e.db.Subscribe(topicStop)
	defer stops.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-over:
			return
		case <-tick.C:
		case n := <-stops.C():
			if n.Payload != owner {
				continue
			}
		}
		words, err := e.Heartbeat(ctx, []darter.OrderLease{lease})
		if err != nil {
			e.failed(ctx, "renew lease of job "+string(lease.Job), err)
			continue
		}
		if len(words) > 0 {
			stop(&darter.Error{Kind: darter.Conflict, Op: "work on job " + string(lease.Job), Err: errStopped})
			return
		}
	}
}

// keepWatch looks for leases and deadlines that have passed.
func (e *Engine) keepWatch(ctx context.Context) error {
	timer := time.NewTimer(e.graceAfterStart())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		n, err := e.Tick(ctx)
		if err != nil {
			e.failed(ctx, "look for leases that ran out", err)
		}
		timer.Reset(e.cfg.Poll)
		if n == rescueBatch {
			timer.Reset(0)
		}
	}
}

func (e *Engine) failed(ctx context.Context, what string, err error) {
	if e.cfg.Events.Failed != nil && ctx.Err() == nil {
		e.cfg.Events.Failed(what, err)
	}
}

// keepSchedules fires what is due.
func (e *Engine) keepSchedules(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if _, err := e.Fire(ctx); err != nil {
			e.failed(ctx, "fire schedules", err)
		}
		timer.Reset(e.cfg.Poll)
	}
}
