package enroll

import (
	"context"
	"time"

	"github.com/darter-p2p/darter/internal/database"
)

// Run keeps the list of revoked certificates new and removes what ended long ago, until ctx ends.
func (d *Desk) Run(ctx context.Context) error {
	notes := d.db.Subscribe(topic)
	defer notes.Close()
	looks, sweeps := time.NewTicker(d.cfg.Look), time.NewTicker(time.Hour)
	defer looks.Stop()
	defer sweeps.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-notes.C():
			err = d.Look(ctx)
		case <-looks.C:
			err = d.Look(ctx)
		case <-sweeps.C:
			err = d.Sweep(ctx)
		}
		if err != nil && ctx.Err() == nil && d.cfg.Failed != nil {
			d.cfg.Failed(err)
		}
	}
}

// Sweep removes tokens and certificates that ended long ago, a batch of each.
func (d *Desk) Sweep(ctx context.Context) error {
	before := database.At(d.cfg.Now().Add(-sweepAfter))
	return d.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM join_tokens WHERE id IN (SELECT id FROM join_tokens WHERE expires_at < ? LIMIT 500)", before); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM certificates WHERE serial IN (SELECT serial FROM certificates WHERE expires_at < ? LIMIT 500)", before)
		return err
	})
}
