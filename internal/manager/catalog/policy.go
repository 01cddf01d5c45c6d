package catalog

import (
	"context"
	"database/sql"
	"errors"

	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/gc/retention"
)

// Policy returns the retention policy of a kind as tx sees it; nobody having written one, the built-in
// default of version 0.
func (c *Catalog) Policy(ctx context.Context, tx *database.Tx, kind string) (retention.Policy, error) {
	var version int64
	err := tx.QueryRowContext(ctx, "SELECT version FROM documents WHERE class = ? AND name = ?", GCPolicy, kind).Scan(&version)
	if errors.Is(err, sql.ErrNoRows) || err == nil && version == 0 {
		return retention.Policy{Kind: kind, Hash: "default", Spec: retention.Default(kind)}, nil
	}
	if err != nil {
		return retention.Policy{}, err
	}
	d, err := readVersion(ctx, tx, GCPolicy, kind, version)
	if err != nil {
		return retention.Policy{}, err
	}
	spec, err := retention.Parse(kind, d.Body, true)
	return retention.Policy{Kind: kind, Version: d.Number, Hash: d.Hash, Spec: spec}, err
}

// PolicyInForce returns the retention policy of a kind.
func (c *Catalog) PolicyInForce(ctx context.Context, kind string) (out retention.Policy, err error) {
	err = c.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		out, err = c.Policy(ctx, tx, kind)
		return err
	})
	return out, err
}
