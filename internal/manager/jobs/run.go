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
	work.SetLimit(e.cfg.Workers)
	ready := e.db.Subscribe(topicReady)
	defer ready.Close()
	for {
		for ctx.Err() == nil {
			o, err := e.Claim(ctx, Claimer{Owner: e.cfg.Replica, Manager: true})
			if err != nil {
				e.failed(ctx, "claim work", err)
			}
			if err != nil || o == nil {
				break
			}
			work.Go(func() error { e.hold(ctx, o); return nil })
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

// hold does a step while its lease is renewed. It stops when the lease is lost or the job is to stop.
func (e *Engine) hold(ctx context.Context, o *darter.Order) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	over := make(chan struct{})
	var beat errgroup.Group
	beat.Go(func() error { e.renew(ctx, o.Lease, over, stop); return nil })
	err := e.work(ctx, o)
	close(over)
	_ = beat.Wait()
	if err != nil && !IsLost(err) {
		e.failed(ctx, "work on job "+string(o.Lease.Job), err)
	}
}

// renew says every now and then that the holder lives, until the work is over or the lease is lost.
func (e *Engine) renew(ctx context.Context, lease darter.OrderLease, over <-chan struct{}, stop context.CancelCauseFunc) {
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
			if n.Payload != e.cfg.Replica {
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
