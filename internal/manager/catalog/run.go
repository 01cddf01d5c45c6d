package catalog

import (
	"context"
	"time"

	"github.com/darter-p2p/darter/internal/database"
)

// Run keeps this manager's view of the documents in force fresh, until ctx ends: at once when it is told
// of a change, and else as often as the database polls. A database that is away leaves the last view.
func (c *Catalog) Run(ctx context.Context) error {
	sub := c.db.Subscribe(topicDocuments)
	defer sub.Close()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-sub.C():
			_ = c.refresh(ctx) // the next note tries again
		}
	}
}

// refresh reads which versions are in force, and those that this manager does not have yet.
func (c *Catalog) refresh(ctx context.Context) error {
	var changed []Document
	var now time.Time
	err := c.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		changed = nil
		news, err := c.outdated(ctx, tx)
		if err != nil || len(news) == 0 {
			return err
		}
		if now, err = tx.Now(ctx); err != nil {
			return err
		}
		for key, version := range news {
			d, err := readVersion(ctx, tx, key.class, key.name, version)
			if err != nil {
				return err
			}
			changed = append(changed, d)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, d := range changed {
		c.mu.Lock()
		c.mu.inForce[documentKey{d.Class, d.Name}] = d
		c.mu.Unlock()
		if c.cfg.Events.Applied != nil {
			c.cfg.Events.Applied(d, max(now.Sub(d.Activated), 0))
		}
	}
	return nil
}

func (c *Catalog) outdated(ctx context.Context, tx *database.Tx) (map[documentKey]int64, error) {
	rows, err := tx.QueryContext(ctx, "SELECT class, name, version FROM documents WHERE version > 0")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := make(map[documentKey]int64)
	c.mu.RLock()
	defer c.mu.RUnlock()
	for rows.Next() {
		var key documentKey
		var version int64
		if err := rows.Scan(&key.class, &key.name, &version); err != nil {
			return nil, err
		}
		if c.mu.inForce[key].Number != version {
			out[key] = version
		}
	}
	return out, rows.Err()
}

// InForce returns the version that this manager follows, without asking the database.
func (c *Catalog) InForce(class, name string) (Document, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	d, ok := c.mu.inForce[documentKey{class, name}]
	return d, ok
}
