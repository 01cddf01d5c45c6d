package database

import (
	"context"
	"database/sql"
	"time"

	"github.com/uptrace/bun"

	"github.com/darter-p2p/darter/internal/retry"
)

// Tx is one transaction. It is what functions of several rooms take that must happen together. It is
// valid until the function that it was given to returns.
type Tx struct {
	bun.Tx
	db    *DB
	notes []Note // sent when it has committed
}

// Dialect says which database it is.
func (tx *Tx) Dialect() Dialect { return tx.db.dialect }

// Write calls fn within a transaction that is committed when fn returns nil and undone otherwise. fn is
// called again when the database gave the transaction up in favour of another one: it has no effects
// but those on tx. An error of fn comes back as it is when it is a darter.Error, and mapped otherwise.
//
// Rows that fn read may change before it commits (READ COMMITTED): change them with a condition, or
// lock them with tx.ForUpdate.
func (db *DB) Write(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	return db.transact(ctx, true, fn)
}

// Read calls fn within a transaction that sees one instant and cannot write: the database refuses.
func (db *DB) Read(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	return db.transact(ctx, false, fn)
}

func (db *DB) transact(ctx context.Context, write bool, fn func(ctx context.Context, tx *Tx) error) error {
	if e := enclosingOf(ctx, db); e != nil && (write || e.tx != nil) {
		return e.part(ctx, write, fn)
	}
	ctx, cancel := context.WithTimeout(ctx, db.cfg.Limit)
	defer cancel()
	begin, attempts := time.Now(), 0
	var notes []Note
	err := retry.Do(ctx, retry.Policy{Attempts: 10, First: 5 * time.Millisecond, Max: 250 * time.Millisecond}, func(ctx context.Context) error {
		if attempts++; attempts > 1 && db.cfg.Events.Retried != nil {
			db.cfg.Events.Retried(nil)
		}
		var err error
		notes, err = db.attempt(ctx, write, fn)
		if err != nil && !transient(err) {
			return retry.Permanent(err)
		}
		return err
	})
	if err == nil {
		db.bus.committed(db.dialect, notes)
	}
	op := "read from database"
	if write {
		op = "write to database"
	}
	err = mapped(op, err)
	if db.cfg.Events.Finished != nil {
		db.cfg.Events.Finished(write, Duration{Took: time.Since(begin), Attempts: attempts, Err: err})
	}
	return err
}

func (db *DB) attempt(ctx context.Context, write bool, fn func(ctx context.Context, tx *Tx) error) (notes []Note, err error) {
	pool, options := db.writer, &sql.TxOptions{}
	if !write {
		pool, options = db.reader, &sql.TxOptions{ReadOnly: true}
		if db.dialect == Postgres {
			options.Isolation = sql.LevelRepeatableRead
		}
	}
	inner, err := pool.BeginTx(ctx, options)
	if err != nil {
		return nil, err
	}
	// No deferred rollback: after a panic within the driver it would wait for the driver's own lock. The
	// end of ctx, which transact brings about, rolls back as well.
	tx := &Tx{Tx: inner, db: db}
	if err = fn(ctx, tx); err == nil {
		err = tx.announce(ctx)
	}
	if err != nil {
		_ = inner.Rollback()
		return nil, err
	}
	return tx.notes, inner.Commit()
}

// Now returns the time by the database's clock, which all managers share.
func (tx *Tx) Now(ctx context.Context) (time.Time, error) {
	if tx.db.dialect == SQLite {
		return time.Now(), nil // one process, one clock
	}
	var now Micros
	err := tx.QueryRowContext(ctx, "SELECT ?", tx.NowExpr()).Scan(&now)
	return now.Time(), err
}

// NowExpr is the database's clock as an expression of microseconds, for use as an argument.
func (tx *Tx) NowExpr() bun.Safe {
	if tx.db.dialect == SQLite {
		return bun.Safe(micros(time.Now()))
	}
	return "(SELECT (extract(epoch from clock_timestamp()) * 1000000)::bigint)" // a subselect is looked up once, not per row
}

// ForUpdate is the clause that locks the rows of a SELECT until the transaction ends. SQLite has one
// writer at a time and needs none.
func (tx *Tx) ForUpdate() bun.Safe {
	if tx.db.dialect == SQLite {
		return ""
	}
	return "FOR UPDATE"
}

// SkipLocked is ForUpdate that leaves out what others have locked.
func (tx *Tx) SkipLocked() bun.Safe {
	if tx.db.dialect == SQLite {
		return ""
	}
	return "FOR UPDATE SKIP LOCKED"
}
