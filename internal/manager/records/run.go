package records

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
)

// Run stands for the leadership of each kind and acts where it leads, until ctx ends.
func (r *Reclaimer) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for i := range r.tables {
		t := &r.tables[i]
		group.Go(func() error {
			campaign := database.Campaign{Scope: "gc/" + t.Kind, Holder: r.cfg.Holder, TTL: r.cfg.Lease}
			for ctx.Err() == nil {
				_ = r.db.Lead(ctx, campaign, func(ctx context.Context, l database.Lease) error { return r.act(ctx, l, t) })
			}
			return nil
		})
	}
	return group.Wait()
}

// limited returns the context that one run is carried out under: it ends when somebody cancels or pauses
// the run, and when the time for it is over. release ends what watches.
func (r *Reclaimer) limited(ctx context.Context, x *execution) (limited context.Context, release func()) {
	ctx, stop := context.WithTimeoutCause(ctx, r.allowance(x), errTime)
	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.overhear(ctx, x.run.ID, cancel)
	}()
	return ctx, func() {
		cancel(nil)
		stop()
		<-ended
	}
}

// allowance is how long a run may take: its limit, and for a scheduled one the rest of the window.
func (r *Reclaimer) allowance(x *execution) time.Duration {
	limit := time.Duration(x.spec.TimeLimit)
	if x.run.Trigger != darter.BySchedule {
		return limit
	}
	if s, err := Timetable(x.spec.Schedule); err == nil {
		if until, open := s.Open(time.Now()); open && !until.IsZero() {
			return min(limit, time.Until(until))
		}
	}
	return limit
}

// overhear cancels the run's context once its row says that somebody wants that.
func (r *Reclaimer) overhear(ctx context.Context, run string, cancel context.CancelCauseFunc) {
	sub := r.db.Subscribe(topic)
	defer sub.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-sub.C():
			if !n.Gap && n.Payload != run {
				continue
			}
		}
		if err := r.ordered(ctx, run); err != nil {
			cancel(err)
			return
		}
	}
}

// ordered returns errCancelled or errPaused when that is what the run's row says. A run that says queued
// was paused and resumed before we looked: it is dropped, and taken up again.
func (r *Reclaimer) ordered(ctx context.Context, run string) error {
	var state darter.RunState
	err := r.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT state FROM gc_runs WHERE id = ?", run).Scan(&state)
	})
	switch {
	case err != nil, state == darter.RunRunning:
		return nil // what is wrong with the database, the batch finds out
	case state == darter.RunCancelling, state == darter.RunCancelled:
		return errCancelled
	}
	return errPaused
}
