package retry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Policy says how often and how long to try. The zero Policy tries until the context ends.
type Policy struct {
	Attempts int           // attempts in all; 0 means any number
	First    time.Duration // wait after the first failure; default 100ms
	Max      time.Duration // longest wait between two attempts; default 10s
	Total    time.Duration // no attempt starts later than this after the first; 0 means no limit
}

// DefaultPolicy is for one small request on the way of something a person waits for.
func DefaultPolicy() Policy {
	return Policy{Attempts: 4, First: 100 * time.Millisecond, Max: 2 * time.Second, Total: 10 * time.Second}
}

// Do calls attempt until it returns nil or something that is not worth another try. It returns the
// error of the last attempt, without the marks that Permanent and RetryAfter put on; when the context
// ended it returns the context's cause as well.
func Do(ctx context.Context, p Policy, attempt func(context.Context) error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := attempt(ctx)
		if err == nil {
			last = nil
			return struct{}{}, nil
		}
		last = unmark(err)
		if _, ok := errors.AsType[*permanentError](err); ok {
			return struct{}{}, backoff.Permanent(last)
		}
		if after, ok := errors.AsType[*afterError](err); ok {
			return struct{}{}, &backoff.RetryAfterError{Duration: p.after(after.wait)}
		}
		return struct{}{}, last
	}, p.options()...)
	switch {
	case err == nil || last == nil:
		return err
	case ctx.Err() != nil && !errors.Is(last, context.Cause(ctx)):
		return fmt.Errorf("%w (last attempt: %w)", context.Cause(ctx), last)
	}
	return last
}

func (p Policy) options() []backoff.RetryOption {
	delays := &backoff.ExponentialBackOff{
		InitialInterval: p.First, MaxInterval: p.Max, Multiplier: 2, RandomizationFactor: 0.5,
	}
	if delays.InitialInterval <= 0 {
		delays.InitialInterval = 100 * time.Millisecond
	}
	delays.MaxInterval = p.longest()
	return []backoff.RetryOption{
		backoff.WithBackOff(delays),
		backoff.WithMaxTries(uint(max(p.Attempts, 0))),
		backoff.WithMaxElapsedTime(max(p.Total, 0)),
	}
}

func (p Policy) longest() time.Duration {
	if p.Max <= 0 {
		return 10 * time.Second
	}
	return p.Max
}

// after bounds a wait that the other side asked for: with a Total, a wait past it ends the tries;
// without one, nobody may send us to sleep for longer than Max.
func (p Policy) after(asked time.Duration) time.Duration {
	if p.Total > 0 {
		return max(asked, 0)
	}
	return min(max(asked, 0), p.longest())
}
