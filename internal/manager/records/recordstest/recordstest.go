package recordstest

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/gc/retention"
	"github.com/darter-p2p/darter/internal/manager/records"
)

//go:embed migrations
var files embed.FS

// Migrations returns the tables that Table describes.
func Migrations() database.Migrations {
	sub, _ := fs.Sub(files, "migrations") // the folder is embedded
	return database.Migrations{Room: "works", Files: sub}
}

// Rooms returns all migrations that a reclaimer of works needs.
func Rooms() []database.Migrations {
	return []database.Migrations{records.Migrations(), Migrations()}
}

// Final are the final states of works.
func Final() []string { return []string{"succeeded", "failed", "canceled"} }

// Table describes works as the table of jobs.
func Table() records.Table {
	return records.Table{Kind: retention.Job, Name: "works", Key: "id", Time: "finalized_at", Group: "kind", Owner: "owner", State: "state",
		Final: Final(), Pinned: "pinned_until", Children: []records.Child{{Name: "work_parts", Column: "work_id"}},
		Vetoes: []records.Veto{
			{Reason: "child_open", Keys: "SELECT parent_id FROM works WHERE parent_id <> '' AND state NOT IN ('succeeded', 'failed', 'canceled')"},
			{Reason: "parent_open", Keys: "SELECT c.id FROM works c JOIN works p ON p.id = c.parent_id WHERE c.parent_id <> '' AND p.state NOT IN ('succeeded', 'failed', 'canceled')"},
		}}
}

// Policies are policies in memory: Set changes one.
type Policies struct {
	mu struct {
		sync.Mutex
		by map[string]retention.Policy
	}
}

// Set puts a new version into force.
func (p *Policies) Set(kind string, spec retention.Spec) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.by == nil {
		p.mu.by = make(map[string]retention.Policy)
	}
	version := p.mu.by[kind].Version + 1
	p.mu.by[kind] = retention.Policy{Kind: kind, Version: version, Hash: fmt.Sprint("v", version), Spec: spec}
}

// Policy implements records.Policies.
func (p *Policies) Policy(_ context.Context, _ *database.Tx, kind string) (retention.Policy, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if one, ok := p.mu.by[kind]; ok {
		return one, nil
	}
	return retention.Policy{Kind: kind, Hash: "default", Spec: retention.Default(kind)}, nil
}

// Audit keeps what is recorded.
type Audit struct {
	mu struct {
		sync.Mutex
		events []darter.AuditEvent
	}
}

// Record implements records.Auditor.
func (a *Audit) Record(_ context.Context, _ *database.Tx, e darter.AuditEvent) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.events = append(a.mu.events, e)
	return nil
}

// Actions returns the actions recorded so far.
func (a *Audit) Actions() (out []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.mu.events {
		out = append(out, e.Action)
	}
	return out
}

// Load says how to fill works.
type Load struct {
	Rows     int  // in all; each with one child
	Eligible int  // of them, succeeded 8 to 38 days ago; the others within the last day
	Bytes    int  // of a row's document; default 850, which makes a row of about 1 KB
	Spread   bool // eligible rows lie between the others instead of before them: no page becomes free
}

// Fill makes the rows within the database.
func Fill(ctx context.Context, db *database.DB, l Load) error {
	if l.Bytes == 0 {
		l.Bytes = 850
	}
	const step = 50_000
	for from := 0; from < l.Rows; from += step {
		n := min(step, l.Rows-from)
		err := db.Write(ctx, func(ctx context.Context, tx *database.Tx) error { return fill(ctx, tx, l, from, n) })
		if err != nil {
			return err
		}
	}
	if db.Dialect() == database.Postgres {
		return db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
			_, err := tx.ExecContext(ctx, "ANALYZE works; ANALYZE work_parts")
			return err
		})
	}
	return nil
}

func fill(ctx context.Context, tx *database.Tx, l Load, from, n int) error {
	now := time.Now().UnixMicro()
	numbers, random := "SELECT g FROM generate_series(?::bigint, ?::bigint) AS s(g)", "repeat(md5(g::text), ?)"
	id := "to_char(g, 'FM0000000000')"
	if tx.Dialect() == database.SQLite {
		numbers = "WITH RECURSIVE s(g) AS (SELECT ? UNION ALL SELECT g + 1 FROM s WHERE g < ?) SELECT g FROM s"
		random = "substr(hex(zeroblob(?)), 1) || ''"
		id = "printf('%010d', g)"
	}
	repeats := l.Bytes / 32
	if tx.Dialect() == database.SQLite {
		repeats = l.Bytes / 2
	}
	const day = int64(24 * time.Hour / time.Microsecond)
	old := fmt.Sprintf("(g < %d)", l.Eligible)
	if l.Spread { // a row is old when the share of old ones among those so far has grown past the next whole
		old = fmt.Sprintf("((g + 1) * %d / %d > g * %d / %d)", l.Eligible, max(l.Rows, 1), l.Eligible, max(l.Rows, 1))
	}
	when := fmt.Sprintf("CASE WHEN %s THEN %d + g * %d / %d ELSE %d + g * 10 END", old, now-38*day, 30*day, max(l.Rows, 1), now-day)
	_, err := tx.ExecContext(ctx, "INSERT INTO works (id, kind, state, owner, spec, created_at, finalized_at) SELECT '01J0000000000000' || "+id+
		", 'preheat.files', 'succeeded', 'owner-' || (g % 10), "+random+", "+when+", "+when+" FROM ("+numbers+") AS n", repeats, from, from+n-1)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO work_parts (work_id, number, text) SELECT '01J0000000000000' || "+id+", 1, 'part of ' || g FROM ("+numbers+") AS n", from, from+n-1)
	return err
}

// Count returns how many works and parts there are, and how many parts have no work.
func Count(ctx context.Context, db *database.DB) (works, parts, orphans int64, err error) {
	err = db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM works), (SELECT count(*) FROM work_parts),
			(SELECT count(*) FROM work_parts p WHERE NOT EXISTS (SELECT 1 FROM works w WHERE w.id = p.work_id))`).Scan(&works, &parts, &orphans)
	})
	return works, parts, orphans, err
}

// NaiveDelete is one DELETE for all, within one transaction.
func NaiveDelete(ctx context.Context, db *database.DB, before time.Time) (rows int64, err error) {
	err = db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM work_parts WHERE work_id IN (SELECT id FROM works WHERE state <> 'running' AND created_at < ?)", before.UnixMicro()); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, "DELETE FROM works WHERE state <> 'running' AND created_at < ?", before.UnixMicro())
		if err != nil {
			return err
		}
		rows, err = result.RowsAffected()
		return err
	})
	return rows, err
}

// NaiveBatches is the loop that one finds in the field: batches by a column without an index, parts looked for per batch, no pacing.
func NaiveBatches(ctx context.Context, db *database.DB, before time.Time, size int) (rows int64, err error) {
	for {
		var n int64
		err := db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
			some := "(SELECT id FROM works WHERE created_at < ? LIMIT ?)"
			if _, err := tx.ExecContext(ctx, "DELETE FROM work_parts WHERE work_id IN "+some, before.UnixMicro(), size); err != nil {
				return err
			}
			result, err := tx.ExecContext(ctx, "DELETE FROM works WHERE id IN "+some, before.UnixMicro(), size)
			if err != nil {
				return err
			}
			n, err = result.RowsAffected()
			return err
		})
		if err != nil || n == 0 {
			return rows, err
		}
		rows += n
	}
}
