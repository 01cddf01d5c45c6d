package throttle

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/darter-p2p/darter"
)

func TestWaitNKeepsTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(1 << 20)
		start := time.Now()
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if err := l.WaitN(t.Context(), 25<<20/10); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		// 10 MiB at 1 MiB/s, of which a burst of a tenth of a second was there at the start.
		if took := time.Since(start); took < 9800*time.Millisecond || took > 10*time.Second {
			t.Errorf("10MiB at 1MiB/s took %s", took)
		}
	})
}

func TestUnlimitedNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var none *Limiter
		none.Set(5)
		for _, l := range []*Limiter{none, New(0), New(-1)} {
			start := time.Now()
			if err := l.WaitN(t.Context(), 1<<40); err != nil {
				t.Error(err)
			}
			if time.Since(start) != 0 || !l.Unlimited() || l.Rate() != 0 {
				t.Errorf("limiter %v limits", l)
			}
		}
	})
}

func TestWaitNEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(1000)
		cause := errors.New("the reader left")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		start := time.Now()
		if err := l.WaitN(ctx, 1<<30); !errors.Is(err, cause) {
			t.Errorf("got %v, want the cause", err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("returned after %s, want 1s", took)
		}
		if err := New(0).WaitN(ctx, 1); !errors.Is(err, cause) {
			t.Errorf("an ended context passed: %v", err)
		}
	})
}

func TestSetWakesWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(1) // a burst at once, then one byte per second
		start := time.Now()
		time.AfterFunc(time.Minute, func() { l.Set(1 << 30) })
		if err := l.WaitN(t.Context(), 10*minBurst); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < time.Minute || took > time.Minute+time.Second {
			t.Errorf("took %s, want to go on as soon as the rate changed", took)
		}
		if l.Rate() != 1<<30 {
			t.Errorf("rate is %s", l.Rate())
		}
	})
}

func TestReaderSlowsAndChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want := bytes.Repeat([]byte("darter"), 1<<20/6)
		start := time.Now()
		got, err := io.ReadAll(New(256<<10).Reader(t.Context(), bytes.NewReader(want)))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("read %d bytes, %v; want the %d that were there", len(got), err, len(want))
		}
		if took := time.Since(start); took < 3800*time.Millisecond || took > 4100*time.Millisecond {
			t.Errorf("1MiB at 256KiB/s took %s", took)
		}
	})
}

func TestReaderOfNilIsTheReader(t *testing.T) {
	r := strings.NewReader("x")
	if got := (*Limiter)(nil).Reader(t.Context(), r); got != io.Reader(r) {
		t.Error("a nil limiter wrapped the reader: fast paths would be lost")
	}
}

func TestReaderReturnsBytesAndEndOfContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := New(1).Reader(ctx, bytes.NewReader(make([]byte, 1<<20)))
		time.AfterFunc(time.Second, cancel)
		n, err := io.Copy(io.Discard, r)
		if !errors.Is(err, context.Canceled) || n == 0 {
			t.Errorf("copied %d bytes, %v; want some and the end of the context", n, err)
		}
	})
}

func BenchmarkWaitN(b *testing.B) {
	l := New(darter.Size(1) << 50)
	for b.Loop() {
		if err := l.WaitN(b.Context(), 1); err != nil {
			b.Fatal(err)
		}
	}
}
