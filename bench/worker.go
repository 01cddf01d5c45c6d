package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/gc/retention"
	"github.com/darter-p2p/darter/internal/manager"
	"github.com/darter-p2p/darter/internal/manager/catalog"
	"github.com/darter-p2p/darter/internal/manager/jobs"
	"github.com/darter-p2p/darter/internal/manager/records"
	"github.com/darter-p2p/darter/internal/manager/records/recordstest"
)

// workerName is the first argument that makes this program a worker: a process of its own, so that its
// memory can be read and it can be killed.
const workerName = "worker"

// order is what a worker is told to do.
type order struct {
	Do     string        `json:"do"` // plan-and-run, paced, cancel, one-delete, batch-loop, stand
	URL    string        `json:"url"`
	Holder string        `json:"holder"`
	Lease  time.Duration `json:"lease"`
	Batch  int           `json:"batch"` // stand: fixed rows per batch
}

// outcome is what a worker says at its end.
type outcome struct {
	Plan, Run, Cancel       float64 // seconds
	Deleted                 int64
	Base, Peak              int64              // bytes of resident memory: with the database open, and at most
	Before, During          map[string]float64 // p99 of other users' transactions in milliseconds
	Largest                 int
	Quiet, Loud             int // how many of those there were
	State                   darter.RunState
	QuietMedian, LoudMedian map[string]float64
}

// rooms are the tables of jobs and what cleans them, as a manager makes them.
func rooms() []database.Migrations {
	return []database.Migrations{catalog.Migrations(), jobs.Tables(), records.Migrations()}
}

func openTables(ctx context.Context, url string) (*database.DB, error) {
	cfg := database.DefaultConfig()
	cfg.URL, cfg.Migrations, cfg.Limit = url, rooms(), time.Hour
	return database.Open(ctx, cfg)
}

// work is the whole life of a worker.
func work(ctx context.Context, text string) int {
	var o order
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		err = o.carryOut(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		return 1
	}
	return 0
}

func (o order) carryOut(ctx context.Context) (err error) {
	db, err := openTables(ctx, o.URL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if o.Do == "stand" {
		return o.stand(ctx, db)
	}
	var out outcome
	if out.Base, err = statusBytes(os.Getpid(), "VmRSS"); err != nil {
		return err
	}
	switch o.Do {
	case "plan-and-run":
		err = o.reclaim(ctx, db, &out)
	case "paced":
		err = o.besideOthers(ctx, db, &out)
	case "cancel":
		err = o.cancel(ctx, db, &out)
	case "one-delete", "batch-loop":
		err = o.naive(ctx, db, &out)
	default:
		err = fmt.Errorf("there is no work %q", o.Do)
	}
	if err != nil {
		return err
	}
	if out.Peak, err = statusBytes(os.Getpid(), "VmHWM"); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// reclaimer is one as a manager has it, but with a policy that lets everything go at once.
func (o order) reclaimer(db *database.DB, paced bool, batch int) (*records.Reclaimer, error) {
	policies := &recordstest.Policies{}
	spec := retention.Default(retention.Job)
	spec.Enabled, spec.Blast.Share = false, 1
	if !paced {
		spec.Batch.Busy = 1
	}
	if batch > 0 {
		spec.Batch.Start, spec.Batch.Min, spec.Batch.Max = batch, batch, batch
	}
	policies.Set(retention.Job, spec)
	return records.New(records.Config{DB: db, Policies: policies, Audit: &recordstest.Audit{}, Tables: manager.RecordTables()[:1], Holder: o.Holder, Lease: o.Lease, Unpaced: !paced})
}

// running runs the reclaimer while act does its part.
func running(ctx context.Context, db *database.DB, r *records.Reclaimer, act func(context.Context) error) error {
	inner, stop := context.WithCancel(ctx)
	group, inner := errgroup.WithContext(inner)
	group.Go(func() error { return db.Run(inner) })
	group.Go(func() error { return r.Run(inner) })
	err := act(ctx)
	stop()
	if ended := group.Wait(); ended != nil && !errors.Is(ended, context.Canceled) {
		err = errors.Join(err, ended)
	}
	return err
}

// reclaim makes a plan and carries it out.
func (o order) reclaim(ctx context.Context, db *database.DB, out *outcome) error {
	r, err := o.reclaimer(db, false, o.Batch)
	if err != nil {
		return err
	}
	return running(ctx, db, r, func(ctx context.Context) error { return planAndRun(ctx, r, out) })
}

func planAndRun(ctx context.Context, r *records.Reclaimer, out *outcome) error {
	begin := time.Now()
	plan, err := r.Plan(ctx, records.PlanRequest{Kind: retention.Job, Trigger: darter.ByHand, Actor: darter.System("bench")})
	if err != nil {
		return err
	}
	out.Plan = time.Since(begin).Seconds()
	begin = time.Now()
	run, err := r.Start(ctx, records.StartRequest{Kind: retention.Job, Plan: plan.ID, Trigger: darter.ByHand, Actor: darter.System("bench")})
	if err != nil {
		return err
	}
	for run, err = range r.Watch(ctx, run.ID) {
		if err != nil {
			return err
		}
	}
	out.Run, out.Deleted, out.State = time.Since(begin).Seconds(), run.Deleted, run.State
	return nil
}

// cancel stops a run in the middle of its work.
func (o order) cancel(ctx context.Context, db *database.DB, out *outcome) error {
	r, err := o.reclaimer(db, false, o.Batch)
	if err != nil {
		return err
	}
	return running(ctx, db, r, func(ctx context.Context) error {
		run, err := r.Start(ctx, records.StartRequest{Kind: retention.Job, Trigger: darter.ByHand, Actor: darter.System("bench")})
		if err != nil {
			return err
		}
		var asked time.Time
		for run, err = range r.Watch(ctx, run.ID) {
			if err != nil {
				return err
			}
			if run.Batches > 2 && asked.IsZero() {
				asked = time.Now()
				if _, err := r.Cancel(ctx, records.Order{Run: run.ID, Actor: darter.System("bench"), Reason: "measured"}); err != nil {
					return err
				}
			}
		}
		if asked.IsZero() || run.State != darter.RunCancelled {
			return fmt.Errorf("the run was %s before it could be cancelled", run.State)
		}
		out.Cancel, out.Deleted, out.State = time.Since(asked).Seconds(), run.Deleted, run.State
		return nil
	})
}

// stand stands for leadership, and carries out what others queue, until it is killed.
func (o order) stand(ctx context.Context, db *database.DB) error {
	r, err := o.reclaimer(db, false, o.Batch)
	if err != nil {
		return err
	}
	fmt.Println(`{}`) // told: it is up
	return running(ctx, db, r, func(ctx context.Context) error { <-ctx.Done(); return nil })
}

// worker starts this program again with an order.
func (s *suite) worker(ctx context.Context, o order) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, workerName, string(text))
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// hire runs a worker to its end.
func (s *suite) hire(ctx context.Context, o order) (out outcome, err error) {
	cmd, err := s.worker(ctx, o)
	if err != nil {
		return out, err
	}
	text, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s: %w", o.Do, err)
	}
	return out, json.Unmarshal(text, &out)
}
