package catalog

import (
	"context"
	"crypto/rand"
	"encoding/hex"

	"github.com/darter-p2p/darter/internal/database"
)

// SharedKey returns 32 random bytes, made once and the same in every manager: to sign what comes back to any of them.
// It guards nothing that the rows do not say anyway: it lies among them as it is.
func (c *Catalog) SharedKey(ctx context.Context, name string) ([]byte, error) {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	var text string
	err := c.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO shared_keys (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", name, hex.EncodeToString(b[:])); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "SELECT value FROM shared_keys WHERE name = ?", name).Scan(&text)
	})
	if err != nil {
		return nil, err
	}
	return hex.DecodeString(text)
}
