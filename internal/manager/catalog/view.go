package catalog

import (
	"context"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
)

// Vouch takes a scheduler's word that all it said of hosts still holds.
func (c *Catalog) Vouch(ctx context.Context, reporter string) error {
	return c.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		at := database.At(now)
		if _, err := tx.ExecContext(ctx, "UPDATE host_views SET at = ? WHERE reporter = ? AND verdict NOT IN (?, ?)", at, reporter, Forgotten, Left); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE hosts SET seen_at = ? WHERE verdict = ? AND id IN (SELECT host_id FROM host_views v WHERE v.reporter = ? AND v.verdict = ? AND v.epoch = hosts.epoch)",
			at, Alive, reporter, Alive)
		return err
	})
}

// SeenBy returns the hosts that a scheduler spoke of and did not call gone, in order.
func (c *Catalog) SeenBy(ctx context.Context, reporter string) (out []string, err error) {
	err = c.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		return tx.NewSelect().TableExpr("host_views").Column("host_id").Where("reporter = ?", reporter).Where("verdict NOT IN (?, ?)", Forgotten, Left).OrderExpr("host_id").Scan(ctx, &out)
	})
	return out, err
}

// OnlySeeds reports, as tx sees it, whether the cluster of a number has seeds and no other hosts. One that cannot be
// reached counts, one that left or was forgotten does not.
func (c *Catalog) OnlySeeds(ctx context.Context, tx *database.Tx, cluster uint64) (only bool, err error) {
	const some = "EXISTS (SELECT 1 FROM hosts h JOIN clusters c ON c.id = h.cluster_id WHERE c.compat_id = ? AND h.verdict NOT IN (?, ?) AND h.kind "
	seed := darter.Seed.String()
	err = tx.QueryRowContext(ctx, "SELECT NOT "+some+"<> ?) AND "+some+"= ?)", cluster, Left, Forgotten, seed, cluster, Left, Forgotten, seed).Scan(&only)
	return only, err
}
