package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/uptrace/bun"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/jobs/machine"
)

var errStopped = errors.New("it was asked to stop")

// Job is a job as it is shown.
type Job struct {
	ID          darter.JobID
	CompatID    int64
	Kind        darter.JobKind
	State       darter.JobState
	Owner       string
	Application string
	Priority    int32
	Spec        Spec // without headers
	Parent      darter.JobID
	Schedule    string
	Tally       machine.Tally
	Failure     darter.Failure
	Text        string
	Threshold   uint32
	Version     int64
	Events      int64 // sequence of the last one
	Created     time.Time
	Started     time.Time
	Updated     time.Time
	Finished    time.Time
	Deadline    time.Time
	PinnedUntil time.Time
	Bio         string
}

func (r *jobRow) show() (Job, error) {
	j := Job{ID: r.ID, CompatID: r.CompatID, Kind: r.Kind, State: r.State, Owner: r.Owner, Application: r.Application, Priority: r.Priority,
		Parent: r.ParentID, Schedule: r.ScheduleID, Failure: r.Failure, Text: r.Text, Threshold: r.Threshold, Version: r.Version, Events: r.EventSeq,
		Created: r.CreatedAt.Time(), Started: r.StartedAt.Time(), Updated: r.UpdatedAt.Time(), Finished: r.FinalizedAt.Time(), PinnedUntil: r.PinnedUntil.Time(), Bio: r.Bio}
	m := machine.Job{State: r.State, StartBy: r.StartBy.Time(), RunFor: time.Duration(r.RunFor) * time.Microsecond, Started: j.Started}
	j.Deadline = m.Deadline()
	if err := errors.Join(json.Unmarshal([]byte(r.Spec), &j.Spec), json.Unmarshal([]byte(r.Tally), &j.Tally)); err != nil {
		return j, &darter.Error{Kind: darter.Corrupt, Op: "read job " + string(r.ID), Err: err}
	}
	return j, nil
}

// jobColumns leaves out what is sealed.
const jobColumns = "id, compat_id, kind, state, owner, application, tenant, priority, spec, parent_id, schedule_id, threshold, start_by, run_for, failure, text, tally, event_seq, version, created_at, started_at, updated_at, finalized_at, pinned_until, bio"

// Get returns a job; NotFound when there is none.
func (e *Engine) Get(ctx context.Context, id darter.JobID) (Job, error) {
	return e.one(ctx, "id = ?", id)
}

// GetCompat returns a job by its number.
func (e *Engine) GetCompat(ctx context.Context, id int64) (Job, error) {
	return e.one(ctx, "compat_id = ?", id)
}

func (e *Engine) one(ctx context.Context, where string, id any) (out Job, err error) {
	err = e.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		var rows []jobRow
		if err := tx.NewSelect().Model(&rows).ColumnExpr(jobColumns).Where(where, id).Scan(ctx); err != nil {
			return err
		}
		if len(rows) == 0 {
			return &darter.Error{Kind: darter.NotFound, Op: "find job", Err: errors.New("there is no such job"), Hint: "it may have been cleaned; list jobs to see those that are kept"}
		}
		out, err = rows[0].show()
		return err
	})
	return out, err
}

// Filter says which jobs to list. Empty fields ask for all.
type Filter struct {
	Kinds       []darter.JobKind
	States      []darter.JobState
	Owner       string
	Application string
	Schedule    string
	Parent      darter.JobID
	Before      darter.JobID // older than this one: the last of the page before
	Limit       int          // 1..500; default 50
	Offset      int          // how many to pass over, for interfaces that number their pages
}

func (f *Filter) where(q *bun.SelectQuery) *bun.SelectQuery {
	if len(f.Kinds) > 0 {
		q = q.Where("kind IN (?)", bun.List(f.Kinds))
	}
	if len(f.States) > 0 {
		q = q.Where("state IN (?)", bun.List(f.States))
	}
	if f.Before != "" {
		q = q.Where("id < ?", f.Before)
	}
	for _, c := range [...]struct{ column, is string }{{"owner", f.Owner}, {"application", f.Application}, {"schedule_id", f.Schedule}, {"parent_id", string(f.Parent)}} {
		if c.is != "" {
			q = q.Where("? = ?", bun.Ident(c.column), c.is)
		}
	}
	return q
}

// Count returns how many jobs List would return without a limit.
func (e *Engine) Count(ctx context.Context, f Filter) (n int64, err error) {
	err = e.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		n, err = f.where(tx.NewSelect().TableExpr("jobs")).Count(ctx)
		return err
	})
	return n, err
}

// List returns jobs, the newest first.
func (e *Engine) List(ctx context.Context, f Filter) ([]Job, error) {
	if f.Limit <= 0 {
		f.Limit = 50
	}
	var out []Job
	err := e.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		var rows []jobRow
		q := f.where(tx.NewSelect().Model(&rows).ColumnExpr(jobColumns).OrderExpr("id DESC").Limit(int64(min(f.Limit, 500))))
		if f.Offset > 0 {
			q = q.Offset(int64(f.Offset))
		}
		if err := q.Scan(ctx); err != nil {
			return err
		}
		out = make([]Job, len(rows))
		for i := range rows {
			var err error
			if out[i], err = rows[i].show(); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}
