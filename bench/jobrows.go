package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/uptrace/bun"
	"golang.org/x/sync/errgroup"

	"github.com/darter-p2p/darter/internal/database"
)

// Columns of a job that is over, of about 1 KB, and of its one step.
const (
	jobColumns  = "id, kind, state, owner, tenant, spec, max_attempts, threshold, created_at, updated_at, finalized_at"
	stepColumns = "job_id, number, kind, job_kind, tenant, state, ready"
)

// fillJobs makes rows jobs with one step each, within the database: the first eligible of them ended 8 to
// 38 days ago, the others today.
func fillJobs(ctx context.Context, db *database.DB, prefix string, rows, eligible int) error {
	const portion = 50_000
	for from := 0; from < rows; from += portion {
		to := min(from+portion, rows) - 1
		if err := db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
			return fillPortion(ctx, tx, prefix, from, to, rows, eligible)
		}); err != nil {
			return err
		}
	}
	if db.Dialect() == database.Postgres {
		return db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
			_, err := tx.ExecContext(ctx, "ANALYZE jobs; ANALYZE job_steps")
			return err
		})
	}
	return nil
}

func fillPortion(ctx context.Context, tx *database.Tx, prefix string, from, to, rows, eligible int) error {
	numbers, id, spec := "SELECT g FROM generate_series(?::bigint, ?::bigint) AS s(g)", "to_char(g, 'FM0000000000')", "repeat(md5(g::text), 25)"
	if tx.Dialect() == database.SQLite {
		numbers = "WITH RECURSIVE s(g) AS (SELECT ? UNION ALL SELECT g + 1 FROM s WHERE g < ?) SELECT g FROM s"
		id, spec = "printf('%010d', g)", "printf('%.*c', 800, 'x')"
	}
	id = "'" + prefix + "' || " + id
	day := int64(24 * time.Hour / time.Microsecond)
	now := time.Now().UnixMicro()
	when := fmt.Sprintf("(CASE WHEN g < %d THEN %d + g * %d / %d ELSE %d + g * 10 END)", eligible, now-38*day, 30*day, max(rows, 1), now-day)
	_, err := tx.ExecContext(ctx, "INSERT INTO jobs ("+jobColumns+") SELECT "+id+", 'preheat.files', 'succeeded', 'owner-' || (g % 10), 'owner-' || (g % 10), '{\"x\":\"' || "+spec+
		" || '\"}', 3, 100, "+when+", "+when+", "+when+" FROM ("+numbers+") AS n", from, to)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO job_steps ("+stepColumns+") SELECT "+id+", 1, 'dispatch', 'preheat.files', 'bench', 'ended', FALSE FROM ("+numbers+") AS n", from, to)
	return err
}

// countJobs returns how many jobs there are, and how many steps have none.
func countJobs(ctx context.Context, db *database.DB) (jobs, orphans int64, err error) {
	err = db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM jobs),
			(SELECT count(*) FROM job_steps s WHERE NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = s.job_id))`).Scan(&jobs, &orphans)
	})
	return jobs, orphans, err
}

// children are the tables whose rows go with a job.
func children() []string {
	return []string{"job_target_failures", "job_items", "job_steps", "job_events"}
}

// naive deletes without plan, pacing, record or an index that fits: by created_at, as others do.
func (o order) naive(ctx context.Context, db *database.DB, out *outcome) (err error) {
	begin := time.Now()
	before := time.Now().Add(-7 * 24 * time.Hour).UnixMicro()
	n := int64(1)
	for n > 0 {
		if o.Do == "one-delete" {
			out.Deleted, err = atOnce(ctx, db, before)
			n = 0
		} else {
			n, err = thousand(ctx, db, before)
			out.Deleted += n
		}
		if err != nil {
			return err
		}
	}
	out.Run = time.Since(begin).Seconds()
	return nil
}

func atOnce(ctx context.Context, db *database.DB, before int64) (n int64, err error) {
	err = db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		for _, child := range children() {
			if _, err := tx.ExecContext(ctx, "DELETE FROM "+child+" WHERE job_id IN (SELECT id FROM jobs WHERE created_at < ?)", before); err != nil {
				return err
			}
		}
		result, err := tx.ExecContext(ctx, "DELETE FROM jobs WHERE created_at < ?", before)
		if err != nil {
			return err
		}
		n, err = result.RowsAffected()
		return err
	})
	return n, err
}

func thousand(ctx context.Context, db *database.DB, before int64) (n int64, err error) {
	err = db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		var ids []string
		if err := tx.NewRaw("SELECT id FROM jobs WHERE created_at < ? LIMIT 1000", before).Scan(ctx, &ids); err != nil || len(ids) == 0 {
			return err
		}
		for _, child := range children() {
			if _, err := tx.NewRaw("DELETE FROM "+child+" WHERE job_id IN (?)", bun.List(ids)).Exec(ctx); err != nil {
				return err
			}
		}
		result, err := tx.NewRaw("DELETE FROM jobs WHERE id IN (?)", bun.List(ids)).Exec(ctx)
		if err != nil {
			return err
		}
		n, err = result.RowsAffected()
		return err
	})
	return n, err
}

// others are the foreground: a manager's usual small transactions, at a steady pace.
type others struct {
	db *database.DB
	mu sync.Mutex
	ms map[string][]float64
	n  int
}

// take ends a phase and returns its figures.
func (f *others) take() (p50, p99 map[string]float64, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p50, p99 = map[string]float64{}, map[string]float64{}
	for name, all := range f.ms {
		slices.Sort(all)
		p50[name], p99[name] = quantile(all, 0.5), quantile(all, 0.99)
		n += len(all)
	}
	f.ms = map[string][]float64{}
	return p50, p99, n
}

func (f *others) timed(name string, since time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ms[name] = append(f.ms[name], float64(time.Since(since).Microseconds())/1000)
}

// go50 makes fifty small transactions a second, each started on time whatever the former takes, until ctx ends.
func (f *others) go50(ctx context.Context) error {
	var group errgroup.Group
	group.SetLimit(64)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return group.Wait()
		case due := <-tick.C:
			f.n++
			n := f.n
			group.Go(func() error {
				if n%2 == 0 {
					return f.list(context.WithoutCancel(ctx), due)
				}
				return f.create(context.WithoutCancel(ctx), n, due)
			})
		}
	}
}

func (f *others) create(ctx context.Context, n int, due time.Time) error {
	now := time.Now().UnixMicro()
	err := f.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO jobs ("+jobColumns+") VALUES (?, 'preheat.files', 'running', 'o', 'o', '{}', 3, 100, ?, ?, 0)", fmt.Sprintf("02%020d%d", now, n), now, now)
		return err
	})
	f.timed("create", due)
	return err
}

func (f *others) list(ctx context.Context, due time.Time) error {
	err := f.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT id, kind, state FROM jobs ORDER BY id DESC LIMIT 50")
		if err != nil {
			return err
		}
		defer rows.Close()
		var id, kind, state string
		for rows.Next() {
			if err := rows.Scan(&id, &kind, &state); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	f.timed("list", due)
	return err
}

// besideOthers reclaims at the default pace while others use the database, after a while without.
func (o order) besideOthers(ctx context.Context, db *database.DB, out *outcome) error {
	r, err := o.reclaimer(db, true, 0)
	if err != nil {
		return err
	}
	return running(ctx, db, r, func(ctx context.Context) error {
		f := &others{db: db, ms: map[string][]float64{}}
		working, stop := context.WithCancel(ctx)
		var group errgroup.Group
		group.Go(func() error { return f.go50(working) })
		err := pause(ctx, 2*time.Second) // until caches are warm
		f.take()
		if err == nil {
			err = pause(ctx, 20*time.Second)
		}
		out.QuietMedian, out.Before, out.Quiet = f.take()
		if err == nil {
			err = planAndRun(ctx, r, out)
		}
		out.LoudMedian, out.During, out.Loud = f.take()
		stop()
		return first(err, group.Wait())
	})
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
