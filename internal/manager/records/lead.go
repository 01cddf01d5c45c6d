package records

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/gc/retention"
	"github.com/darter-p2p/darter/internal/schedule"
)

// maxResumes is how often in a row a run may be lost without having removed anything.
const maxResumes = 5

// act is what the leader of a kind does, as long as it is one.
func (r *Reclaimer) act(ctx context.Context, lease database.Lease, t *Table) error {
	r.leads(t.Kind, true)
	defer r.leads(t.Kind, false)
	sub := r.db.Subscribe(topic)
	defer sub.Close()
	began := time.Now()
	recovered := false
	for ctx.Err() == nil {
		var err error
		if !recovered {
			err = r.recover(ctx, lease, t)
			recovered = err == nil
		}
		var due time.Time
		if err == nil {
			due, err = r.turn(ctx, lease, t, began)
		}
		switch {
		case errors.Is(err, database.ErrFenced):
			return nil // the keeper of the lease finds out as well
		case err != nil && ctx.Err() == nil:
			due = time.Now().Add(time.Second) // the database: try again while the lease lasts
		}
		await(ctx, sub, due)
	}
	return context.Cause(ctx)
}

func (r *Reclaimer) leads(kind string, on bool) {
	if r.cfg.Events.Leader != nil {
		r.cfg.Events.Leader(kind, on)
	}
}

// await returns when something may have happened, or it is due.
func await(ctx context.Context, sub *database.Subscription, due time.Time) {
	timer := time.NewTimer(min(time.Until(due), time.Hour))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-sub.C():
	}
}

// turn carries out what is queued, and queues what is due. It returns when to look again at the latest.
func (r *Reclaimer) turn(ctx context.Context, lease database.Lease, t *Table, began time.Time) (time.Time, error) {
	for {
		id, err := r.queued(ctx, t.Kind)
		if err != nil {
			return time.Time{}, err
		}
		if id != "" {
			if err := r.execute(ctx, lease, t, id); err != nil {
				return time.Time{}, err
			}
			continue
		}
		due, on, err := r.due(ctx, t.Kind, began)
		if err != nil || !on {
			return time.Now().Add(time.Minute), err
		}
		if r.cfg.Events.Scheduled != nil {
			r.cfg.Events.Scheduled(t.Kind, due)
		}
		if time.Now().Before(due) {
			return due, nil
		}
		if err := r.scheduled(ctx, lease, t); err != nil {
			return time.Time{}, err
		}
	}
}

func (r *Reclaimer) queued(ctx context.Context, kind string) (id string, err error) {
	err = r.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		err := tx.QueryRowContext(ctx, "SELECT id FROM gc_runs WHERE kind = ? AND state = 'queued' ORDER BY id LIMIT 1", kind).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return id, err
}

// due says when the schedule wants the next run: after the last one that it wanted, or else soon after we began.
func (r *Reclaimer) due(ctx context.Context, kind string, began time.Time) (time.Time, bool, error) {
	var policy retention.Policy
	var last database.Micros
	err := r.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		var err error
		if policy, err = r.cfg.Policies.Policy(ctx, tx, kind); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT greatest_of.at FROM (SELECT coalesce(max(at), 0) AS at FROM (
			SELECT max(made_at) AS at FROM gc_plans WHERE kind = ? AND cause = 'schedule' UNION ALL
			SELECT max(created_at) AS at FROM gc_runs WHERE kind = ? AND cause = 'schedule') AS both_of) AS greatest_of`, kind, kind).Scan(&last)
	})
	if err != nil || !policy.Spec.Enabled {
		return time.Time{}, false, err
	}
	s, err := Timetable(policy.Spec.Schedule)
	if err != nil {
		return time.Time{}, false, &darter.Error{Kind: darter.Invalid, Op: "schedule " + kind, Err: err}
	}
	from := last.Time()
	if last == 0 {
		from = began.Add(-time.Duration(policy.Spec.Schedule.Every))
	}
	return s.Next(from, kind), true, nil
}

// Timetable reads the schedule of a policy. What it refuses, no policy should say.
func Timetable(s retention.Schedule) (*schedule.Schedule, error) {
	rule := schedule.Rule{Every: time.Duration(s.Every), Cron: s.Cron, Zone: s.Zone, Jitter: time.Duration(s.Jitter)}
	if w := s.Window; w != nil {
		from, err1 := retention.Clock(w.From)
		to, err2 := retention.Clock(w.To)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		rule.Window = &schedule.Window{From: from, To: to}
		for _, day := range w.Days {
			d, err := retention.Weekday(day)
			if err != nil {
				return nil, err
			}
			rule.Window.Days = append(rule.Window.Days, d)
		}
	}
	return schedule.Parse(rule)
}

// scheduled does what the schedule wants: a run, or only a plan.
func (r *Reclaimer) scheduled(ctx context.Context, lease database.Lease, t *Table) error {
	policy, err := r.policy(ctx, t.Kind)
	if err != nil {
		return err
	}
	actor := darter.System("schedule")
	if policy.Spec.DryRunOnly {
		_, _, err := r.plan(ctx, t, PlanRequest{Kind: t.Kind, Trigger: darter.BySchedule, Actor: actor})
		return r.skipped(ctx, t.Kind, err)
	}
	_, err = r.insert(ctx, lease, &runRow{Kind: t.Kind, Version: policy.Version, Cause: darter.BySchedule, State: darter.RunQueued, Cursor: "{}", Vetoed: "[]"}, actor)
	return err
}

// skipped reports a plan that could not be made, and rests: the schedule would want it again at once.
func (r *Reclaimer) skipped(ctx context.Context, kind string, err error) error {
	if err == nil {
		return nil
	}
	if r.cfg.Events.Skipped != nil {
		r.cfg.Events.Skipped(kind, err)
	}
	if err := sleep(ctx, 30*time.Second); err != nil {
		return err
	}
	return nil
}

// insert adds a run that the leader itself wants.
func (r *Reclaimer) insert(ctx context.Context, lease database.Lease, row *runRow, actor darter.Actor) (out darter.Run, err error) {
	text, err := json.Marshal(actor)
	if err != nil {
		return out, err
	}
	err = r.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		if err := tx.Hold(ctx, lease); err != nil {
			return err
		}
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		row.ID, row.Requester, row.CreatedAt = tx.NewID(), string(text), database.At(now)
		if _, err := tx.NewInsert().Model(row).Exec(ctx); err != nil {
			return err
		}
		if err := r.announce(ctx, tx, row); err != nil {
			return err
		}
		out, err = row.run()
		return err
	})
	return out, err
}

// recover takes over what a former leader left: cancelled runs end, others are marked lost and go on from
// their cursor as runs of their own.
func (r *Reclaimer) recover(ctx context.Context, lease database.Lease, t *Table) error {
	var lost, ended, resumed []darter.Run
	err := r.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		lost, ended, resumed = nil, nil, nil
		if err := tx.Hold(ctx, lease); err != nil {
			return err
		}
		var rows []runRow
		err := tx.NewSelect().Model(&rows).Where("kind = ? AND state IN ('running', 'cancelling') AND token < ?", t.Kind, lease.Token).OrderExpr("id").Scan(ctx)
		if err != nil {
			return err
		}
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		for i := range rows {
			next, err := r.bequeath(ctx, tx, &rows[i], database.At(now))
			if err != nil {
				return err
			}
			old, err := rows[i].run()
			if err != nil {
				return err
			}
			if old.State == darter.RunLost {
				lost = append(lost, old)
			} else {
				ended = append(ended, old)
			}
			if next != nil {
				resumed = append(resumed, *next)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, run := range append(lost, ended...) {
		if r.cfg.Events.Ended != nil {
			r.cfg.Events.Ended(run)
		}
	}
	for _, run := range resumed {
		if r.cfg.Events.Resumed != nil {
			r.cfg.Events.Resumed(run)
		}
	}
	return nil
}

// bequeath closes one abandoned run and returns the one that goes on, if any.
func (r *Reclaimer) bequeath(ctx context.Context, tx *database.Tx, row *runRow, now database.Micros) (*darter.Run, error) {
	row.FinishedAt = now
	var next *runRow
	if row.State == darter.RunCancelling {
		row.State, row.Code, row.Message = darter.RunCancelled, "cancelled", "cancelled by request; its executor had gone"
	} else {
		row.State, row.Code, row.Message = darter.RunLost, "lost", "its executor fell silent"
		idle, err := idleResumes(ctx, tx, row)
		if err != nil {
			return nil, err
		}
		if idle >= maxResumes {
			row.State, row.Code, row.Message = darter.RunFailed, "no_progress", "its executor was lost again and again before it had removed anything"
		} else {
			copied := *row
			next = &copied
		}
	}
	if _, err := tx.NewUpdate().Model(row).Column("state", "code", "message", "finished_at").WherePK().Exec(ctx); err != nil {
		return nil, err
	}
	if err := errors.Join(tx.Notify(topic, row.ID), r.announce(ctx, tx, row)); err != nil || next == nil {
		return nil, err
	}
	next.ID, next.Cause, next.Resumes, next.State = tx.NewID(), darter.ByResume, row.ID, darter.RunQueued
	next.Executor, next.Token, next.Code, next.Message = "", 0, "", ""
	next.CreatedAt, next.StartedAt, next.HeartbeatAt, next.FinishedAt = now, 0, 0, 0
	next.Eligible = max(row.Eligible-row.Deleted, 0)
	next.Scanned, next.Deleted, next.Children, next.Batches, next.Busy, next.Waits = 0, 0, 0, 0, 0, 0
	if _, err := tx.NewInsert().Model(next).Exec(ctx); err != nil {
		return nil, err
	}
	if err := r.announce(ctx, tx, next); err != nil {
		return nil, err
	}
	out, err := next.run()
	return &out, err
}

// idleResumes counts how many runs in a row, up to this one, were lost before they removed anything.
func idleResumes(ctx context.Context, tx *database.Tx, row *runRow) (n int, err error) {
	for at := row; at.Deleted == 0 && n < maxResumes; n++ {
		if at.Resumes == "" {
			return n, nil
		}
		if at, err = load(ctx, tx, at.Resumes, false); err != nil {
			return n, err
		}
	}
	return n, nil
}
