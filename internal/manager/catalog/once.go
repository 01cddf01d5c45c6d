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
	if k.Key == "" || len(k.Key) > 255 {
		return Answer{}, &darter.Error{Kind: darter.Invalid, Op: "use idempotency key", Err: errors.New("a key has 1 to 255 bytes")}
	}
	now, err := tx.Now(ctx)
	if err != nil {
		return Answer{}, err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM idempotency_keys WHERE principal = ? AND key = ? AND expires_at <= ?", k.Principal, k.Key, database.At(now)); err != nil {
		return Answer{}, err
	}
	result, err := tx.ExecContext(ctx, `INSERT INTO idempotency_keys (id, principal, key, route, hash, status, answer, created_at, expires_at)
		VALUES (?, ?, ?, ?, ?, 0, '', ?, ?) ON CONFLICT (principal, key) DO NOTHING`,
		tx.NewID(), k.Principal, k.Key, k.Route, k.Hash, database.At(now), database.At(now.Add(keyLife)))
	if err != nil {
		return Answer{}, err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return replay(ctx, tx, k, err)
	}
	answer, err := effect(ctx, tx)
	if err != nil {
		return answer, err
	}
	_, err = tx.ExecContext(ctx, "UPDATE idempotency_keys SET status = ?, answer = ? WHERE principal = ? AND key = ?", answer.Status, answer.Body, k.Principal, k.Key)
	return answer, err
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
