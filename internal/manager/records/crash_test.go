package records_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
	"github.com/darter-p2p/darter/internal/gc/retention"
	"github.com/darter-p2p/darter/internal/manager/records"
	"github.com/darter-p2p/darter/internal/manager/records/recordstest"
)

// breakable opens a database behind a breaker, with a short life of its leases.
func breakable(t *testing.T, url string) (*database.DB, *databasetest.Breaker) {
	b := &databasetest.Breaker{}
	cfg := database.DefaultConfig()
	cfg.URL, cfg.Migrations, cfg.Connector, cfg.Poll = url, recordstest.Rooms(), b.Connector, 50*time.Millisecond
	return databasetest.OpenWith(t, cfg), b
}

func short(c *records.Config) { c.Lease = 300 * time.Millisecond }

// TestKilledAtEachStatement kills the manager before and after each statement of a whole run, once each.
// Whenever it is killed, what the ledger says has gone has gone, and a successor ends the run from its
// cursor: nothing is removed twice, nothing is left, no part stays without its row.
func TestKilledAtEachStatement(t *testing.T) {
	const rows, eligible = 40, 20
	databasetest.EachURL(t, func(t *testing.T, url string) {
		db, b := breakable(t, url)
		s := newSite(t, db, short)
		once := func(n int, mode databasetest.Mode) []string {
			s.exec("DELETE FROM works")
			s.exec("DELETE FROM work_parts")
			s.exec("DELETE FROM gc_runs")
			s.exec("DELETE FROM gc_run_batches")
			s.exec("UPDATE leases SET expires_at = 0")
			s.fill(recordstest.Load{Rows: rows, Eligible: eligible, Bytes: 64})
			run := s.begin(records.StartRequest{})
			b.ArmAt(n, mode, mine)
			stop := s.start()
			if n > 0 {
				wait(t, func() bool { return b.Dead() || s.final(run.ID) })
				stop() // the process is gone: nothing of it acts any more
			} else {
				s.until(run.ID)
				stop()
			}
			log := b.Mend()
			if n > 0 && len(log) < n {
				return log
			}
			s.consistent(rows)
			s.exec("UPDATE leases SET expires_at = 0") // time passes
			stop = s.start()
			last := s.follow(run.ID)
			stop()
			if last.State != darter.RunSucceeded {
				t.Fatalf("killed at %d, the last run is %+v\n%s", n, last, strings.Join(log, "\n"))
			}
			s.consistent(rows)
			if left := len(s.keys()); left != rows-eligible {
				t.Fatalf("killed at %d: %d rows are left, want %d", n, left, rows-eligible)
			}
			return log
		}
		for _, mode := range []databasetest.Mode{databasetest.Before, databasetest.After} {
			n := 1
			for ; ; n++ {
				if log := once(n, mode); len(log) < n {
					break // the run has fewer statements
				}
			}
			if n < 20 {
				t.Errorf("only %d statements were killed at: does the breaker see them?", n)
			}
			t.Logf("mode %d: killed at %d statements", mode, n-1)
		}
	})
}

// mine are the statements of runs of works; the other kinds and the leases go on beside them.
func mine(statement string) bool {
	if statement == "BEGIN" || statement == "COMMIT" {
		return false
	}
	for _, other := range []string{"'audit'", "'run'", "'run_detail'", "'plan'", "gc/run", "gc/plan", "gc_plans_", "UPDATE leases", "INSERT INTO leases"} {
		if strings.Contains(statement, other) {
			return false
		}
	}
	for _, ours := range []string{"works", "work_parts", "UPDATE gc_runs", `"gc_runs"`, "INSERT INTO gc_run_batches", "INSERT INTO gc_plans", "FROM leases"} {
		if strings.Contains(statement, ours) {
			return true
		}
	}
	return false
}

// TestKilledAtCommit kills around the commit of each batch: the answer is lost, the outcome is not.
func TestKilledAtCommit(t *testing.T) {
	databasetest.EachURL(t, func(t *testing.T, url string) {
		for _, mode := range []databasetest.Mode{databasetest.Before, databasetest.After} {
			t.Run(fmt.Sprint(mode), func(t *testing.T) {
				var at string // a fresh one for each mode
				if strings.HasPrefix(url, "sqlite") {
					at = databasetest.File(t)
				} else {
					at = databasetest.Postgres(t)
				}
				db, b := breakable(t, at)
				s := newSite(t, db, short)
				s.fill(recordstest.Load{Rows: 60, Eligible: 30, Bytes: 64})
				run := s.begin(records.StartRequest{})
				armed := false
				b.ArmAt(1, mode, func(statement string) bool { // the commit after the second batch's row
					if strings.Contains(statement, "INSERT INTO gc_run_batches") && strings.Contains(statement, ", 2, ") {
						armed = true
					}
					return armed && statement == "COMMIT"
				})
				stop := s.start()
				wait(t, b.Dead)
				stop()
				b.Mend()
				s.consistent(60)
				s.exec("UPDATE leases SET expires_at = 0")
				s.start()
				if last := s.follow(run.ID); last.State != darter.RunSucceeded || len(s.keys()) != 30 {
					t.Errorf("ended with %+v, %d rows left", last, len(s.keys()))
				}
				s.consistent(60)
			})
		}
	})
}

// wait polls a condition with a limit.
func wait(t *testing.T, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatal("it did not happen within 30s")
		case <-tick.C:
		}
	}
}

func (s *site) final(id string) bool {
	run, err := s.GetRun(context.Background(), id)
	return err == nil && run.State.Final()
}

// follow returns the last of a chain of resumed runs, once it is final.
func (s *site) follow(id string) darter.Run {
	s.t.Helper()
	for {
		run := s.until(id)
		if run.State != darter.RunLost {
			return run
		}
		all, err := s.Runs(s.t.Context(), records.RunFilter{Kind: retention.Job})
		if err != nil {
			s.t.Fatal(err)
		}
		next := ""
		for _, r := range all {
			if r.Resumes == id {
				next = r.ID
			}
		}
		if next == "" {
			s.t.Fatalf("nobody goes on from %s", id)
		}
		id = next
	}
}

// TestFormerLeaderCommitsNothing pauses a leader in the middle of a batch until another has taken over.
func TestFormerLeaderCommitsNothing(t *testing.T) {
	each(t, func(t *testing.T, db *database.DB) {
		ctx := t.Context()
		old, err := db.Acquire(ctx, "gc/job", "old", time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		var next database.Lease
		wait(t, func() bool {
			next, err = db.Acquire(ctx, "gc/job", "new", time.Minute)
			return err == nil
		})
		if next.Token <= old.Token {
			t.Fatalf("token %d after %d", next.Token, old.Token)
		}
		err = db.Write(ctx, func(ctx context.Context, tx *database.Tx) error { return tx.Hold(ctx, old) })
		if !errors.Is(err, database.ErrFenced) || darter.KindOf(err) != darter.Conflict {
			t.Errorf("the former leader holds: %v", err)
		}
		if err := db.Write(ctx, func(ctx context.Context, tx *database.Tx) error { return tx.Hold(ctx, next) }); err != nil {
			t.Errorf("the new leader does not hold: %v", err)
		}
	})
}
