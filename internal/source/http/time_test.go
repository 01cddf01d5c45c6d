package http_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/source"
	"github.com/darter-p2p/darter/internal/source/http"
	"github.com/darter-p2p/darter/internal/source/sourcetest"
)

// pipeWorld is a source and an origin in memory with one random content at /f, for use in a bubble.
func pipeWorld(t *testing.T, adjust func(*http.Config)) world {
	t.Helper()
	o := sourcetest.NewPipeOrigin(t)
	s := fresh(t, func(c *http.Config) {
		c.Dial = o.Dial()
		if adjust != nil {
			adjust(c)
		}
	})
	return world{s, o, source.Request{URL: o.AddRandom("f", size, 7)}}
}

// inBubble runs a test in virtual time.
func inBubble(t *testing.T, adjust func(*http.Config), test func(*testing.T, world)) {
	synctest.Test(t, func(t *testing.T) { test(t, pipeWorld(t, adjust)) })
}

// took fails unless the time since start is within the bounds. The time is virtual.
func took(t *testing.T, start time.Time, least, most time.Duration) {
	t.Helper()
	if d := time.Since(start); d < least || d > most {
		t.Errorf("it took %v, want %v to %v", d, least, most)
	}
}

func TestRetries(t *testing.T) {
	for name, c := range map[string]struct {
		faults      sourcetest.Faults
		asked       int
		ok          bool
		least, most time.Duration
	}{
		"busy twice":            {sourcetest.Faults{Statuses: []int{503, 502}}, 3, true, 200 * time.Millisecond, 2 * time.Second},
		"always broken":         {sourcetest.Faults{Statuses: []int{500, 500, 500, 500, 500}}, 4, false, 500 * time.Millisecond, 5 * time.Second},
		"asked to wait":         {sourcetest.Faults{Statuses: []int{429}, RetryAfter: "7"}, 2, true, 7 * time.Second, 7 * time.Second},
		"asked for a date":      {sourcetest.Faults{Statuses: []int{503}, RetryAfter: "Sat, 01 Jan 2000 00:00:12 GMT"}, 2, true, 12 * time.Second, 12 * time.Second},
		"asked to wait an hour": {sourcetest.Faults{Statuses: []int{429}, RetryAfter: "3600"}, 1, false, 0, 0},
		"nonsense to wait":      {sourcetest.Faults{Statuses: []int{408}, RetryAfter: "soon"}, 2, true, 100 * time.Millisecond, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			retried := 0
			count := func(c *http.Config) { c.Events.Retried = func(string, error) { retried++ } }
			inBubble(t, count, func(t *testing.T, w world) {
				w.SetFaults("f", c.faults)
				start := time.Now()
				_, err := w.Stat(t.Context(), w.r)
				took(t, start, c.least, c.most)
				if (err == nil) != c.ok || len(w.Requests()) != c.asked || retried != c.asked-1 {
					t.Errorf("%v, %d requests, %d retries told; want %d requests", err, len(w.Requests()), retried, c.asked)
				}
				if refused, ok := errors.AsType[*source.Error](err); !c.ok && (!ok || refused.Status != c.faults.Statuses[0] || darter.KindOf(err) != darter.Unavailable) {
					t.Errorf("%v; want the source's answer", err)
				}
			})
		})
	}
}

func TestRetriesOfConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := sourcetest.NewPipeOrigin(t)
		failures := 2
		s := fresh(t, func(c *http.Config) {
			c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				if failures--; failures >= 0 {
					return nil, errors.New("no route")
				}
				return o.Dial()(ctx, network, address)
			}
		})
		if _, err := s.Stat(t.Context(), source.Request{URL: o.AddRandom("f", 10, 1)}); err != nil {
			t.Errorf("two failures and then a connection: %v", err)
		}
		failures = 100
		s.Close()
		synctest.Wait() // the idle connection is gone
		_, err := s.Stat(t.Context(), source.Request{URL: o.URL("f")})
		if darter.KindOf(err) != darter.Unavailable || failures != 96 {
			t.Errorf("%v after %d attempts; want unavailable after 4", err, 100-failures)
		}
	})
}

func TestStalledBody(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w world) {
		info, err := w.Stat(t.Context(), w.r)
		if err != nil {
			t.Fatal(err)
		}
		w.SetFaults("f", sourcetest.Faults{Stall: true, StallAfter: 5000})
		start := time.Now()
		got, err := w.fetch(t, nil, info)
		took(t, start, 30*time.Second, 30*time.Second)
		if darter.KindOf(err) != darter.TimedOut || darter.HintOf(err) == "" {
			t.Errorf("%v (%s); want timed out, with a hint", err, darter.KindOf(err))
		}
		if !bytes.Equal(got, w.Content("f", darter.Span{Length: 5000})) {
			t.Errorf("%d bytes came before, want 5000", len(got))
		}
	})
}

// A reader that takes its time must not be taken for a source that hangs.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := pipeWorld(t, nil)
		info, err := w.Stat(t.Context(), w.r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := w.Open(t.Context(), w.r, nil, info)
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		var all []byte
		for p := make([]byte, size/4); ; {
			n, err := body.Read(p)
			all = append(all, p[:n]...)
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
		}
		if !bytes.Equal(all, w.Content("f", darter.Span{Length: size})) {
			t.Error("the bytes are wrong")
		}
	})
}

// A source at 20 KB/s sends something in every 30 s, however long the whole takes.
func TestSlowSource(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w world) {
		url := w.AddRandom("slow", 4_000_000, 1)
		w.SetRate(20_000)
		r := source.Request{URL: url}
		info, err := w.Stat(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		body, err := w.Open(t.Context(), r, nil, info)
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		n, err := io.Copy(io.Discard, body)
		if err != nil || n != 4_000_000 {
			t.Errorf("%d bytes, %v", n, err)
		}
		took(t, start, 190*time.Second, 210*time.Second)
	})
}

func TestSilentServer(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w world) {
		w.SetFaults("f", sourcetest.Faults{StallHeader: true})
		start := time.Now()
		_, err := w.Stat(t.Context(), w.r)
		// Two attempts of 30 s: none begins later than a minute after the first.
		took(t, start, 60*time.Second, 92*time.Second)
		if darter.KindOf(err) != darter.TimedOut {
			t.Errorf("%v (%s); want timed out", err, darter.KindOf(err))
		}
	})
}

func TestConnectTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := fresh(t, func(c *http.Config) {
			once(c)
			c.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		})
		start := time.Now()
		_, err := s.Stat(t.Context(), source.Request{URL: "http://blackhole.test/f"})
		took(t, start, 10*time.Second, 10*time.Second)
		if darter.KindOf(err) != darter.TimedOut {
			t.Errorf("%v (%s); want timed out", err, darter.KindOf(err))
		}
	})
}

func TestAllConnectionsBusy(t *testing.T) {
	two := func(c *http.Config) { once(c); c.MaxConnsPerHost = 2 }
	inBubble(t, two, func(t *testing.T, w world) {
		info, err := w.Stat(t.Context(), w.r)
		if err != nil {
			t.Fatal(err)
		}
		var held []io.Closer
		for range 2 {
			body, err := w.Open(t.Context(), w.r, nil, info)
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, body)
		}
		start := time.Now()
		_, err = w.Open(t.Context(), w.r, nil, info)
		took(t, start, time.Minute, time.Minute)
		if darter.KindOf(err) != darter.TimedOut {
			t.Errorf("%v (%s); want timed out", err, darter.KindOf(err))
		}
		held[0].Close()
		if got, err := w.fetch(t, nil, info); err != nil || len(got) != size {
			t.Errorf("after one connection became free: %d bytes, %v", len(got), err)
		}
		held[1].Close()
	})
}

func TestDeadline(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, w world) {
		w.SetFaults("f", sourcetest.Faults{StallHeader: true})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		_, err := w.Stat(ctx, w.r)
		took(t, start, 5*time.Second, 5*time.Second)
		if darter.KindOf(err) != darter.TimedOut || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v (%s); want timed out by the deadline", err, darter.KindOf(err))
		}
	})
}

func TestTargetsAreForgottenInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := pipeWorld(t, nil)
		w.SetFaults("out", sourcetest.Faults{Redirect: "f"})
		r := source.Request{URL: w.URL("out")}
		info, err := w.Stat(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []int{2, 3, 4, 6} { // requests so far; the last goes by way of /out again
			if i == 3 {
				time.Sleep(5 * time.Minute)
			}
			if i > 0 {
				body, err := w.Open(t.Context(), r, &darter.Span{Length: 1}, info)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadAll(body); err != nil {
					t.Fatal(err)
				}
				body.Close()
			}
			if n := len(w.Requests()); n != want {
				t.Errorf("step %d: %d requests so far, want %d", i, n, want)
			}
		}
	})
}
