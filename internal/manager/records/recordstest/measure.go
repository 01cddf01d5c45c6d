package recordstest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/gc/retention"
	"github.com/darter-p2p/darter/internal/manager/records"
)

// Figures is what one measured run took.
type Figures struct {
	Plan    time.Duration // making the plan that the run carries out
	Run     time.Duration // from Start to the final state
	Busy    time.Duration // of it, within batches
	Deleted int64
	Batches int64
	Largest int   // rows of the largest batch
	Grown   int64 // bytes by which this process's resident memory rose at most while it ran; -1 where that is unknown
	Slowest time.Duration
	Orphans int64
	State   darter.RunState
}

// String is one line of a table.
func (f Figures) String() string {
	return fmt.Sprintf("plan %.2fs, run %.2fs (busy %.2fs), %d rows in %d batches of at most %d, slowest %dms, memory +%d MiB, %d orphans, %s",
		f.Plan.Seconds(), f.Run.Seconds(), f.Busy.Seconds(), f.Deleted, f.Batches, f.Largest, f.Slowest.Milliseconds(), f.Grown>>20, f.Orphans, f.State)
}

// Measure plans and carries out one run over works, which Fill has filled.
func Measure(ctx context.Context, db *database.DB, paced bool) (f Figures, err error) {
	policies := &Policies{}
	spec := retention.Default(retention.Job)
	spec.Enabled, spec.Blast.Share = false, 1
	if !paced {
		spec.Batch.Busy = 1
	}
	policies.Set(retention.Job, spec)
	base := resident()
	r, err := records.New(records.Config{DB: db, Policies: policies, Audit: &Audit{}, Tables: []records.Table{Table()}, Holder: "measure", Unpaced: !paced,
		Events: records.Events{Batch: func(_ darter.Run, b darter.RunBatch, size int, _ time.Duration) {
			f.Largest, f.Slowest = max(f.Largest, int(b.Deleted)), max(f.Slowest, b.Took)
			f.Grown = max(f.Grown, resident()-base)
		}}})
	if err != nil {
		return f, err
	}
	begin := time.Now()
	plan, err := r.Plan(ctx, records.PlanRequest{Kind: retention.Job, Trigger: darter.ByHand, Actor: darter.System("measure")})
	if err != nil {
		return f, err
	}
	f.Plan = time.Since(begin)
	f.Grown = max(f.Grown, resident()-base)
	running, stop := context.WithCancel(ctx)
	group, running := errgroup.WithContext(running)
	group.Go(func() error { return db.Run(running) })
	group.Go(func() error { return r.Run(running) })
	begin = time.Now()
	run, err := follow(ctx, r, plan.ID)
	f.Run = time.Since(begin)
	stop()
	if ended := group.Wait(); ended != nil && !errors.Is(ended, context.Canceled) {
		err = errors.Join(err, ended)
	}
	f.Busy, f.Deleted, f.Batches, f.State = run.Busy, run.Deleted, run.Batches, run.State
	if base == 0 {
		f.Grown = -1
	}
	_, _, orphans, counting := Count(ctx, db)
	f.Orphans = orphans
	return f, errors.Join(err, counting)
}

func follow(ctx context.Context, r *records.Reclaimer, plan string) (last darter.Run, err error) {
	run, err := r.Start(ctx, records.StartRequest{Kind: retention.Job, Plan: plan, Trigger: darter.ByHand, Actor: darter.System("measure")})
	if err != nil {
		return run, err
	}
	for last, err = range r.Watch(ctx, run.ID) {
		if err != nil {
			return last, err
		}
	}
	return last, nil
}

// resident is the memory of this process that is in RAM, or 0 where that cannot be asked.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
