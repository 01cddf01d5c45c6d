package retry

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

var errBusy = errors.New("busy")

// failing returns an attempt that fails n times with err, and the count of calls.
func failing(n int, err error) (func(context.Context) error, *int) {
	calls := 0
	return func(context.Context) error {
		calls++
		if calls <= n {
			return err
		}
		return nil
	}, &calls
}

func TestDoTriesUntilItWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempt, calls := failing(3, errBusy)
		start := time.Now()
		if err := Do(t.Context(), Policy{First: time.Second, Max: 2 * time.Second}, attempt); err != nil || *calls != 4 {
			t.Fatalf("err %v after %d calls, want success at the fourth", err, *calls)
		}
		// Waits are 1, 2 and 2 seconds, each spread by half.
		if waited := time.Since(start); waited < 2500*time.Millisecond || waited > 7500*time.Millisecond+3 {
			t.Errorf("waited %s in all, want between 2.5s and 7.5s", waited)
		}
	})
}

func TestDoEnds(t *testing.T) {
	cases := map[string]struct {
		policy Policy
		err    error
		calls  int
	}{
		"when attempts are used up":         {Policy{Attempts: 3}, errBusy, 3},
		"at once when permanent":            {Policy{Attempts: 3}, Permanent(errBusy), 1},
		"when the permanent mark is deeper": {Policy{Attempts: 3}, fmt.Errorf("open: %w", Permanent(errBusy)), 1},
		"on the last attempt, permanent":    {Policy{Attempts: 1}, Permanent(errBusy), 1},
		"on the last attempt, retry after":  {Policy{Attempts: 1}, RetryAfter(errBusy, time.Second), 1},
		"when asked to wait past the total": {Policy{Total: time.Minute}, RetryAfter(errBusy, time.Hour), 1},
		"when the total time is used up":    {Policy{First: time.Second, Max: time.Second, Total: 100 * time.Millisecond}, errBusy, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				attempt, calls := failing(1000, c.err)
				err := Do(t.Context(), c.policy, attempt)
				if !errors.Is(err, errBusy) || *calls != c.calls {
					t.Errorf("got %v after %d calls, want %v after %d", err, *calls, errBusy, c.calls)
				}
			})
		})
	}
}

func TestDoTakesItsMarksOff(t *testing.T) {
	if err := Do(t.Context(), Policy{}, func(context.Context) error { return Permanent(errBusy) }); err != errBusy {
		t.Errorf("got %#v, want the error without the mark", err)
	}
}

func TestDoWaitsAsLongAsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempt, _ := failing(1, RetryAfter(errBusy, 30*time.Second))
		start := time.Now()
		if err := Do(t.Context(), Policy{Total: time.Minute}, attempt); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited != 30*time.Second {
			t.Errorf("waited %s, want the 30s that were asked for", waited)
		}
	})
}

func TestDoWithoutTotalIsNotSentToSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempt, _ := failing(1, RetryAfter(errBusy, 24*time.Hour))
		start := time.Now()
		if err := Do(t.Context(), Policy{Max: 5 * time.Second}, attempt); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited != 5*time.Second {
			t.Errorf("waited %s, want no longer than Max", waited)
		}
	})
}

func TestDoEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := errors.New("the daemon stops")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(stop) })
		attempt, _ := failing(1000, errBusy)
		start := time.Now()
		err := Do(ctx, Policy{First: time.Hour, Max: time.Hour}, attempt)
		if !errors.Is(err, stop) || !errors.Is(err, errBusy) {
			t.Errorf("got %v, want both the cause and the last attempt's error", err)
		}
		if waited := time.Since(start); waited != time.Minute {
			t.Errorf("returned after %s, want when the context ended", waited)
		}
		if err := Do(ctx, Policy{}, func(context.Context) error { t.Error("an attempt was made after the end"); return nil }); !errors.Is(err, stop) {
			t.Errorf("got %v, want the cause", err)
		}
	})
}

func TestMarksOfNilAreNil(t *testing.T) {
	if Permanent(nil) != nil || RetryAfter(nil, time.Second) != nil {
		t.Error("marking nil made an error of it")
	}
	if IsPermanent(errBusy) || !IsPermanent(fmt.Errorf("x: %w", Permanent(errBusy))) {
		t.Error("IsPermanent is wrong")
	}
}

func ExampleDo() {
	tries := 0
	err := Do(context.Background(), Policy{Attempts: 3, First: time.Millisecond}, func(context.Context) error {
		tries++
		if tries < 2 {
			return errors.New("connection refused")
		}
		return nil
	})
	fmt.Println(tries, err)
	// Output: 2 <nil>
}
