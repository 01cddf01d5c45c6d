package catalog

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
)

// keyLife is how long an answer is kept for a repeated request.
const keyLife = 24 * time.Hour

// ErrMismatch tells that a key was used before for something else.
var ErrMismatch = errors.New("the idempotency key was used for another request")

// Key names a request that may be repeated.
type Key struct {
	Principal string
	Key       string
	Route     string // method and path
	Hash      string // of the body
}

// Answer is what was answered the first time.
type Answer struct {
	Status   int
	Body     string
	Replayed bool
}

// Once calls effect within tx unless the key has been used, and keeps its answer in the same transaction.
// A second request with the key gets the first one's answer; while the first is under way it waits for
// its end. An effect that returns an error leaves no trace.
func (c *Catalog) Once(ctx context.Context, tx *database.Tx, k Key, effect func(ctx context.Context, tx *database.Tx) (Answer, error)) (Answer, error) {
	answer, known, err := c.Claim(ctx, tx, k)
	if err != nil || known {
		return answer, err
	}
	if answer, err = effect(ctx, tx); err != nil {
		return answer, err
	}
	return answer, c.Keep(ctx, tx, k, answer)
}

// Claim takes a key for this transaction, which has to Keep its answer; or it returns the answer that the key
// has already. While another transaction has the key it waits for that one's end.
func (c *Catalog) Claim(ctx context.Context, tx *database.Tx, k Key) (first Answer, known bool, err error) {
	if k.Key == "" || len(k.Key) > 255 {
		return Answer{}, false, &darter.Error{Kind: darter.Invalid, Op: "use idempotency key", Err: errors.New("a key has 1 to 255 bytes")}
	}
	now, err := tx.Now(ctx)
	if err != nil {
		return Answer{}, false, err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM idempotency_keys WHERE principal = ? AND key = ? AND expires_at <= ?", k.Principal, k.Key, database.At(now)); err != nil {
		return Answer{}, false, err
	}
	result, err := tx.ExecContext(ctx, `INSERT INTO idempotency_keys (id, principal, key, route, hash, status, answer, created_at, expires_at)
		VALUES (?, ?, ?, ?, ?, 0, '', ?, ?) ON CONFLICT (principal, key) DO NOTHING`,
		tx.NewID(), k.Principal, k.Key, k.Route, k.Hash, database.At(now), database.At(now.Add(keyLife)))
	if err != nil {
		return Answer{}, false, err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		first, err = replay(ctx, tx, k, err)
		return first, err == nil, err
	}
	return Answer{}, false, nil
}

// Keep writes the answer of a claimed key.
func (c *Catalog) Keep(ctx context.Context, tx *database.Tx, k Key, a Answer) error {
	_, err := tx.ExecContext(ctx, "UPDATE idempotency_keys SET status = ?, answer = ? WHERE principal = ? AND key = ?", a.Status, a.Body, k.Principal, k.Key)
	return err
}

// Answered returns the answer that a key has, as far as that is committed.
func (c *Catalog) Answered(ctx context.Context, k Key) (a Answer, known bool, err error) {
	err = c.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		var n int
		err = tx.QueryRowContext(ctx, "SELECT count(*) FROM idempotency_keys WHERE principal = ? AND key = ? AND expires_at > ? AND status > 0", k.Principal, k.Key, database.At(now)).Scan(&n)
		if err != nil || n == 0 {
			return err
		}
		known = true
		a, err = replay(ctx, tx, k, nil)
		return err
	})
	return a, known && err == nil, err
}

func replay(ctx context.Context, tx *database.Tx, k Key, err error) (Answer, error) {
	if err != nil {
		return Answer{}, err
	}
	var route, hash string
	a := Answer{Replayed: true}
	err = tx.QueryRowContext(ctx, "SELECT route, hash, status, answer FROM idempotency_keys WHERE principal = ? AND key = ?", k.Principal, k.Key).Scan(&route, &hash, &a.Status, &a.Body)
	if errors.Is(err, sql.ErrNoRows) {
		return a, &darter.Error{Kind: darter.Unavailable, Op: "use idempotency key", Hint: "try again", Err: errors.New("the first request with this key was undone meanwhile")}
	}
	if err == nil && (route != k.Route || hash != k.Hash) {
		err = &darter.Error{Kind: darter.Invalid, Op: "use idempotency key", Hint: "take a new key for a new request", Err: ErrMismatch}
	}
	return a, err
}
