package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
	"github.com/darter-p2p/darter/internal/manager/records"
)

// store is one kind of database, and how to get a fresh one.
type store struct {
	name   string
	create func(ctx context.Context) (url string, drop func(context.Context) error, err error)
}

// stores returns SQLite, and a PostgreSQL that keeps what it commits. stop ends the latter.
func (s *suite) stores() (all []store, stop func() error, err error) {
	files := 0
	sqlite := func(context.Context) (string, func(context.Context) error, error) {
		files++
		dir := filepath.Join(s.dir, fmt.Sprintf("rows%d", files))
		return "sqlite:" + filepath.Join(dir, "darter.db"), func(ctx context.Context) error {
			return exec.CommandContext(ctx, "rm", "-r", dir).Run()
		}, mkdir(dir)
	}
	server, err := databasetest.Start(true)
	if err != nil {
		return nil, nil, err
	}
	return []store{{"sqlite", sqlite}, {"postgres", server.Create}}, server.Stop, nil
}

// runReclaim is M1: half of the jobs are to go, with their parts, on both databases; beside it the naive ways.
func runReclaim(ctx context.Context, s *suite) (err error) {
	all, stop, err := s.stores()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	rows := 2_000_000
	if s.quick {
		rows = 100_000
	}
	for _, kind := range all {
		var ours *outcome // what the naive ways are compared with
		for _, way := range []string{"plan-and-run", "one-delete", "batch-loop", "paced", "cancel"} {
			if s.variant != "" && s.variant != kind.name+", "+way {
				continue
			}
			out, err := s.reclaimed(ctx, kind, rows, way, ours)
			if err != nil {
				return err
			}
			if way == "plan-and-run" {
				ours = &out
			}
		}
	}
	return nil
}

// reclaimed fills a fresh database, has a worker do its work on it, and writes down what that took.
func (s *suite) reclaimed(ctx context.Context, kind store, rows int, do string, ours *outcome) (out outcome, err error) {
	ctx, cancel := bounded(ctx, 20*time.Minute)
	defer cancel()
	url, drop, err := kind.create(ctx)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, drop(context.WithoutCancel(ctx))) }()
	if err := s.filled(ctx, url, rows); err != nil {
		return out, err
	}
	r := s.before(ctx, "M1", kind.name+", "+do, 1, 0)
	limited, stop := context.WithTimeout(ctx, 10*time.Minute) // a naive way may take for ever
	defer stop()
	out, err = s.hire(limited, order{Do: do, URL: url, Holder: "bench"})
	if naive := do == "one-delete" || do == "batch-loop"; err != nil && (limited.Err() == nil || !naive) {
		return out, err
	}
	v := r.Values
	if err != nil { // it did not end: what it took is at least the limit
		out.Run = (10 * time.Minute).Seconds()
		v["did not end"] = 1
	}
	v["run s"], v["deleted"] = out.Run, float64(out.Deleted)
	v["peak RSS MiB"], v["RSS growth MiB"] = float64(out.Peak)/float64(mib), float64(out.Peak-out.Base)/float64(mib)
	switch do {
	case "one-delete", "batch-loop":
		if ours != nil {
			v["our time / its"] = ours.Run / out.Run
		}
		if ours != nil && out.Peak > 0 {
			v["our peak / its"] = float64(ours.Peak) / float64(out.Peak)
		}
	case "cancel":
		v["cancel s"] = out.Cancel
		delete(v, "run s")
	case "paced":
		for name, p99 := range out.During {
			v[name+" p99 before ms"], v[name+" p99 ms"], v[name+" p99 rise %"] = out.Before[name], p99, 100*(p99/out.Before[name]-1)
			v[name+" p50 ms"] = out.LoudMedian[name]
		}
		fallthrough
	default:
		v["plan s"] = out.Plan
	}
	if err := s.rowsAgree(context.WithoutCancel(ctx), url, rows, out, v); err != nil {
		return out, err
	}
	return out, s.book.add(r)
}

func (s *suite) filled(ctx context.Context, url string, rows int) error {
	db, err := openTables(ctx, url)
	if err != nil {
		return err
	}
	return errors.Join(fillJobs(ctx, db, "01J0000000000000", rows, rows/2), db.Close())
}

// rowsAgree compares what is left with what the worker says that it removed.
func (s *suite) rowsAgree(ctx context.Context, url string, rows int, out outcome, v map[string]float64) error {
	db, err := openTables(ctx, url)
	if err != nil {
		return err
	}
	left, orphans, err := countJobs(ctx, db)
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	v["orphans"] = float64(orphans)
	if out.Loud == 0 && out.Run > 0 && v["did not end"] == 0 && left != int64(rows)-out.Deleted {
		return fmt.Errorf("%d jobs are left of %d, and %d are said to be gone", left, rows, out.Deleted)
	}
	return nil
}

// trialRows are what is to go in one trial of M2, in batches of trialBatch.
const (
	trialRows  = 600
	trialBatch = 50
	trialLease = 500 * time.Millisecond
)

// runFailover is M2: the executor is killed in the middle of a run, again and again, while two others stand by.
func runFailover(ctx context.Context, s *suite) (err error) {
	server, err := databasetest.Start(false) // processes are killed, not the machine: no need to wait for its disk
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	trials := 1000
	if s.quick {
		trials = 20
	}
	r := s.before(ctx, "M2", "postgres, 3 processes", 1, 0)
	f := failover{suite: s, values: r.Values, standing: map[string]*exec.Cmd{}}
	if err := f.run(ctx, store{"postgres", server.Create}, trials); err != nil {
		return err
	}
	r.Values["trials"], r.Values["takeover p50 s"], r.Values["takeover p99 s"] = float64(trials), median(f.took), quantile(f.took, 0.99)
	return s.book.add(r)
}

// failover is a database with three processes that reclaim.
type failover struct {
	suite    *suite
	url      string
	db       *database.DB
	queue    *records.Reclaimer // plans and queues, and carries nothing out
	standing map[string]*exec.Cmd
	starts   int
	values   map[string]float64
	took     []float64 // seconds from the kill until the run is over
}

func (f *failover) run(ctx context.Context, kind store, trials int) (err error) {
	var drop func(context.Context) error
	if f.url, drop, err = kind.create(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop(context.WithoutCancel(ctx))) }()
	if f.db, err = openTables(ctx, f.url); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.db.Close()) }()
	if f.queue, err = (order{Holder: "bench", Lease: trialLease}).reclaimer(f.db, false, trialBatch); err != nil {
		return err
	}
	defer f.killAll()
	for len(f.standing) < 3 {
		if err := f.stand(ctx); err != nil {
			return err
		}
	}
	for trial := range trials {
		if err := f.trial(ctx, trial); err != nil {
			return fmt.Errorf("trial %d: %w\n%s", trial+1, err, f.history(context.WithoutCancel(ctx)))
		}
	}
	return nil
}

// stand starts one more process.
func (f *failover) stand(ctx context.Context) error {
	f.starts++
	o := order{Do: "stand", URL: f.url, Holder: fmt.Sprintf("process-%d", f.starts), Lease: trialLease, Batch: trialBatch}
	cmd, err := f.suite.worker(ctx, o)
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	f.standing[o.Holder] = cmd
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		return fmt.Errorf("%s did not come up: %w", o.Holder, err)
	}
	return nil
}

func (f *failover) kill(holder string) error {
	cmd := f.standing[holder]
	if cmd == nil {
		return fmt.Errorf("the executor is said to be %q, which does not run", holder)
	}
	delete(f.standing, holder)
	err := cmd.Process.Kill()
	_ = cmd.Wait() // it was killed, and says so
	return err
}

func (f *failover) killAll() {
	for holder := range f.standing {
		_ = f.kill(holder)
	}
}

// trial queues a run, kills whoever carries it out, and sees to it that the record and the rows agree.
func (f *failover) trial(all context.Context, n int) error {
	ctx, cancel := bounded(all, time.Minute)
	defer cancel()
	if err := fillJobs(ctx, f.db, fmt.Sprintf("01J%013d", n), trialRows, trialRows); err != nil {
		return err
	}
	before, _, err := countJobs(ctx, f.db)
	if err != nil {
		return err
	}
	run, err := f.queue.Start(ctx, records.StartRequest{Kind: "job", Trigger: darter.ByHand, Actor: darter.System("bench")})
	if err != nil {
		return err
	}
	point := int64(1 + n*7%11) // after so many batches of the twelve
	killed, err := f.killDuring(ctx, run.ID, point)
	if err != nil {
		return err
	}
	if !killed.IsZero() {
		if err := f.over(ctx, run.ID); err != nil {
			return err
		}
		f.took = append(f.took, time.Since(killed).Seconds())
		if err := f.stand(all); err != nil { // it outlives the trial
			return err
		}
		f.values["killed in the middle"]++
	}
	return f.agree(ctx, run.ID, before)
}

// killDuring follows the run until it has come far enough, and kills its executor. A run that was too quick
// is not killed.
func (f *failover) killDuring(ctx context.Context, id string, point int64) (time.Time, error) {
	for {
		run, err := f.queue.GetRun(ctx, id)
		if err != nil {
			return time.Time{}, err
		}
		if run.State.Final() {
			if run.State == darter.RunLost { // by the load of the machine: its lease is short
				f.values["lost by itself"]++
				return time.Time{}, f.over(ctx, id)
			}
			if run.State != darter.RunSucceeded {
				err = fmt.Errorf("the run is %s: %s %s", run.State, run.Code, run.Message)
			}
			return time.Time{}, err
		}
		if run.Batches >= point && run.Executor != "" {
			return time.Now(), f.kill(run.Executor)
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return time.Time{}, err
		}
	}
}

// over waits until the run, or the one that took its place, has come to its end.
func (f *failover) over(ctx context.Context, id string) error {
	for {
		open, states := 0, 0
		err := f.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
			return tx.QueryRowContext(ctx, `SELECT count(*) FILTER (WHERE state IN ('queued', 'running', 'paused', 'cancelling')), count(*) FILTER (WHERE state = 'succeeded')
				FROM gc_runs WHERE id = ? OR resumes = ? OR plan_id = (SELECT plan_id FROM gc_runs WHERE id = ? AND plan_id <> '')`, id, id, id).Scan(&open, &states)
		})
		if err != nil || open == 0 && states > 0 {
			return err
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

// agree checks that all runs and all batches of this trial say what is gone, no more and no less.
func (f *failover) agree(ctx context.Context, id string, before int64) error {
	after, orphans, err := countJobs(ctx, f.db)
	if err != nil {
		return err
	}
	var runs, batches, executors int64
	err = f.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		const chain = "(SELECT id FROM gc_runs WHERE id = ? OR resumes = ? OR plan_id = (SELECT plan_id FROM gc_runs WHERE id = ? AND plan_id <> ''))"
		return tx.QueryRowContext(ctx, `SELECT (SELECT sum(deleted) FROM gc_runs WHERE id IN `+chain+`), (SELECT sum(deleted) FROM gc_run_batches WHERE run_id IN `+chain+`),
			(SELECT count(*) FROM gc_runs WHERE state = 'running')`, id, id, id, id, id, id).Scan(&runs, &batches, &executors)
	})
	if err != nil {
		return err
	}
	gone := before - after
	if runs != gone || batches != gone || orphans != 0 || executors != 0 {
		return fmt.Errorf("%d rows are gone; the runs say %d, their batches %d; %d orphans, %d runs still open", gone, runs, batches, orphans, executors)
	}
	f.values["rows gone"] += float64(gone)
	return nil
}

// history is what the records say of the last runs.
func (f *failover) history(ctx context.Context) string {
	var text strings.Builder
	err := f.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT id, state, executor, token, plan_id, resumes, deleted, code, message FROM gc_runs ORDER BY id DESC LIMIT 5")
		if err != nil {
			return err
		}
		defer rows.Close()
		var words [7]string
		var token, deleted int64
		for rows.Next() {
			if err := rows.Scan(&words[0], &words[1], &words[2], &token, &words[3], &words[4], &deleted, &words[5], &words[6]); err != nil {
				return err
			}
			fmt.Fprintf(&text, "   %q token %d, %d deleted\n", words, token, deleted)
		}
		return rows.Err()
	})
	if err != nil {
		fmt.Fprintf(&text, "   %v\n", err)
	}
	return text.String()
}
