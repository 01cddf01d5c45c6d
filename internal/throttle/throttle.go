package throttle

import (
	"context"
	"io"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/darter-p2p/darter"
)

// Bounds of what may pass at once: small enough that a slow limit stays smooth, large enough that a
// fast one does not live in the timer.
const (
	minBurst = 16 << 10
	maxBurst = 4 << 20
)

// Limiter lets bytes pass at a rate. All methods are safe for concurrent use and on nil.
type Limiter struct {
	bucket *rate.Limiter

	mu struct {
		sync.Mutex
		changed chan struct{} // closed by Set, so that waits for the old rate are done over
	}
}

// New returns a limiter of r bytes per second; 0 or less means unlimited.
func New(r darter.Size) *Limiter {
	l := &Limiter{bucket: rate.NewLimiter(limit(r), burst(r))}
	l.mu.changed = make(chan struct{})
	return l
}

func limit(r darter.Size) rate.Limit {
	if r <= 0 {
		return rate.Inf
	}
	return rate.Limit(r)
}

func burst(r darter.Size) int { return int(min(max(r/10, minBurst), maxBurst)) }

// Set changes the rate for bytes that have not passed yet. On a nil Limiter it does nothing.
func (l *Limiter) Set(r darter.Size) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bucket.SetBurst(burst(r))
	l.bucket.SetLimit(limit(r))
	close(l.mu.changed)
	l.mu.changed = make(chan struct{})
}

// Rate returns the present rate in bytes per second, 0 when unlimited.
func (l *Limiter) Rate() darter.Size {
	if l.Unlimited() {
		return 0
	}
	return darter.Size(l.bucket.Limit())
}

// Unlimited reports whether bytes pass freely now, so that a caller may use a faster path.
func (l *Limiter) Unlimited() bool { return l == nil || l.bucket.Limit() == rate.Inf }

// WaitN waits until n bytes may pass. The only error is the cause of ctx's end.
func (l *Limiter) WaitN(ctx context.Context, n int) error {
	for !l.Unlimited() && n > 0 {
		passed, err := l.take(ctx, n)
		if err != nil {
			return err
		}
		n -= passed
	}
	return context.Cause(ctx)
}

// take waits for one burst at most; it returns 0 when the rate changed while it waited.
func (l *Limiter) take(ctx context.Context, n int) (int, error) {
	l.mu.Lock()
	changed := l.mu.changed
	n = min(n, l.bucket.Burst())
	ticket := l.bucket.ReserveN(time.Now(), n)
	l.mu.Unlock()

	delay := ticket.Delay()
	if delay <= 0 {
		return n, nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return n, nil
	case <-changed:
		ticket.Cancel()
		return 0, nil
	case <-ctx.Done():
		ticket.Cancel()
		return 0, context.Cause(ctx)
	}
}

// Reader returns r slowed down to the rate. A nil Limiter returns r itself.
func (l *Limiter) Reader(ctx context.Context, r io.Reader) io.Reader {
	if l == nil {
		return r
	}
	return &reader{ctx: ctx, limiter: l, from: r}
}

// reader keeps ctx because io.Reader has no place for it; it lives no longer than one transfer.
type reader struct {
	ctx     context.Context
	limiter *Limiter
	from    io.Reader
}

// Read pays after it has read, since only then is the number of bytes known: a transfer may be ahead of
// its rate by one read at most, which the next one waits for.
func (r *reader) Read(p []byte) (int, error) {
	if !r.limiter.Unlimited() {
		p = p[:min(len(p), r.limiter.bucket.Burst())]
	}
	n, err := r.from.Read(p)
	if wait := r.limiter.WaitN(r.ctx, n); wait != nil && err == nil {
		err = wait
	}
	return n, err
}
