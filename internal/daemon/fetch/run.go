package fetch

import (
	"context"
)

// Run makes Start possible until ctx ends; then it ends every download, keeps their pieces in the store, and returns when
// all goroutines are gone.
func (e *Engine) Run(ctx context.Context) error {
	e.mu.Lock()
	e.mu.ctx = ctx
	e.mu.Unlock()
	close(e.running)
	<-ctx.Done()
	// Taking the lock once more orders the last launch before the wait.
	e.mu.Lock()
	e.mu.Unlock() //nolint:staticcheck // an empty critical section is the point
	e.wg.Wait()
	return context.Cause(ctx)
}

// launch runs a download until its end. The engine's lock is held.
func (e *Engine) launch(ctx context.Context, d *download) {
	d.ctx, d.cancel = context.WithCancelCause(ctx)
	e.wg.Add(1)
	go func() {
		defer e.wg.Done()
		d.run()
	}()
}

// spawn runs f beside the loop; the download's end waits for it.
func (d *download) spawn(f func()) {
	d.wg.Add(1)
	go func() {
		defer d.wg.Done()
		f()
	}()
}
