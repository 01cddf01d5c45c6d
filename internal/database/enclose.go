package database

import (
	"context"
)

// enclosing is a transaction that goes with a context.
type enclosing struct {
	tx    *Tx
	after []func(committed bool)
}

type enclosingKey struct{}

func enclosingOf(ctx context.Context, db *DB) *enclosing {
	if e, ok := ctx.Value(enclosingKey{}).(*enclosing); ok && e.tx.db == db {
		return e
	}
	return nil
}

// Enclose is Write for what several rooms do: each Write under the context that fn gets becomes a part of this one
// transaction, which its error alone undoes, and each Read sees what was written so far. So a request's answer is kept
// together with its effect, and a request can be tried and undone, without each room taking a Tx.
//
// A part is not tried again by itself: a transaction that the database gave up begins again with fn. While fn runs,
// SQLite takes no other writes: fn does not wait for anybody.
func (db *DB) Enclose(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	var last *enclosing
	err := db.Write(ctx, func(ctx context.Context, tx *Tx) error {
		last.ended(false)
		last = &enclosing{tx: tx}
		return fn(context.WithValue(ctx, enclosingKey{}, last), tx)
	})
	last.ended(err == nil)
	return err
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

// part runs fn within the enclosing transaction, back to a savepoint when it fails.
func (e *enclosing) part(ctx context.Context, write bool, fn func(ctx context.Context, tx *Tx) error) error {
	if !write {
		return mapped("read from database", fn(ctx, e.tx))
	}
	inner, err := e.tx.Tx.BeginTx(ctx, nil) // a savepoint
	if err != nil {
		return mapped("write to database", err)
	}
	tx := &Tx{Tx: inner, db: e.tx.db}
	if err = fn(ctx, tx); err != nil {
		_ = inner.Rollback() // when even that fails, the whole does
		return mapped("write to database", err)
	}
	if err = inner.Commit(); err == nil {
		e.tx.notes = append(e.tx.notes, tx.notes...)
	}
	return mapped("write to database", err)
}
