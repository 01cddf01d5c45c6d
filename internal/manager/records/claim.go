package records

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/gc"
	"github.com/darter-p2p/darter/internal/gc/retention"
)

// claim makes a queued run ours. It makes the plan of a run that has none, and holds a run that would
// remove more than is usual; nil without an error means that there is nothing to carry out.
func (r *Reclaimer) claim(ctx context.Context, lease database.Lease, t *Table, id string) (*execution, error) {
	run, err := r.GetRun(ctx, id)
	if err != nil || run.State != darter.RunQueued {
		return nil, err
	}
	x := &execution{run: run, lease: lease, table: t}
	if run.Plan == "" {
		p, f, err := r.plan(ctx, t, PlanRequest{Kind: t.Kind, Trigger: run.Trigger, Actor: run.Requester})
		if err != nil {
			return nil, r.unplanned(ctx, x, err)
		}
		return r.take(ctx, x, &p, &f)
	}
	return r.take(ctx, x, nil, nil)
}

// unplanned records that a run could not be planned; what will pass by itself is left to be tried again.
func (r *Reclaimer) unplanned(ctx context.Context, x *execution, err error) error {
	if ctx.Err() != nil || errors.Is(err, database.ErrFenced) || errors.Is(err, database.ErrGone) || errors.Is(err, database.ErrLocked) {
		return err
	}
	return r.finish(ctx, x, darter.RunFailed, code(err), err.Error())
}

// take marks the run as running under our token, with the plan that was made for it or the one it names.
func (r *Reclaimer) take(ctx context.Context, x *execution, p *darter.Plan, f *frozen) (*execution, error) {
	ready := false
	var ended *darter.Run
	err := r.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		ready, ended = false, nil
		if err := tx.Hold(ctx, x.lease); err != nil {
			return err
		}
		row, err := load(ctx, tx, x.run.ID, true)
		if err != nil || row.State != darter.RunQueued {
			return err
		}
		policy, err := r.cfg.Policies.Policy(ctx, tx, x.table.Kind)
		if err != nil {
			return err
		}
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		if err := x.settle(ctx, tx, row, policy, p, f, database.At(now)); err != nil {
			return err
		}
		row.Executor, row.Token, row.HeartbeatAt = x.lease.Holder, x.lease.Token, database.At(now)
		if _, err := tx.NewUpdate().Model(row).WherePK().Exec(ctx); err != nil {
			return err
		}
		if x.run, err = row.run(); err != nil {
			return err
		}
		if row.State.Final() {
			one := x.run
			ended = &one
		}
		ready = row.State == darter.RunRunning
		return errors.Join(tx.Notify(topic, row.ID), r.announce(ctx, tx, row))
	})
	if err != nil {
		return nil, err
	}
	if ended != nil && r.cfg.Events.Ended != nil {
		r.cfg.Events.Ended(*ended)
	}
	if !ready {
		return nil, nil
	}
	return x, nil
}

// settle decides how a claimed run begins: running, held for a person, or failed because its plan is of
// another policy by now. A run that has begun before goes on with the policy that it began with.
func (x *execution) settle(ctx context.Context, tx *database.Tx, row *runRow, policy retention.Policy, p *darter.Plan, f *frozen, now database.Micros) error {
	begun := row.StartedAt != 0 || row.Resumes != ""
	if p == nil {
		plan, bounds, err := loadPlan(ctx, tx, row.PlanID)
		if err != nil {
			return err
		}
		if !begun && plan.Version != policy.Version {
			row.State, row.Code, row.Message, row.FinishedAt = darter.RunFailed, "plan_stale", "the policy changed after the plan was made; make a new plan", now
			return nil
		}
		p, f = &plan, &bounds
	} else {
		vetoed, err := json.Marshal(p.Vetoed)
		if err != nil {
			return err
		}
		row.PlanID, row.Version, row.Eligible, row.Budget, row.Vetoed = p.ID, p.Version, p.Eligible, budget(p.Eligible), string(vetoed)
		switch {
		case p.Confirm != "" && !row.Confirmed:
			row.State, row.Code, row.Message, row.FinishedAt = darter.RunHeld, "needs_confirmation", p.Confirm, now
			return nil
		case policy.Spec.DryRunOnly:
			row.State, row.Code, row.Message, row.FinishedAt = darter.RunPartial, "dry_run_only", "the policy only allows dry runs", now
			return nil
		}
	}
	if row.StartedAt == 0 {
		row.StartedAt = now
	}
	row.State = darter.RunRunning
	var err error
	if x.at, err = row.place(); err != nil {
		return err
	}
	x.spec, x.frozen, x.budget = policy.Spec, *f, row.Budget
	bounds := policy.Spec.Bounds()
	if tx.Dialect() == database.SQLite && bounds.Busy < 1 {
		bounds.Target = min(bounds.Target, shortBatch)
	}
	x.pacer = gc.NewPacer(bounds)
	return nil
}

// shortBatch is the longest target of a batch on SQLite, which lets nobody else write meanwhile. A policy
// that lets batches take all of the time has nobody to spare.
const shortBatch = 25 * time.Millisecond
