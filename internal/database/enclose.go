package database

import (
	"context"
	"database/sql"
	"sync/atomic"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/retry"
)

// enclosing is a transaction that goes with a context, and begins with the first write.
//
//	Enclose ─▶ fn: reads, looks about, asks the network … Write ─▶ begin ─▶ first ─▶ savepoint ─▶ …
//	                                                      Write ─────────────────▶ savepoint ─▶ …
//	                                                      Read: sees what was written
//	           fn returns nil ─▶ commit ─▶ notes, Afterwards(true)
//	           or an error    ─▶ undone ─▶ Afterwards(false)
type enclosing struct {
	db    *DB
	ctx   context.Context // of the whole; the transaction ends with it, also when fn panics
	end   context.CancelFunc
	first func(ctx context.Context, tx *Tx) error
	tx    *Tx   // nil before the first write
	err   error // of first
	after []func(committed bool)
	over  atomic.Bool // what keeps the context for longer is on its own
}

type enclosingKey struct{}

func enclosingOf(ctx context.Context, db *DB) *enclosing {
	if e, ok := ctx.Value(enclosingKey{}).(*enclosing); ok && e.db == db && !e.over.Load() {
		return e
	}
	return nil
}

// Enclose makes one transaction of what several rooms write: each Write under the context that fn gets becomes a part
// of it, which its error alone undoes, and each Read sees what was written so far. So a request's answer is kept
// together with its effect, and a request can be tried and undone, without each room taking a Tx.
//
// The transaction begins at the first Write, with first (which may be nil): an error of it is the error of every Write.
// What fn does before it holds nobody up. A part is not tried again by itself: when the database gave the
// transaction up, fn is called again.
func (db *DB) Enclose(ctx context.Context, first func(ctx context.Context, tx *Tx) error, fn func(ctx context.Context) error) error {
	if e := enclosingOf(ctx, db); e != nil { // a part of a larger one
		return e.part(ctx, true, func(ctx context.Context, tx *Tx) error {
			if first != nil {
				if err := first(ctx, tx); err != nil {
					return err
				}
			}
			return fn(ctx)
		})
	}
	var last *enclosing
	begin, attempts := time.Now(), 0
	err := retry.Do(ctx, retry.Policy{Attempts: 10, First: 5 * time.Millisecond, Max: 250 * time.Millisecond}, func(ctx context.Context) error {
		if attempts++; attempts > 1 && db.cfg.Events.Retried != nil {
			db.cfg.Events.Retried(nil)
		}
		last.ended(false)
		last = &enclosing{db: db, first: first}
		err := last.run(ctx, fn)
		if err != nil && !transient(err) {
			return retry.Permanent(err)
		}
		return err
	})
	last.ended(err == nil)
	err = mapped("write to database", err)
	if last != nil && last.tx != nil && db.cfg.Events.Finished != nil {
		db.cfg.Events.Finished(true, Duration{Took: time.Since(begin), Attempts: attempts, Err: err})
	}
	return err
}

func (e *enclosing) run(ctx context.Context, fn func(ctx context.Context) error) error {
	e.ctx, e.end = context.WithCancel(ctx)
	defer func() { e.end() }()
	defer e.over.Store(true)
	err := fn(context.WithValue(ctx, enclosingKey{}, e))
	e.over.Store(true)
	if e.tx == nil {
		return err
	}
	if err == nil {
		err = e.err // fn has overlooked it
	}
	if err == nil {
		err = e.tx.announce(e.ctx)
	}
	if err != nil {
		_ = e.tx.Rollback()
		return err
	}
	if err := e.tx.Commit(); err != nil {
		return err
	}
	e.db.bus.committed(e.db.dialect, e.tx.notes)
	return nil
}

func (e *enclosing) ended(committed bool) {
	if e == nil {
		return
	}
	for _, f := range e.after {
		f(committed)
	}
	e.after = nil
}

// Afterwards calls f when the transaction that encloses ctx has ended, and at once, as committed, when there is none:
// for what a room keeps in memory of its rows.
func (db *DB) Afterwards(ctx context.Context, f func(committed bool)) {
	if e := enclosingOf(ctx, db); e != nil {
		e.after = append(e.after, f)
		return
	}
	f(true)
}

// begin opens the transaction, unless it is open.
func (e *enclosing) begin() error {
	if e.tx != nil || e.err != nil {
		return e.err
	}
	stop := e.end
	ctx, cancel := context.WithTimeout(e.ctx, e.db.cfg.Limit)
	e.end = func() { cancel(); stop() }
	e.ctx = ctx
	inner, err := e.db.writer.BeginTx(ctx, &sql.TxOptions{})
	if err != nil {
		e.err = err
		return err
	}
	e.tx = &Tx{Tx: inner, db: e.db}
	if e.first != nil {
		e.err = e.first(ctx, e.tx)
	}
	return e.err
}

// part runs fn within the transaction: a write back to a savepoint when it fails.
func (e *enclosing) part(ctx context.Context, write bool, fn func(ctx context.Context, tx *Tx) error) error {
	if !write {
		return mapped("read from database", fn(ctx, e.tx))
	}
	const op = "write to database"
	if err := e.begin(); err != nil {
		return mapped(op, err)
	}
	inner, err := e.tx.BeginTx(ctx, nil) // a savepoint
	if err != nil {
		return mapped(op, err)
	}
	tx := &Tx{Tx: inner, db: e.db}
	if err = fn(ctx, tx); err != nil {
		if back := inner.Rollback(); back != nil {
			e.err = &darter.Error{Kind: darter.Internal, Op: "undo a part of a transaction", Err: back}
		}
		return mapped(op, err)
	}
	if err = inner.Commit(); err == nil {
		e.tx.notes = append(e.tx.notes, tx.notes...)
	}
	return mapped(op, err)
}
