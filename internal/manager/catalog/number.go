package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
)

// compat gives the next number of a kind of thing. Numbers are never used twice.
func compat(ctx context.Context, tx *database.Tx, name string) (n int64, err error) {
	err = tx.QueryRowContext(ctx, `INSERT INTO compat_numbers (name, last) VALUES (?, 1)
		ON CONFLICT (name) DO UPDATE SET last = compat_numbers.last + 1 RETURNING last`, name).Scan(&n)
	return n, err
}

// absent says what is not there.
func absent(err error, what, id string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return &darter.Error{Kind: darter.NotFound, Op: "read " + what + " " + id, Err: fmt.Errorf("there is no such %s", what)}
	}
	return err
}
