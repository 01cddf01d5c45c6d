package records_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
	"github.com/darter-p2p/darter/internal/gc"
	"github.com/darter-p2p/darter/internal/gc/retention"
	"github.com/darter-p2p/darter/internal/manager/records"
	"github.com/darter-p2p/darter/internal/manager/records/recordstest"
)

// fingerprint is of every row of the tables that a plan looks at.
func fingerprint(t *testing.T, db *database.DB) string {
	t.Helper()
	h := sha256.New()
	for _, table := range []string{"works", "work_parts", "gc_runs", "gc_run_batches", "leases"} {
		err := db.Read(t.Context(), func(ctx context.Context, tx *database.Tx) error {
			rows, err := tx.QueryContext(ctx, "SELECT * FROM "+table+" ORDER BY 1, 2")
			if err != nil {
				return err
			}
			defer rows.Close()
			columns, err := rows.Columns()
			if err != nil {
				return err
			}
			for rows.Next() {
				values := make([]any, len(columns))
				for i := range values {
					values[i] = new(any)
				}
				if err := rows.Scan(values...); err != nil {
					return err
				}
				for _, v := range values {
					fmt.Fprintf(h, "%v|", *v.(*any))
				}
			}
			return rows.Err()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func TestPlansAndPreviewsChangeNothing(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB) {
		s := newSite(t, db)
		s.fill(recordstest.Load{Rows: 300, Eligible: 100, Bytes: 64})
		before := fingerprint(t, db)
		plan, err := s.Plan(t.Context(), records.PlanRequest{Kind: retention.Job, Owners: true})
		if err != nil {
			t.Fatal(err)
		}
		spec := quick()
		spec.Rules = []retention.Rule{{After: retention.Duration(time.Hour)}}
		impact, err := s.Preview(t.Context(), retention.Job, spec)
		if err != nil {
			t.Fatal(err)
		}
		if plan.Eligible != 100 || impact.Now.Eligible != 100 || impact.Then.Eligible != 300 || impact.Newly != 200 {
			t.Errorf("plan %d, impact %d to %d, newly %d", plan.Eligible, impact.Now.Eligible, impact.Then.Eligible, impact.Newly)
		}
		if after := fingerprint(t, db); after != before {
			t.Error("a plan or preview changed rows")
		}
		again, err := s.GetPlan(t.Context(), plan.ID)
		if err != nil || again.Digest != plan.Digest {
			t.Errorf("the plan came back as %+v, %v", again, err)
		}
	})
}

func TestStartRefuses(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB) {
		s := newSite(t, db)
		s.fill(recordstest.Load{Rows: 30, Eligible: 10, Bytes: 64})
		plan := func() darter.Plan {
			p, err := s.Plan(t.Context(), records.PlanRequest{Kind: retention.Job})
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		start := func(q records.StartRequest) error {
			q.Actor, q.Trigger = darter.System("test"), darter.ByAPI
			_, err := s.Start(t.Context(), q)
			return err
		}
		old, expired := plan(), plan()
		s.exec("UPDATE gc_plans SET body = replace(body, ?, '2020-01-01T00:00:00Z') WHERE id = ?", expired.Expires.Format(time.RFC3339Nano), expired.ID)
		s.policies.Set(retention.Job, quick())
		for name, c := range map[string]struct {
			q    records.StartRequest
			want error
			kind darter.Kind
		}{
			"a plan older than its policy":  {records.StartRequest{Kind: retention.Job, Plan: old.ID}, records.ErrPlanStale, darter.Conflict},
			"a plan that ran out":           {records.StartRequest{Kind: retention.Job, Plan: expired.ID}, records.ErrPlanStale, darter.Conflict},
			"no such plan":                  {records.StartRequest{Kind: retention.Job, Plan: "x'; DROP TABLE gc_runs; --"}, nil, darter.NotFound},
			"a plan for something else":     {records.StartRequest{Kind: retention.RunDetail, Plan: plan().ID}, nil, darter.Invalid},
			"no such kind":                  {records.StartRequest{Kind: "users"}, nil, darter.NotFound},
			"a confirmation without a plan": {records.StartRequest{Kind: retention.Job, Confirm: true}, nil, darter.Invalid},
		} {
			if err := start(c.q); err == nil || darter.KindOf(err) != c.kind || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		fresh := plan()
		if err := start(records.StartRequest{Kind: retention.Job, Plan: fresh.ID}); err != nil {
			t.Error(err)
		}
		if err := start(records.StartRequest{Kind: retention.Job, Plan: fresh.ID}); !errors.Is(err, records.ErrPlanStale) {
			t.Errorf("the same plan twice: %v", err)
		}
		dry := quick()
		dry.DryRunOnly = true
		s.policies.Set(retention.Job, dry)
		if err := start(records.StartRequest{Kind: retention.Job}); darter.KindOf(err) != darter.Denied {
			t.Errorf("dry run only: %v", err)
		}
		if len(s.keys()) != 30 {
			t.Error("rows are gone")
		}
	})
}

func TestBlastRadiusWaitsForAPerson(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB) {
		s := newSite(t, db)
		spec := quick()
		spec.Blast = gc.Blast{Factor: 10, Share: 0.25, Floor: 10}
		s.policies.Set(retention.Job, spec)
		s.fill(recordstest.Load{Rows: 100, Eligible: 50, Bytes: 64})
		s.start()
		held := s.until(s.begin(records.StartRequest{Trigger: darter.ByAPI}).ID)
		if held.State != darter.RunHeld || held.Deleted != 0 || held.Message == "" || len(s.keys()) != 100 {
			t.Fatalf("run %+v", held)
		}
		if _, err := s.Start(t.Context(), records.StartRequest{Kind: retention.Job, Plan: held.Plan, Actor: darter.System("test")}); !errors.Is(err, records.ErrUnconfirmed) {
			t.Errorf("the plan without a confirmation: %v", err)
		}
		run, err := s.Confirm(t.Context(), records.Order{Run: held.ID, Actor: darter.Actor{Kind: "user", ID: "admin"}}, held.Plan)
		if err != nil {
			t.Fatal(err)
		}
		if run = s.until(run.ID); run.State != darter.RunSucceeded || run.Deleted != 50 {
			t.Errorf("confirmed run %+v", run)
		}
		s.consistent(100)
		if _, err := s.Confirm(t.Context(), records.Order{Run: run.ID}, held.Plan); darter.KindOf(err) != darter.Conflict {
			t.Errorf("a run that is over was confirmed: %v", err)
		}
	})
}

func TestCancelPauseResume(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB) {
		permits := make(chan struct{}, 1000) // one lets one batch return
		s := newSite(t, db, func(c *records.Config) {
			c.Events.Batch = func(darter.Run, darter.RunBatch, int, time.Duration) { <-permits }
		})
		defer close(permits)
		spec := quick()
		spec.Batch.Max, spec.Batch.Start, spec.Batch.Min = 5, 5, 5
		s.policies.Set(retention.Job, spec)
		s.fill(recordstest.Load{Rows: 100, Eligible: 60, Bytes: 64})
		s.start()
		o := records.Order{Actor: darter.Actor{Kind: "user", ID: "u"}, Run: s.begin(records.StartRequest{}).ID}
		fewer := func(than int) { wait(t, func() bool { return len(s.keys()) < than }) }
		fewer(100)
		paused, err := s.Pause(t.Context(), o)
		if err != nil || paused.State != darter.RunPaused {
			t.Fatalf("%+v, %v", paused, err)
		}
		permits <- struct{}{}
		at := len(s.keys())
		s.consistent(100)
		if _, err := s.Resume(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		fewer(at)
		if _, err := s.Cancel(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		permits <- struct{}{}
		run := s.until(o.Run)
		if run.State != darter.RunCancelled || run.Deleted >= 60 || run.Deleted == 0 {
			t.Errorf("cancelled run %+v", run)
		}
		s.consistent(100)
		if _, err := s.Cancel(t.Context(), o); darter.KindOf(err) != darter.Conflict {
			t.Errorf("cancelled twice: %v", err)
		}
		if want := "[gc.run.start gc.run.pause gc.run.resume gc.run.cancel]"; fmt.Sprint(s.audit.Actions()) != want {
			t.Errorf("audit %v, want %s", s.audit.Actions(), want)
		}
	})
}

func TestScheduleRunsByItselfAndDryRunsOnlyPlan(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB) {
		ended := make(chan darter.Run, 100)
		planned := make(chan darter.Plan, 100)
		s := newSite(t, db, func(c *records.Config) {
			c.Events.Ended = func(r darter.Run) { ended <- r }
			c.Events.Planned = func(p darter.Plan) { planned <- p }
		})
		spec := quick()
		spec.Enabled, spec.DryRunOnly, spec.Schedule.Jitter = true, true, 0
		s.policies.Set(retention.Job, spec)
		s.fill(recordstest.Load{Rows: 50, Eligible: 20, Bytes: 64})
		s.start()
		wait(t, func() bool {
			return s.has(planned, func(p darter.Plan) bool { return p.Policy == retention.Job && p.Eligible == 20 })
		})
		if len(s.keys()) != 50 {
			t.Fatal("a dry run removed rows")
		}
		spec.DryRunOnly = false
		s.policies.Set(retention.Job, spec)
		s.exec("DELETE FROM gc_plans") // as if two hours had passed
		wait(t, func() bool {
			select {
			case r := <-ended:
				return r.Policy == retention.Job && r.State == darter.RunSucceeded && r.Deleted == 20 && r.Trigger == darter.BySchedule && r.Version == 3
			default:
				return false
			}
		})
		s.consistent(50)
	})
}

func (s *site) has(c chan darter.Plan, want func(darter.Plan) bool) bool {
	select {
	case p := <-c:
		return want(p)
	default:
		return false
	}
}

func TestRowThatCannotGoIsPassedOver(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB) {
		s := newSite(t, db)
		s.fill(recordstest.Load{Rows: 60, Eligible: 40, Bytes: 64})
		key := s.keys()[0]
		for _, k := range s.keys() {
			if p, err := s.Plan(t.Context(), records.PlanRequest{Kind: retention.Job}); err == nil && p.Samples[3].Key == k {
				key = k
			}
		}
		s.exec("CREATE TABLE grips (work_id TEXT NOT NULL REFERENCES works (id))")
		s.exec("INSERT INTO grips (work_id) VALUES (?)", key)
		s.start()
		run := s.until(s.begin(records.StartRequest{}).ID)
		if run.State != darter.RunPartial || run.Code != "rows_refused" || run.Deleted != 39 || fmt.Sprint(run.Vetoed) != "[{refused 1}]" {
			t.Errorf("run %+v", run)
		}
		s.consistent(60)
	})
}

func TestCeilingAndOwners(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB) {
		s := newSite(t, db)
		spec := quick()
		spec.Ceiling = 1000
		s.policies.Set(retention.Job, spec)
		s.fill(recordstest.Load{Rows: 1200, Eligible: 50, Bytes: 32})
		plan, err := s.Plan(t.Context(), records.PlanRequest{Kind: retention.Job})
		if err != nil {
			t.Fatal(err)
		}
		if plan.Eligible != 200 || plan.Slices[0].Reason != darter.OverQuota {
			t.Errorf("above the ceiling: %d eligible, %+v; want 200", plan.Eligible, plan.Slices)
		}
		spec.Ceiling, spec.KeepLast = 0, retention.KeepLast{Count: 117, Per: "owner"} // of 120 rows of each owner, 5 are old
		s.policies.Set(retention.Job, spec)
		if plan, err = s.Plan(t.Context(), records.PlanRequest{Kind: retention.Job}); err != nil {
			t.Fatal(err)
		}
		owners := int64(0)
		for _, v := range plan.Vetoed {
			owners += v.Count
		}
		if plan.Eligible+owners != 50 || plan.Eligible == 0 || owners == 0 {
			t.Errorf("per owner: %d eligible, vetoed %v", plan.Eligible, plan.Vetoed)
		}
		s.start()
		if run := s.until(s.begin(records.StartRequest{}).ID); run.State != darter.RunSucceeded || run.Deleted != plan.Eligible {
			t.Errorf("run %+v, planned %d", run, plan.Eligible)
		}
		s.consistent(1200)
	})
}

// TestAgainstASlowerJudge compares runs with a second, dumb implementation over random rows and policies.
func TestAgainstASlowerJudge(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB) {
		s := newSite(t, db)
		s.start()
		rapid.Check(t, func(rt *rapid.T) { s.judge(rt) })
	})
}

type judged struct {
	id, kind, state, owner, parent string
	age                            time.Duration
	pinned                         bool
}

func (s *site) judge(rt *rapid.T) {
	for _, table := range []string{"works", "work_parts", "gc_runs", "gc_run_batches", "gc_plans"} {
		s.exec("DELETE FROM " + table)
	}
	spec := quick()
	spec.KeepLast = retention.KeepLast{Count: rapid.IntRange(0, 4).Draw(rt, "keep"), Per: rapid.SampledFrom([]string{"group", "owner"}).Draw(rt, "per")}
	spec.Rules = []retention.Rule{{After: retention.Duration(rapid.SampledFrom([]time.Duration{2 * day, 10 * day}).Draw(rt, "after"))},
		{State: "failed", After: retention.Duration(20 * day)}, {Group: "b", After: retention.Duration(5 * day)}}
	spec.Batch.Start = rapid.IntRange(5, 9).Draw(rt, "batch")
	s.policies.Set(retention.Job, spec)
	var all []judged
	now := time.Now()
	var sql strings.Builder
	for i := range rapid.IntRange(0, 40).Draw(rt, "rows") {
		j := judged{id: fmt.Sprintf("w%03d", i), kind: rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "kind"), owner: rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "owner"),
			state: rapid.SampledFrom([]string{"succeeded", "succeeded", "failed", "running"}).Draw(rt, "state"),
			age:   time.Duration(rapid.IntRange(1, 30).Draw(rt, "days"))*day - time.Minute, pinned: rapid.IntRange(0, 9).Draw(rt, "pin") == 0}
		if i > 0 && rapid.IntRange(0, 3).Draw(rt, "child") == 0 {
			j.parent = fmt.Sprintf("w%03d", rapid.IntRange(0, i-1).Draw(rt, "parent"))
		}
		at, pin := now.Add(-j.age).UnixMicro(), int64(0)
		if j.state == "running" {
			at = 0
		}
		if j.pinned {
			pin = now.Add(time.Hour).UnixMicro()
		}
		all = append(all, j)
		if sql.Len() > 0 {
			sql.WriteString(", ")
		}
		fmt.Fprintf(&sql, "('%s', '%s', '%s', '%s', '%s', '{}', 1, %d, %d)", j.id, j.kind, j.state, j.owner, j.parent, at, pin)
	}
	if sql.Len() > 0 {
		s.exec("INSERT INTO works (id, kind, state, owner, parent_id, spec, created_at, finalized_at, pinned_until) VALUES " + sql.String())
		s.exec("INSERT INTO work_parts (work_id, number, text) SELECT id, 1, '' FROM works")
	}
	plan, err := s.Plan(s.t.Context(), records.PlanRequest{Kind: retention.Job})
	if err != nil {
		rt.Fatal(err)
	}
	run := s.until(s.begin(records.StartRequest{Plan: plan.ID}).ID)
	want := stay(all, spec)
	if got := fmt.Sprint(s.keys()); got != fmt.Sprint(want) {
		rt.Fatalf("left %s\nwant %s\nrun %+v", got, want, run)
	}
	if gone := int64(len(all) - len(want)); run.Deleted != gone || plan.Eligible != gone {
		rt.Fatalf("%d rows are gone, the run says %d, the plan said %d", gone, run.Deleted, plan.Eligible)
	}
	s.consistent(int64(len(all)))
}

// stay is the dumb implementation: row by row, with whole scans for each question.
func stay(all []judged, spec retention.Spec) []string {
	out := []string{}
	running := func(id string) bool {
		for _, j := range all {
			if j.id == id {
				return j.state == "running"
			}
		}
		return false
	}
	for _, j := range all {
		newer := 0
		for _, k := range all {
			same := k.kind == j.kind && (spec.KeepLast.Per == "group" || k.owner == j.owner)
			if same && k.state != "running" && (k.age < j.age || k.age == j.age && k.id > j.id) {
				newer++
			}
		}
		after := time.Duration(spec.Rules[0].After)
		if j.kind == "b" {
			after = 5 * day
		} else if j.state == "failed" {
			after = 20 * day
		}
		referenced := running(j.parent)
		for _, k := range all {
			referenced = referenced || k.parent == j.id && k.state == "running"
		}
		if j.state == "running" || j.pinned || referenced || newer < spec.KeepLast.Count || j.age < after {
			out = append(out, j.id)
		}
	}
	return out
}

// TestReplicasTakeTurns runs three managers on one PostgreSQL and kills the acting one again and again:
// one of them acts at a time, and in the end the ledger's sum is what is gone.
func TestReplicasTakeTurns(t *testing.T) {
	url := databasetest.Postgres(t)
	const rows, eligible = 3000, 2000
	var sites [3]*site
	var breakers [3]*databasetest.Breaker
	var stops [3]func()
	acting := &atOnce{}
	begin := func(i int) {
		db, b := breakable(t, url)
		breakers[i] = b
		sites[i] = newSite(t, db, short, func(c *records.Config) {
			c.Holder = fmt.Sprintf("replica-%d-%d", i, rand.Uint64())
			c.Events.Batch = acting.batch
		})
		spec := quick()
		spec.Batch.Start, spec.Batch.Max = 20, 20
		sites[i].policies.Set(retention.Job, spec)
		stops[i] = sites[i].start()
	}
	s := newSite(t, databasetest.Open(t, url, recordstest.Rooms()...))
	s.fill(recordstest.Load{Rows: rows, Eligible: eligible, Bytes: 32})
	run := s.begin(records.StartRequest{})
	for i := range sites {
		begin(i)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		i := random.IntN(3)
		breakers[i].ArmAt(1+random.IntN(12), databasetest.Mode(1+random.IntN(2)), mine)
		wait(t, func() bool { return breakers[i].Dead() || acting.idle(i) || s.over(run.ID) })
		stops[i]()
		begin(i)
		if s.over(run.ID) {
			break
		}
	}
	wait(t, func() bool { return s.over(run.ID) })
	s.consistent(rows)
	if left := len(s.keys()); left != rows-eligible {
		t.Errorf("%d rows are left, want %d", left, rows-eligible)
	}
	if len(acting.holders) < 3 {
		t.Errorf("only %d holders ever acted: nobody was killed while acting", len(acting.holders))
	}
	t.Logf("%d batches by %d holders", acting.count, len(acting.holders))
}

// over reports whether no run of works is open, and one has succeeded.
func (s *site) over(string) bool {
	all, err := s.Runs(context.Background(), records.RunFilter{Kind: retention.Job, Limit: 500})
	if err != nil {
		return false
	}
	done := false
	for _, r := range all {
		if !r.State.Final() {
			return false
		}
		done = done || r.State == darter.RunSucceeded
	}
	return done
}

// atOnce counts batches and who made them.
type atOnce struct {
	sync.Mutex
	count   int
	holders map[string]bool
	last    string
}

// idle reports whether somebody else has acted since a replica was last seen to.
func (a *atOnce) idle(i int) bool {
	a.Lock()
	defer a.Unlock()
	return a.last != "" && !strings.HasPrefix(a.last, fmt.Sprintf("replica-%d-", i))
}

func (a *atOnce) batch(r darter.Run, _ darter.RunBatch, _ int, _ time.Duration) {
	a.Lock()
	defer a.Unlock()
	if a.holders == nil {
		a.holders = make(map[string]bool)
	}
	a.count++
	a.last = r.Executor
	a.holders[r.Executor] = true
}
