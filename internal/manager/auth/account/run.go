package account

import (
	"context"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/darter-p2p/darter/internal/database"
)

const (
	writeUses  = 15 * time.Second // how often uses are written
	sweepEvery = time.Hour
	sweepAfter = 30 * 24 * time.Hour // how long ended sessions and tokens stay, for whoever looks back
	sweepBatch = 500
)

// Run looks at the version, writes uses and removes what ended long ago, until ctx ends; then it writes the last
// uses. Without it every credential is looked up at every request, and nobody sees when a token was last used.
func (a *Accounts) Run(ctx context.Context) error {
	notes := a.db.Subscribe(topic)
	defer notes.Close()
	looks, uses, sweeps := time.NewTicker(a.cfg.Look), time.NewTicker(writeUses), time.NewTicker(sweepEvery)
	defer looks.Stop()
	defer uses.Stop()
	defer sweeps.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return a.writeUses(ctx)
		case <-notes.C():
			err = a.look(ctx)
		case <-looks.C:
			err = a.look(ctx)
		case <-uses.C:
			err = a.writeUses(ctx)
		case <-sweeps.C:
			_, err = a.Sweep(ctx)
		}
		if err != nil && ctx.Err() == nil && a.cfg.Events.Failed != nil {
			a.cfg.Events.Failed(err)
		}
	}
}

// writeUses writes what was noted. What cannot be written is kept for the next time.
func (a *Accounts) writeUses(ctx context.Context) error {
	a.mu.Lock()
	uses := a.mu.uses
	a.mu.uses = make(map[string]use)
	a.mu.Unlock()
	if len(uses) == 0 {
		return nil
	}
	err := a.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		for key, u := range uses {
			kind, id, _ := strings.Cut(key, "/")
			address := ""
			if u.from.IsValid() {
				address = u.from.String()
			}
			var err error
			if kind == "token" {
				_, err = tx.ExecContext(ctx, "UPDATE tokens SET used_at = ?, used_from = ? WHERE id = ? AND used_at < ?", database.At(u.at), address, id, database.At(u.at))
			} else {
				_, err = tx.ExecContext(ctx, "UPDATE sessions SET seen_at = ? WHERE id = ? AND seen_at < ?", database.At(u.at), id, database.At(u.at))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	for key, u := range uses {
		if newer, ok := a.mu.uses[key]; err != nil && (!ok || newer.at.Before(u.at)) {
			a.mu.uses[key] = u
		}
		// What is remembered has to know of the use, too: the note is gone now.
		if r, ok := a.mu.remembered[key]; ok && r.seen.Before(u.at) {
			r.seen = u.at
			a.mu.remembered[key] = r
		}
	}
	return err
}

// Sweep removes sessions, tokens and counts that ended long ago, a batch of each, and returns how many rows.
func (a *Accounts) Sweep(ctx context.Context) (int64, error) {
	now := a.now()
	var total int64
	err := a.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		total = 0
		for _, s := range []struct {
			table, key, column string
			before             time.Time
		}{
			{"sessions", "id", "expires_at", now.Add(-sweepAfter)},
			{"tokens", "id", "expires_at", now.Add(-sweepAfter)},
			{"sign_in_failures", "subject", "failed_at", now.Add(-failureMemory)},
			{"sign_in_flows", "id", "expires_at", now},
			{"setup_tokens", "id", "expires_at", now.Add(-sweepAfter)},
		} {
			r, err := tx.ExecContext(ctx, "DELETE FROM ? WHERE ? IN (SELECT ? FROM ? WHERE ? < ? ORDER BY ? LIMIT ?)", bun.Ident(s.table), bun.Ident(s.key),
				bun.Ident(s.key), bun.Ident(s.table), bun.Ident(s.column), database.At(s.before), bun.Ident(s.column), sweepBatch)
			if err != nil {
				return err
			}
			n, err := r.RowsAffected()
			if err != nil {
				return err
			}
			total += n
		}
		return nil
	})
	return total, err
}
