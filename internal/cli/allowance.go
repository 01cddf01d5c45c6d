package cli

import (
	"context"
	"sync"
	"time"

	"github.com/darter-p2p/darter"
)

// allowance lets bytes pass at a rate, counted from its beginning: what was not used is not lost. A daemon of ours keeps to the rate
// itself, but its pieces come in any order; a limit that forgot the time spent waiting for the next one would add to that wait.
type allowance struct {
	rate  darter.Size
	began time.Time

	mu struct {
		sync.Mutex
		passed int64
	}
}

// newAllowance returns an allowance that begins now; nil, which lets everything pass, when there is no limit.
func newAllowance(rate darter.Size) *allowance {
	if rate <= 0 {
		return nil
	}
	return &allowance{rate: rate, began: now()}
}

// WaitN returns when n more bytes may pass.
func (a *allowance) WaitN(ctx context.Context, n int) error {
	if a == nil {
		return context.Cause(ctx)
	}
	a.mu.Lock()
	a.mu.passed += int64(n)
	due := a.began.Add(time.Duration(float64(a.mu.passed) / float64(a.rate) * float64(time.Second)))
	a.mu.Unlock()
	timer := time.NewTimer(due.Sub(now()))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return context.Cause(ctx)
}
