package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/darter-p2p/darter"
)

// Lease is the right to act in a scope until Expires, or until somebody else has taken it.
type Lease struct {
	Scope   string
	Holder  string
	Token   int64 // greater than that of every lease of the scope before
	Expires time.Time
}

// LeaseChange tells that a scope got a holder (Gained) or that this process lost it.
type LeaseChange struct {
	Lease  Lease
	Gained bool
	Err    error // why it was lost; nil for a release
}

// Acquire takes a scope for ttl, by the database's clock. It returns Conflict with ErrHeld while
// somebody, under whatever name, has it.
func (db *DB) Acquire(ctx context.Context, scope, holder string, ttl time.Duration) (Lease, error) {
	l := Lease{Scope: scope, Holder: holder}
	err := db.Write(ctx, func(ctx context.Context, tx *Tx) error {
		var expires Micros
		err := tx.QueryRowContext(ctx, `INSERT INTO leases (scope, holder, token, expires_at) VALUES (?, ?, 1, ? + ?)
			ON CONFLICT (scope) DO UPDATE SET holder = excluded.holder, token = leases.token + 1, expires_at = excluded.expires_at
			WHERE leases.expires_at <= ? RETURNING token, expires_at`,
			scope, holder, tx.NowExpr(), ttl.Microseconds(), tx.NowExpr()).Scan(&l.Token, &expires)
		l.Expires = expires.Time()
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return Lease{}, &darter.Error{Kind: darter.Conflict, Op: "acquire lease " + scope, Err: ErrHeld}
	}
	return l, err
}

// Renew prolongs a lease. It returns Conflict with ErrFenced when somebody else has taken the scope; a
// lease that only ran out is prolonged.
func (db *DB) Renew(ctx context.Context, l Lease, ttl time.Duration) (Lease, error) {
	err := db.Write(ctx, func(ctx context.Context, tx *Tx) error {
		var expires Micros
		err := tx.QueryRowContext(ctx, "UPDATE leases SET expires_at = ? + ? WHERE scope = ? AND token = ? AND holder = ? RETURNING expires_at",
			tx.NowExpr(), ttl.Microseconds(), l.Scope, l.Token, l.Holder).Scan(&expires)
		l.Expires = expires.Time()
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return l, fenced(l)
	}
	return l, err
}

// Release ends a lease before its time. One that has passed on is left alone.
func (db *DB) Release(ctx context.Context, l Lease) error {
	return db.Write(ctx, func(ctx context.Context, tx *Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE leases SET expires_at = 0 WHERE scope = ? AND token = ? AND holder = ?", l.Scope, l.Token, l.Holder)
		return err
	})
}

// Hold makes the transaction depend on a lease: it returns Conflict with ErrFenced when the scope has
// passed to another holder, and else keeps the scope from passing on until the transaction has ended. A
// holder that slept through the end of its lease can therefore commit nothing.
func (tx *Tx) Hold(ctx context.Context, l Lease) error {
	lock := ""
	if tx.db.dialect == Postgres {
		lock = " FOR SHARE"
	}
	var token int64
	err := tx.QueryRowContext(ctx, "SELECT token FROM leases WHERE scope = ? AND token = ? AND holder = ? AND expires_at > 0"+lock,
		l.Scope, l.Token, l.Holder).Scan(&token)
	if errors.Is(err, sql.ErrNoRows) {
		return fenced(l)
	}
	return err
}

func fenced(l Lease) error {
	return &darter.Error{Kind: darter.Conflict, Op: "hold lease " + l.Scope, Hint: "another manager has taken over; it goes on from what was committed",
		Err: fmt.Errorf("%w: token %d is not the newest", ErrFenced, l.Token)}
}
