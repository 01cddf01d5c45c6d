package records

import (
	"context"
	"iter"

	"github.com/darter-p2p/darter"
)

// Watch yields a run as it stands, then after each change, until it is final or ctx ends. Changes that
// follow one another quickly are yielded as one.
func (r *Reclaimer) Watch(ctx context.Context, id string) iter.Seq2[darter.Run, error] {
	return func(yield func(darter.Run, error) bool) {
		sub := r.db.Subscribe(topic)
		defer sub.Close()
		var last darter.Run
		for first := true; ; {
			select {
			case <-ctx.Done():
				yield(last, context.Cause(ctx))
				return
			case n := <-sub.C():
				if !n.Gap && n.Payload != id {
					continue
				}
			}
			run, err := r.GetRun(ctx, id)
			if err != nil {
				yield(last, err)
				return
			}
			if !first && run.State == last.State && run.Batches == last.Batches && run.Heartbeat.Equal(last.Heartbeat) {
				continue
			}
			first, last = false, run
			if !yield(run, nil) || run.State.Final() {
				return
			}
		}
	}
}
