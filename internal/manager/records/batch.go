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
	"github.com/darter-p2p/darter/internal/gc/retention"
)

// place is how far a run has come: everything before it is done.
type place struct {
	Slice int             `json:"slice"`
	After retention.Point `json:"after"`
}

// row is what is to go.
type row struct {
	at    retention.Point
	owner string
}

// page reads the next rows of a slice, in order. With lock they stay as they are until the transaction
// ends, and rows that somebody else has locked are passed over. The owner is read when it is asked for.
func (t *Table) page(ctx context.Context, tx *database.Tx, s retention.Slice, after retention.Point, n int, owner, lock bool) ([]row, error) {
	where, args := t.inside(s, after)
	allowed, more := t.allowed(tx)
	columns, names := "?, ?", []any{bun.Ident(t.Time), bun.Ident(t.Key)}
	if owner {
		columns, names = "?, ?, ?", append(names, column(t.Owner))
	}
	args = append(append(append(names, bun.Ident(t.Name)), args...), more...)
	args = append(args, bun.Ident(t.Time), bun.Ident(t.Key), n)
	end := bun.Safe("")
	if lock {
		end = tx.SkipLocked()
	}
	rows, err := tx.QueryContext(ctx, "SELECT "+columns+" FROM ? AS t WHERE "+where+allowed+" ORDER BY ?, ? LIMIT ? "+string(end), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := make([]row, 0, n)
	for rows.Next() {
		var r row
		targets := []any{&r.at.At, &r.at.Key, &r.owner}
		if !owner {
			targets = targets[:2]
		}
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

// scan hands each row of group, state, time, key, owner to fn.
func scan(rows *sql.Rows, fn func(group, state string, at retention.Point, owner string)) error {
	defer rows.Close()
	for rows.Next() {
		var group, state, owner string
		var at retention.Point
		if err := rows.Scan(&group, &state, &at.At, &at.Key, &owner); err != nil {
			return err
		}
		fn(group, state, at, owner)
	}
	return rows.Err()
}

// batch is what one transaction did.
type batch struct {
	keys     []string
	scanned  int64
	children int64
	next     place
	done     bool // there is nothing after it
}

// errStopped tells that the run's row no longer says running under our token: nothing was removed.
var errStopped = errors.New("the run was stopped")

// removeBatch is one transaction: what it removes and what the record says of it are committed together,
// and only while the lease is ours and the run is neither cancelled nor paused.
func (r *Reclaimer) removeBatch(ctx context.Context, x *execution, size int) (b batch, err error) {
	begin := time.Now()
	err = r.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		if err := tx.Hold(ctx, x.lease); err != nil {
			return err
		}
		if err := steady(ctx, tx); err != nil {
			return err
		}
		if b, err = x.gather(ctx, tx, size); err != nil {
			return err
		}
		if err := x.table.remove(ctx, tx, &b); err != nil {
			return err
		}
		return x.record(ctx, tx, &b, time.Since(begin))
	})
	return b, err
}

// steady makes PostgreSQL walk the indexes for this transaction. Its guesses about long lists of keys and
// about vetoes would sooner or later have it read and sort all that is left, once per batch. What is
// forbidden counts as so costly that it would compile each statement first, for most of a second.
func steady(ctx context.Context, tx *database.Tx) error {
	if tx.Dialect() == database.SQLite {
		return nil
	}
	_, err := tx.ExecContext(ctx, `SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
		set_config('enable_sort', 'off', true), set_config('jit', 'off', true), set_config('max_parallel_workers_per_gather', '0', true)`)
	return err
}

// gather selects up to size rows from the run's place on, over as many slices as that takes.
func (x *execution) gather(ctx context.Context, tx *database.Tx, size int) (batch, error) {
	b := batch{next: x.at}
	size = int(min(int64(size), x.budget))
	for b.next.Slice < len(x.frozen.Slices) && len(b.keys) < size {
		s := x.frozen.Slices[b.next.Slice]
		want := size - len(b.keys)
		rows, err := x.table.page(ctx, tx, s, b.next.After, want, x.frozen.Keep, true)
		if err != nil {
			return b, err
		}
		b.scanned += int64(len(rows))
		for _, row := range rows {
			if !x.frozen.stays(s.Group, row.owner, row.at) {
				b.keys = append(b.keys, row.at.Key)
			}
		}
		if len(rows) < want {
			b.next = place{Slice: b.next.Slice + 1}
			continue
		}
		b.next.After = rows[len(rows)-1].at
		if b.scanned >= int64(4*size) {
			break // what stays makes a long way: do not hold the locks for all of it
		}
	}
	b.done = b.next.Slice >= len(x.frozen.Slices)
	return b, nil
}

// remove deletes children, then rows. The number of rows that went must be the number selected.
func (t *Table) remove(ctx context.Context, tx *database.Tx, b *batch) error {
	if len(b.keys) == 0 {
		return nil
	}
	for _, c := range t.Children {
		n, err := deleteKeys(ctx, tx, c.Name, c.Column, b.keys)
		if err != nil {
			return err
		}
		b.children += n
	}
	n, err := deleteKeys(ctx, tx, t.Name, t.Key, b.keys)
	if err == nil && n != int64(len(b.keys)) {
		err = &darter.Error{Kind: darter.Corrupt, Op: "remove from " + t.Name, Hint: "check that its key column is unique",
			Err: fmt.Errorf("%d rows went for %d keys", n, len(b.keys))}
	}
	return err
}

// deleteKeys sends the keys as one bound value: neither the statement's length nor its number of
// placeholders grows with them. The names are a Table's, which validate has looked at.
func deleteKeys(ctx context.Context, tx *database.Tx, table, column string, keys []string) (int64, error) {
	var result sql.Result
	var err error
	if tx.Dialect() == database.Postgres {
		result, err = tx.Tx.Tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE "+column+" = ANY($1)", keys)
	} else {
		text, _ := json.Marshal(keys) // strings: never fails
		result, err = tx.Tx.Tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE "+column+" IN (SELECT value FROM json_each(?))", string(text))
	}
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// record moves the run's counters and cursor, and adds the batch.
func (x *execution) record(ctx context.Context, tx *database.Tx, b *batch, took time.Duration) error {
	cursor, _ := json.Marshal(b.next) // plain values: never fails
	deleted := int64(len(b.keys))
	some := int64(0)
	if deleted > 0 {
		some = 1
	}
	result, err := tx.ExecContext(ctx, `UPDATE gc_runs SET cursor = ?, scanned = scanned + ?, deleted = deleted + ?, children = children + ?, batches = batches + ?,
		busy = busy + ?, waits = waits + ?, budget = budget - ?, heartbeat_at = ? WHERE id = ? AND token = ? AND state = 'running'`,
		string(cursor), b.scanned, deleted, b.children, some, took.Microseconds(), x.waits, deleted, tx.NowExpr(), x.run.ID, x.lease.Token)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errors.Join(errStopped, err)
	}
	if x.tell() {
		if err := tx.Notify(topic, x.run.ID); err != nil {
			return err
		}
	}
	if some == 0 {
		return nil
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO gc_run_batches (id, run_id, sequence, first_key, last_key, deleted, children, took, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		tx.NewID(), x.run.ID, x.run.Batches+1, b.keys[0], b.keys[len(b.keys)-1], deleted, b.children, took.Microseconds(), tx.NowExpr())
	return err
}
