package records

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
)

// maxQueued is how many runs of one kind may wait.
const maxQueued = 10

// StartRequest asks for a run. Without Plan the executor makes one.
type StartRequest struct {
	Kind    string
	Plan    string // carry out this plan, and no other
	Confirm bool   // somebody has seen the plan, and lets it remove more than is usual; needs Plan
	Trigger darter.Trigger
	Actor   darter.Actor
	Reason  string // in the actor's words, for the audit
	Request string // id of the request, for the audit
}

// Start queues a run and returns at once; the leader of its kind carries it out.
func (r *Reclaimer) Start(ctx context.Context, q StartRequest) (darter.Run, error) {
	op := "start run of " + q.Kind
	if _, err := r.table(q.Kind); err != nil {
		return darter.Run{}, err
	}
	row := &runRow{ID: r.db.NewID(), Kind: q.Kind, Cause: q.Trigger, State: darter.RunQueued, PlanID: q.Plan, Confirmed: q.Confirm, Cursor: "{}", Vetoed: "[]"}
	if q.Confirm && q.Plan == "" {
		return darter.Run{}, &darter.Error{Kind: darter.Invalid, Op: op, Hint: "make a plan, look at it, and name it", Err: errors.New("a confirmation names the plan that was seen")}
	}
	err := r.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		policy, err := r.cfg.Policies.Policy(ctx, tx, q.Kind)
		if err != nil {
			return err
		}
		if policy.Spec.DryRunOnly {
			return &darter.Error{Kind: darter.Denied, Op: op, Hint: "make a plan instead, or publish a policy with dry_run_only false", Err: errors.New("the policy only allows dry runs")}
		}
		row.Version = policy.Version
		if q.Plan != "" {
			if err := r.adopt(ctx, tx, op, row, policy.Hash); err != nil {
				return err
			}
		}
		return r.queue(ctx, tx, op, row, q)
	})
	if err != nil {
		return darter.Run{}, err
	}
	return row.run()
}

// adopt makes a run carry out a plan: one that is fresh, of the policy in force, and carried out by nobody else.
func (r *Reclaimer) adopt(ctx context.Context, tx *database.Tx, op string, row *runRow, hash string) error {
	p, _, err := loadPlan(ctx, tx, row.PlanID)
	if err != nil {
		return err
	}
	stale := func(why string) error {
		return &darter.Error{Kind: darter.Conflict, Op: op, Hint: "make a new plan and look at it again", Err: fmt.Errorf("%w: %s", ErrPlanStale, why)}
	}
	now, err := tx.Now(ctx)
	if err != nil {
		return err
	}
	var planned string
	var used int64
	err = errors.Join(tx.QueryRowContext(ctx, "SELECT hash FROM gc_plans WHERE id = ?", row.PlanID).Scan(&planned),
		tx.QueryRowContext(ctx, "SELECT count(*) FROM gc_runs WHERE plan_id = ? AND resumes = '' AND state <> 'needs_confirmation'", row.PlanID).Scan(&used))
	switch {
	case err != nil:
		return err
	case p.Policy != row.Kind:
		return &darter.Error{Kind: darter.Invalid, Op: op, Err: fmt.Errorf("the plan is for %s", p.Policy)}
	case now.After(p.Expires):
		return stale("it could be carried out until " + p.Expires.Format("15:04:05 MST"))
	case p.Version != row.Version || planned != hash:
		return stale(fmt.Sprintf("it was made for version %d of the policy, and %d is in force", p.Version, row.Version))
	case used > 0:
		return stale("it has been carried out")
	case p.Confirm != "" && !row.Confirmed:
		return &darter.Error{Kind: darter.Conflict, Op: op, Hint: "look at the plan, then confirm it by its id", Err: fmt.Errorf("%w: %s", ErrUnconfirmed, p.Confirm)}
	}
	vetoed, err := json.Marshal(p.Vetoed)
	if err != nil {
		return err
	}
	row.Vetoed, row.Eligible, row.Budget = string(vetoed), p.Eligible, budget(p.Eligible)
	return nil
}

// budget is the most rows that a run of a plan removes: a few may have lost their pin or reference since.
func budget(eligible int64) int64 { return eligible + eligible/20 }

// What Start refuses, for errors.Is.
var (
	ErrPlanStale   = errors.New("the plan is stale")
	ErrUnconfirmed = errors.New("the plan needs a confirmation")
)

func (r *Reclaimer) queue(ctx context.Context, tx *database.Tx, op string, row *runRow, q StartRequest) error {
	var waiting int
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM gc_runs WHERE kind = ? AND state = 'queued'", q.Kind).Scan(&waiting); err != nil {
		return err
	}
	if waiting >= maxQueued {
		return &darter.Error{Kind: darter.Unavailable, Op: op, Hint: "wait for them, or cancel them", Err: fmt.Errorf("%d runs wait already", waiting)}
	}
	now, err := tx.Now(ctx)
	if err != nil {
		return err
	}
	actor, err := json.Marshal(q.Actor)
	if err != nil {
		return err
	}
	row.Requester, row.CreatedAt = string(actor), database.At(now)
	if _, err := tx.NewInsert().Model(row).Exec(ctx); err != nil {
		return err
	}
	if err := r.audit(ctx, tx, q.Actor, "gc.run.start", row.ID, q.Reason, q.Request); err != nil {
		return err
	}
	if err := r.announce(ctx, tx, row); err != nil {
		return err
	}
	return tx.Notify(topic, row.ID)
}

func (r *Reclaimer) audit(ctx context.Context, tx *database.Tx, actor darter.Actor, action, run, reason, request string) error {
	return r.cfg.Audit.Record(ctx, tx, darter.AuditEvent{Actor: actor, Action: action, Resource: "gc/runs/" + run, Result: darter.AuditDone, Reason: reason, Request: request})
}

// Order is something asked of a run.
type Order struct {
	Run     string
	Actor   darter.Actor
	Reason  string
	Request string
}

// Cancel ends a run: at once when it waits, else by undoing the batch under way.
func (r *Reclaimer) Cancel(ctx context.Context, o Order) (darter.Run, error) {
	return r.order(ctx, o, "gc.run.cancel", func(row *runRow, now database.Micros) bool {
		switch row.State {
		case darter.RunRunning:
			row.State = darter.RunCancelling
		case darter.RunQueued, darter.RunPaused:
			row.State, row.FinishedAt, row.Code, row.Message = darter.RunCancelled, now, "cancelled", "cancelled before it ran to its end"
		case darter.RunCancelling:
		default:
			return false
		}
		return true
	})
}

// Pause stops a run so that Resume can let it go on from its cursor.
func (r *Reclaimer) Pause(ctx context.Context, o Order) (darter.Run, error) {
	return r.order(ctx, o, "gc.run.pause", func(row *runRow, _ database.Micros) bool {
		ok := row.State == darter.RunRunning || row.State == darter.RunQueued || row.State == darter.RunPaused
		if ok {
			row.State = darter.RunPaused
		}
		return ok
	})
}

// Resume lets a paused run go on.
func (r *Reclaimer) Resume(ctx context.Context, o Order) (darter.Run, error) {
	return r.order(ctx, o, "gc.run.resume", func(row *runRow, _ database.Micros) bool {
		ok := row.State == darter.RunPaused
		if ok {
			row.State = darter.RunQueued
		}
		return ok
	})
}

// Confirm starts a run in place of one that was held. plan is what the person has seen: the held run's own
// while it is fresh, or a newer one.
func (r *Reclaimer) Confirm(ctx context.Context, o Order, plan string) (darter.Run, error) {
	held, err := r.GetRun(ctx, o.Run)
	if err != nil {
		return held, err
	}
	if held.State != darter.RunHeld {
		return held, &darter.Error{Kind: darter.Conflict, Op: "confirm run " + o.Run, Err: fmt.Errorf("it is %s and waits for no confirmation", held.State)}
	}
	return r.Start(ctx, StartRequest{Kind: held.Policy, Plan: plan, Confirm: true, Trigger: darter.ByHand, Actor: o.Actor, Reason: o.Reason, Request: o.Request})
}

// order changes a run's state if its present one allows that, with the audit in the same transaction.
func (r *Reclaimer) order(ctx context.Context, o Order, action string, change func(row *runRow, now database.Micros) bool) (out darter.Run, err error) {
	final := false
	err = r.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		row, err := load(ctx, tx, o.Run, true)
		if err != nil {
			return err
		}
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		was := row.State
		if !change(row, database.At(now)) {
			return &darter.Error{Kind: darter.Conflict, Op: action + " " + o.Run, Err: fmt.Errorf("the run is %s", row.State)}
		}
		if out, err = row.run(); err != nil || row.State == was {
			return err
		}
		final = row.State.Final()
		_, err = tx.NewUpdate().Model(row).Column("state", "finished_at", "code", "message").WherePK().Exec(ctx)
		if err != nil {
			return err
		}
		if err := r.audit(ctx, tx, o.Actor, action, o.Run, o.Reason, o.Request); err != nil {
			return err
		}
		return errors.Join(tx.Notify(topic, o.Run), r.announce(ctx, tx, row))
	})
	if err == nil && final && r.cfg.Events.Ended != nil {
		r.cfg.Events.Ended(out)
	}
	return out, err
}
