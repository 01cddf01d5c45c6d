package fleet

import (
	"context"
	"time"
)

// Run removes old orders until ctx ends. A database that is away costs nothing: the next turn comes.
func (o *Orders) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			_ = o.Sweep(ctx)
		}
	}
}
