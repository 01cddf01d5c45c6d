package records

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
)

// runRow is a row of gc_runs.
type runRow struct {
	bun.BaseModel `bun:"table:gc_runs"`
	ID            string          `bun:"id,pk"`
	Kind          string          `bun:"kind"`
	Version       int64           `bun:"version"`
	Cause         darter.Trigger  `bun:"cause"`
	Requester     string          `bun:"requester"`
	PlanID        string          `bun:"plan_id"`
	Resumes       string          `bun:"resumes"`
	Confirmed     bool            `bun:"confirmed"`
	State         darter.RunState `bun:"state"`
	Executor      string          `bun:"executor"`
	Token         int64           `bun:"token"`
	Cursor        string          `bun:"cursor"`
	Budget        int64           `bun:"budget"`
	Eligible      int64           `bun:"eligible"`
	Scanned       int64           `bun:"scanned"`
	Deleted       int64           `bun:"deleted"`
	Children      int64           `bun:"children"`
	Vetoed        string          `bun:"vetoed"`
	Batches       int64           `bun:"batches"`
	Busy          int64           `bun:"busy"`
	Waits         int64           `bun:"waits"`
	Code          string          `bun:"code"`
	Message       string          `bun:"message"`
	CreatedAt     database.Micros `bun:"created_at"`
	StartedAt     database.Micros `bun:"started_at"`
	HeartbeatAt   database.Micros `bun:"heartbeat_at"`
	FinishedAt    database.Micros `bun:"finished_at"`
}

func (r *runRow) run() (darter.Run, error) {
	out := darter.Run{ID: r.ID, Policy: r.Kind, Version: r.Version, Trigger: r.Cause, Plan: r.PlanID, Resumes: r.Resumes, State: r.State,
		Executor: r.Executor, Token: r.Token, Eligible: r.Eligible, Scanned: r.Scanned, Deleted: r.Deleted, Children: r.Children,
		Batches: r.Batches, Busy: time.Duration(r.Busy) * time.Microsecond, Waits: r.Waits, Code: r.Code, Message: r.Message,
		Created: r.CreatedAt.Time(), Started: r.StartedAt.Time(), Heartbeat: r.HeartbeatAt.Time(), Finished: r.FinishedAt.Time()}
	err := errors.Join(json.Unmarshal([]byte(r.Requester), &out.Requester), json.Unmarshal([]byte(r.Vetoed), &out.Vetoed))
	if err != nil {
		return out, &darter.Error{Kind: darter.Corrupt, Op: "read run " + r.ID, Err: err}
	}
	return out, nil
}

func (r *runRow) place() (p place, err error) {
	if err := json.Unmarshal([]byte(r.Cursor), &p); err != nil {
		return p, &darter.Error{Kind: darter.Corrupt, Op: "read run " + r.ID, Err: fmt.Errorf("its cursor does not parse: %w", err)}
	}
	return p, nil
}

// load returns a run's row; with lock it stays as it is until the transaction ends.
func load(ctx context.Context, tx *database.Tx, id string, lock bool) (*runRow, error) {
	out := &runRow{}
	q := tx.NewSelect().Model(out).Where("id = ?", id)
	if lock && tx.Dialect() == database.Postgres {
		q = q.For("UPDATE")
	}
	err := q.Scan(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, &darter.Error{Kind: darter.NotFound, Op: "read run " + id, Err: errors.New("there is no such run")}
	}
	return out, err
}

// GetRun returns one run.
func (r *Reclaimer) GetRun(ctx context.Context, id string) (out darter.Run, err error) {
	err = r.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		row, err := load(ctx, tx, id, false)
		if err != nil {
			return err
		}
		out, err = row.run()
		return err
	})
	return out, err
}

// RunFilter says which runs are listed, the newest first. Before is the id of the last run of the page
// before; Limit is at most 500, and 50 when it is 0.
type RunFilter struct {
	Kind   string
	States []darter.RunState
	Before string
	Limit  int
}

// Runs lists runs, the newest first.
func (r *Reclaimer) Runs(ctx context.Context, f RunFilter) (out []darter.Run, err error) {
	var rows []runRow
	err = r.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		q := tx.NewSelect().Model(&rows).OrderExpr("id DESC").Limit(int64(limit(f.Limit)))
		if f.Kind != "" {
			q = q.Where("kind = ?", f.Kind)
		}
		if len(f.States) > 0 {
			q = q.Where("state IN (?)", bun.List(f.States))
		}
		if f.Before != "" {
			q = q.Where("id < ?", f.Before)
		}
		return q.Scan(ctx)
	})
	for i := range rows {
		one, err := rows[i].run()
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, err
}

func limit(n int) int {
	if n <= 0 {
		return 50
	}
	return min(n, 500)
}

// Batches lists the transactions of a run, from the one after the given sequence on.
func (r *Reclaimer) Batches(ctx context.Context, run string, after int64, most int) (out []darter.RunBatch, err error) {
	err = r.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		out = nil
		rows, err := tx.QueryContext(ctx, "SELECT sequence, first_key, last_key, deleted, children, took, at FROM gc_run_batches WHERE run_id = ? AND sequence > ? ORDER BY sequence LIMIT ?",
			run, after, limit(most))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var b darter.RunBatch
			var took int64
			var at database.Micros
			if err := rows.Scan(&b.Sequence, &b.First, &b.Last, &b.Deleted, &b.Children, &took, &at); err != nil {
				return err
			}
			b.Took, b.At = time.Duration(took)*time.Microsecond, at.Time()
			out = append(out, b)
		}
		return rows.Err()
	})
	return out, err
}
