package records

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/gc"
	"github.com/darter-p2p/darter/internal/gc/retention"
)

// execution is one run in the hands of its executor.
type execution struct {
	run    darter.Run
	lease  database.Lease
	table  *Table
	spec   retention.Spec
	frozen frozen
	at     place
	budget int64
	waits  int64 // not yet recorded
	pacer  *gc.Pacer
	probe  int // when above 0: the batch size while looking for a row that cannot go
	stuck  int64
	lag    time.Time // when replicas were last asked
	told   time.Time // when watchers were last told
}

// tell reports whether watchers are due to hear of progress.
func (x *execution) tell() bool {
	if time.Since(x.told) < 300*time.Millisecond {
		return false
	}
	x.told = time.Now()
	return true
}

// Why a run ends early.
var (
	errCancelled = errors.New("cancelled")
	errPaused    = errors.New("paused")
	errTime      = errors.New("the time for it is over; the next run goes on")
)

// maxStuck is how many rows that cannot be removed a run passes over before it gives up.
const maxStuck = 100

// execute carries a queued run out. It returns an error only when the record could not be finished: the
// next leader then goes on.
func (r *Reclaimer) execute(ctx context.Context, lease database.Lease, t *Table, run string) error {
	x, err := r.claim(ctx, lease, t, run)
	if err != nil || x == nil {
		return err
	}
	if r.cfg.Events.Started != nil {
		r.cfg.Events.Started(x.run)
	}
	limited, release := r.limited(ctx, x)
	cause := r.carryOut(limited, x)
	stopped := context.Cause(limited) // before release makes one up
	if stopped == nil {
		stopped = cause // a batch may find out that the run was stopped before whoever watches for that does
	}
	release()
	switch {
	case ctx.Err() != nil || errors.Is(cause, database.ErrFenced):
		return cause // another leader goes on from the cursor
	case errors.Is(stopped, errPaused):
		return nil
	case errors.Is(stopped, errCancelled):
		return r.finish(ctx, x, darter.RunCancelled, "cancelled", "cancelled by request")
	case cause == nil && x.stuck > 0:
		return r.finish(ctx, x, darter.RunPartial, "rows_refused", fmt.Sprintf("%d rows could not be removed and were passed over", x.stuck))
	case cause == nil && x.at.Slice < len(x.frozen.Slices):
		return r.finish(ctx, x, darter.RunPartial, "over_plan", "more rows had become eligible than the plan allows for; they are left to the next run")
	case cause == nil:
		return r.finish(ctx, x, darter.RunSucceeded, "", "")
	case errors.Is(stopped, errTime):
		return r.finish(ctx, x, darter.RunPartial, "time_limit", errTime.Error())
	}
	return r.finish(ctx, x, darter.RunFailed, code(cause), cause.Error())
}

// code is the stable name of what made a run fail.
func code(err error) string {
	for cause, name := range map[error]string{database.ErrFull: "database_full", database.ErrReadOnly: "database_read_only",
		database.ErrGone: "database_gone", database.ErrLocked: "database_locked", ErrPlanStale: "plan_stale"} {
		if errors.Is(err, cause) {
			return name
		}
	}
	return "internal"
}

// carryOut removes batch after batch until nothing is left, or ctx ends.
func (r *Reclaimer) carryOut(ctx context.Context, x *execution) error {
	for x.at.Slice < len(x.frozen.Slices) && x.budget > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := r.awaitReplicas(ctx, x); err != nil {
			return err
		}
		size := x.pacer.Size()
		if x.probe > 0 {
			size = x.probe
		}
		begin := time.Now()
		b, err := r.removeBatch(ctx, x, size)
		took := time.Since(begin)
		if err != nil {
			if err := r.setback(ctx, x, size, took, err); err != nil {
				return err
			}
			continue
		}
		x.advance(b)
		x.probe = 0
		rest := x.pacer.Done(len(b.keys), took)
		if r.cfg.Events.Batch != nil && len(b.keys) > 0 {
			r.cfg.Events.Batch(x.run, darter.RunBatch{Sequence: x.run.Batches, First: b.keys[0], Last: b.keys[len(b.keys)-1],
				Deleted: int64(len(b.keys)), Children: b.children, Took: took, At: time.Now()}, size, rest)
		}
		if b.done || r.cfg.Unpaced || len(b.keys) == 0 {
			continue
		}
		if err := sleep(ctx, rest); err != nil {
			return err
		}
	}
	return r.runOut(ctx, x)
}

// runOut finds out whether a run whose budget is used up has left anything: if not, it has come to its end.
func (r *Reclaimer) runOut(ctx context.Context, x *execution) error {
	return r.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		for x.at.Slice < len(x.frozen.Slices) {
			s := x.frozen.Slices[x.at.Slice]
			rows, err := x.table.page(ctx, tx, s, x.at.After, 1, x.frozen.Keep, false)
			if err != nil {
				return err
			}
			if len(rows) == 0 {
				x.at = place{Slice: x.at.Slice + 1}
				continue
			}
			if x.at.After = rows[0].at; !x.frozen.stays(s.Group, rows[0].owner, rows[0].at) {
				return nil
			}
		}
		return nil
	})
}

func (x *execution) advance(b batch) {
	n := int64(len(b.keys))
	x.at, x.waits = b.next, 0
	x.budget -= n
	x.run.Scanned += b.scanned
	x.run.Deleted += n
	x.run.Children += b.children
	if n > 0 {
		x.run.Batches++
	}
}

// setback decides what a batch that was undone means: wait and try less, look for the row that is at
// fault, or give up.
func (r *Reclaimer) setback(ctx context.Context, x *execution, size int, took time.Duration, err error) error {
	kind := darter.KindOf(err)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, database.ErrFenced):
		return err
	case errors.Is(err, errStopped): // cancelled or paused: the watcher will say which
		return r.stopped(ctx, x)
	case errors.Is(err, database.ErrLocked), kind == darter.TimedOut:
		rest := x.pacer.Failed(took)
		x.probe = 0
		return r.wait(ctx, x, WaitLock, rest)
	case errors.Is(err, database.ErrGone):
		return r.wait(ctx, x, WaitServer, max(time.Second, x.pacer.Failed(took)))
	case errors.Is(err, database.ErrFull), errors.Is(err, database.ErrReadOnly), kind == darter.Denied, kind == darter.Corrupt, kind == darter.NoSpace:
		return err
	case size > 1:
		x.probe = size / 2
		return nil
	}
	if x.stuck++; x.stuck > maxStuck {
		return fmt.Errorf("more than %d rows cannot be removed, the last because: %w", maxStuck, err)
	}
	return r.passOver(ctx, x)
}

func (r *Reclaimer) wait(ctx context.Context, x *execution, why Wait, d time.Duration) error {
	x.waits++
	if r.cfg.Events.Waited != nil {
		r.cfg.Events.Waited(x.table.Kind, why, d)
	}
	return sleep(ctx, d)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// passOver moves the cursor past one row that cannot be removed, and says so in the record.
func (r *Reclaimer) passOver(ctx context.Context, x *execution) error {
	return r.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		if err := tx.Hold(ctx, x.lease); err != nil {
			return err
		}
		b, err := x.gather(ctx, tx, 1)
		if err != nil {
			return err
		}
		c := tally{vetoed: x.run.Vetoed}
		c.veto("refused", int64(len(b.keys)))
		vetoed, err := json.Marshal(c.vetoed)
		if err != nil {
			return err
		}
		b.keys = nil
		if err := x.record(ctx, tx, &b, 0); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE gc_runs SET vetoed = ? WHERE id = ?", string(vetoed), x.run.ID); err != nil {
			return err
		}
		x.run.Vetoed, x.at = c.vetoed, b.next
		return nil
	})
}

// stopped waits for the watcher to say why the run's row changed.
func (r *Reclaimer) stopped(ctx context.Context, x *execution) error {
	if err := r.ordered(ctx, x.run.ID); err != nil {
		return err
	}
	return r.wait(ctx, x, WaitLock, 100*time.Millisecond)
}

// finish closes the record, as often as it takes while the lease is ours.
func (r *Reclaimer) finish(ctx context.Context, x *execution, state darter.RunState, code, message string) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		run, err := r.close(ctx, x, state, code, message)
		switch {
		case err == nil:
			if r.cfg.Events.Ended != nil {
				r.cfg.Events.Ended(run)
			}
			return nil
		case errors.Is(err, database.ErrFenced), ctx.Err() != nil:
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

func (r *Reclaimer) close(ctx context.Context, x *execution, state darter.RunState, code, message string) (out darter.Run, err error) {
	err = r.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		if err := tx.Hold(ctx, x.lease); err != nil {
			return err
		}
		row, err := load(ctx, tx, x.run.ID, true)
		if err != nil {
			return err
		}
		if row.State.Final() {
			out, err = row.run()
			return err
		}
		if row.State == darter.RunCancelling && state != darter.RunSucceeded { // whoever asked is told what they asked for
			state, code, message = darter.RunCancelled, "cancelled", "cancelled by request"
		}
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		row.State, row.Code, row.Message, row.FinishedAt = state, code, message, database.At(now)
		row.Waits += x.waits
		if _, err := tx.NewUpdate().Model(row).Column("state", "code", "message", "finished_at", "waits").WherePK().Exec(ctx); err != nil {
			return err
		}
		if out, err = row.run(); err != nil {
			return err
		}
		return errors.Join(tx.Notify(topic, row.ID), r.announce(ctx, tx, row))
	})
	return out, err
}

// awaitReplicas waits while a replica lags behind, and asks about once a second.
func (r *Reclaimer) awaitReplicas(ctx context.Context, x *execution) error {
	limit := time.Duration(x.spec.ReplicaLag)
	if r.db.Dialect() == database.SQLite || limit == 0 || time.Since(x.lag) < time.Second {
		return nil
	}
	for {
		x.lag = time.Now()
		var seconds float64
		err := r.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
			return tx.QueryRowContext(ctx, "SELECT coalesce(max(extract(epoch FROM replay_lag)), 0)::float8 FROM pg_stat_replication").Scan(&seconds)
		})
		if err != nil || time.Duration(seconds*float64(time.Second)) <= limit {
			return nil // what is wrong with the database, the batch will find out
		}
		if err := r.wait(ctx, x, WaitReplica, time.Second); err != nil {
			return err
		}
	}
}
