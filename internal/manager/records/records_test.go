package records_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
	"github.com/darter-p2p/darter/internal/gc/retention"
	"github.com/darter-p2p/darter/internal/manager/records"
	"github.com/darter-p2p/darter/internal/manager/records/recordstest"
)

// site is a reclaimer of works on one database.
type site struct {
	*records.Reclaimer
	t        *testing.T
	db       *database.DB
	policies *recordstest.Policies
	audit    *recordstest.Audit
}

func quick() retention.Spec {
	s := retention.Default(retention.Job)
	s.Enabled = false
	s.Batch.Start, s.Batch.Min = 7, 5
	s.Batch.Busy = 1
	s.Blast.Share = 1
	s.KeepLast.Count = 0
	return s
}

func newSite(t *testing.T, db *database.DB, change ...func(*records.Config)) *site {
	t.Helper()
	s := &site{t: t, db: db, policies: &recordstest.Policies{}, audit: &recordstest.Audit{}}
	s.policies.Set(retention.Job, quick())
	cfg := records.Config{DB: db, Policies: s.policies, Audit: s.audit, Tables: []records.Table{recordstest.Table()}, Holder: "one", Unpaced: true, Lease: 3 * time.Second}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if s.Reclaimer, err = records.New(cfg); err != nil {
		t.Fatal(err)
	}
	return s
}

// start runs the reclaimer and the database's notifications for the time of the test.
func (s *site) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- s.db.Run(ctx) }()
	go func() { ended <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		for range 2 {
			if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
				s.t.Error(err)
			}
		}
	}
	s.t.Cleanup(stop)
	return stop
}

// until waits for a run to be final.
func (s *site) until(id string) darter.Run {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	var last darter.Run
	for run, err := range s.Watch(ctx, id) {
		if err != nil {
			s.t.Fatalf("watch: %v; last seen %+v", err, last)
		}
		last = run
	}
	return last
}

func (s *site) fill(l recordstest.Load) {
	s.t.Helper()
	if err := recordstest.Fill(s.t.Context(), s.db, l); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) exec(sql string, args ...any) {
	s.t.Helper()
	err := s.db.Write(s.t.Context(), func(ctx context.Context, tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, sql, args...)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// work adds one row of works with one part.
func (s *site) work(id, kind, state string, ago time.Duration, more ...string) {
	s.t.Helper()
	at := time.Now().Add(-ago).UnixMicro()
	if state == "running" {
		at = 0
	}
	s.exec("INSERT INTO works (id, kind, state, owner, spec, created_at, finalized_at) VALUES (?, ?, ?, 'me', '{}', ?, ?)", id, kind, state, time.Now().Add(-ago).UnixMicro(), at)
	s.exec("INSERT INTO work_parts (work_id, number, text) VALUES (?, 1, '')", id)
	for _, set := range more {
		s.exec("UPDATE works SET "+set+" WHERE id = ?", id)
	}
}

func (s *site) keys() (out []string) {
	s.t.Helper()
	err := s.db.Read(s.t.Context(), func(ctx context.Context, tx *database.Tx) error {
		out = nil
		return tx.NewSelect().TableExpr("works").Column("id").OrderExpr("id").Scan(ctx, &out)
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// consistent checks that no part is left without its row, and that the ledger's sums are the rows gone.
func (s *site) consistent(before int64) {
	s.t.Helper()
	works, parts, orphans, err := recordstest.Count(s.t.Context(), s.db)
	if err != nil {
		s.t.Fatal(err)
	}
	var runs, batches int64
	err = s.db.Read(s.t.Context(), func(ctx context.Context, tx *database.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT (SELECT coalesce(sum(deleted), 0) FROM gc_runs WHERE kind = 'job'), (SELECT coalesce(sum(b.deleted), 0) FROM gc_run_batches b)").Scan(&runs, &batches)
	})
	if err != nil {
		s.t.Fatal(err)
	}
	if gone := before - works; runs != gone || batches != gone || parts != works || orphans != 0 {
		s.t.Fatalf("%d rows are gone; runs say %d, batches say %d; %d rows and %d parts are left, %d parts without a row", gone, runs, batches, works, parts, orphans)
	}
}

func (s *site) begin(q records.StartRequest) darter.Run {
	s.t.Helper()
	q.Kind, q.Actor = retention.Job, darter.Actor{Kind: "user", ID: "u1"}
	if q.Trigger == "" {
		q.Trigger = darter.ByHand
	}
	run, err := s.Start(s.t.Context(), q)
	if err != nil {
		s.t.Fatal(err)
	}
	return run
}

func each(t *testing.T, test func(t *testing.T, db *database.DB)) {
	databasetest.Each(t, test, recordstest.Rooms()...)
}

const day = 24 * time.Hour

func TestOnlyWhatMayGoGoes(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB) {
		s := newSite(t, db)
		spec := quick()
		spec.KeepLast.Count = 2
		s.policies.Set(retention.Job, spec)
		s.work("a-old", "a", "succeeded", 20*day)
		s.work("a-older", "a", "canceled", 21*day)
		s.work("a-failed", "a", "failed", 20*day) // failed ones stay for 30 days
		s.work("a-failed-old", "a", "failed", 31*day)
		s.work("a-running", "a", "running", 90*day)
		s.work("a-pinned", "a", "succeeded", 20*day, fmt.Sprint("pinned_until = ", time.Now().Add(time.Hour).UnixMicro()))
		s.work("a-pin-over", "a", "succeeded", 22*day, fmt.Sprint("pinned_until = ", time.Now().Add(-time.Hour).UnixMicro()))
		s.work("a-parent", "a", "succeeded", 20*day)
		s.work("a-child", "a", "running", 20*day, "parent_id = 'a-parent'")
		s.work("a-child-over", "a", "succeeded", 20*day, "parent_id = 'a-running'")
		s.work("a-new1", "a", "succeeded", time.Hour)
		s.work("a-new2", "a", "failed", 2*time.Hour)
		s.work("b-last1", "b", "succeeded", 50*day)
		s.work("b-last2", "b", "failed", 60*day)
		s.work("b-old", "b", "succeeded", 70*day)
		s.work("c-only", "c", "succeeded", 70*day)
		s.work("d-unfinished", "d", "unheard-of", 70*day)

		plan, err := s.Plan(t.Context(), records.PlanRequest{Kind: retention.Job, Trigger: darter.ByHand, Owners: true})
		if err != nil {
			t.Fatal(err)
		}
		if plan.Eligible != 5 || plan.Total != 17 || len(plan.Samples) != 5 || len(plan.Owners) != 1 || plan.Owners[0].Count != 5 {
			t.Errorf("plan %+v, want 5 of 17", plan)
		}
		vetoed := map[string]int64{}
		for _, v := range plan.Vetoed {
			vetoed[v.Reason] = v.Count
		}
		if want := map[string]int64{"kept_last": 3, "pinned": 1, "child_open": 1, "parent_open": 1}; fmt.Sprint(vetoed) != fmt.Sprint(want) {
			t.Errorf("vetoed %v, want %v", vetoed, want)
		}
		s.start()
		run := s.until(s.begin(records.StartRequest{Plan: plan.ID, Reason: "tidy"}).ID)
		if run.State != darter.RunSucceeded || run.Deleted != 5 || run.Children != 5 || run.Version != 2 || run.Plan != plan.ID {
			t.Errorf("run %+v", run)
		}
		want := "[a-child a-child-over a-failed a-new1 a-new2 a-parent a-pinned a-running b-last1 b-last2 c-only d-unfinished]"
		if got := fmt.Sprint(s.keys()); got != want {
			t.Errorf("left %s\nwant %s", got, want)
		}
		s.consistent(17)
	})
}
