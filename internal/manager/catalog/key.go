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
	text, err := c.Agree(ctx, name, hex.EncodeToString(b[:]))
	if err != nil {
		return nil, err
	}
	return hex.DecodeString(text)
}

// Agree writes a value down under a name unless there is one, and returns what stands: the first manager decides for all.
func (c *Catalog) Agree(ctx context.Context, name, value string) (text string, err error) {
	err = c.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO shared_keys (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", name, value); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "SELECT value FROM shared_keys WHERE name = ?", name).Scan(&text)
	})
	return text, err
}
