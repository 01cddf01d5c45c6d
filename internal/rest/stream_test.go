package rest_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"github.com/darter-p2p/darter/internal/rest"
)

// tape is a feed of numbered events that grows; it remembers only the last ones.
type tape struct {
	grown chan struct{}

	mu     sync.Mutex
	events []rest.Event
	first  int // number of the oldest that it still knows
	end    bool
}

func (p *tape) feed(ctx context.Context, after string) ([]rest.Event, error) {
	n, _ := strconv.Atoi(after)
	for {
		if events, err := p.next(n); events != nil || err != nil {
			return events, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-p.grown:
		}
	}
}

func (p *tape) next(n int) ([]rest.Event, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case n+1 < p.first:
		return []rest.Event{{ID: strconv.Itoa(p.first - 1), Name: rest.Gap}}, nil
	case len(p.events) > n:
		return p.events[n:], nil
	case p.end:
		return nil, io.EOF
	}
	return nil, nil
}

func (p *tape) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *tape) add(data any) {
	p.change(func() {
		p.events = append(p.events, rest.Event{ID: strconv.Itoa(len(p.events) + 1), Name: "step", Data: data})
	})
	p.grown <- struct{}{}
}

func stream(t *testing.T, change func(*rest.Config), test func(t *testing.T, r *rig, p *tape, open func(headers ...string) (*http.Response, *bufio.Reader, context.CancelFunc))) {
	synctest.Test(t, func(t *testing.T) {
		p := &tape{grown: make(chan struct{})}
		r := build(t, change)
		rest.Stream(r.API, rest.Operation{Path: "/v1/tape:watch", ID: "watch-tape", Tag: "tape", Access: rest.Need("tape.read")}, func(context.Context, *struct{ rest.Following }) (rest.Feed, error) {
			return p.feed, nil
		})
		l := bufconn.Listen(1 << 10)
		server := &http.Server{Handler: r.Handler(), ReadHeaderTimeout: time.Minute}
		done := make(chan error, 1)
		go func() { done <- server.Serve(l) }()
		client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return l.DialContext(ctx) }}}
		test(t, r, p, func(headers ...string) (*http.Response, *bufio.Reader, context.CancelFunc) {
			ctx, cancel := context.WithCancel(t.Context())
			q, err := http.NewRequestWithContext(ctx, "GET", "http://x/v1/tape:watch", nil)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(headers); i += 2 {
				q.Header.Set(headers[i], headers[i+1])
			}
			a, err := client.Do(q)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { cancel(); _ = a.Body.Close() })
			return a, bufio.NewReader(a.Body), cancel
		})
		client.CloseIdleConnections()
		_ = server.Close()
		<-done
	})
}

// message reads up to the next empty line.
func message(t *testing.T, b *bufio.Reader) string {
	t.Helper()
	var out strings.Builder
	for {
		line, err := b.ReadString('\n')
		if err != nil {
			return out.String() + "<" + err.Error() + ">"
		}
		if line == "\n" {
			return out.String()
		}
		out.WriteString(line)
	}
}

func TestStreamsSayWhatHappensAndThatTheyLive(t *testing.T) {
	stream(t, nil, func(t *testing.T, r *rig, p *tape, open func(...string) (*http.Response, *bufio.Reader, context.CancelFunc)) {
		a, b, cancel := open()
		if a.Header.Get("Content-Type") != "text/event-stream" || message(t, b) != ": hello\n" {
			t.Errorf("%v", a.Header)
		}
		begin := time.Now()
		if m := message(t, b); m != ": alive\n" || time.Since(begin) != 15*time.Second {
			t.Errorf("%q after %v", m, time.Since(begin))
		}
		p.add(map[string]string{"a": "line\nbreak"})
		if m := message(t, b); m != "id: 1\nevent: step\ndata: {\"a\":\"line\\nbreak\"}\n" {
			t.Errorf("%q", m)
		}
		cancel()
		_, again, _ := open("Last-Event-ID", "1")
		message(t, again)
		p.add(2)
		if m := message(t, again); m != "id: 2\nevent: step\ndata: 2\n" {
			t.Errorf("after coming back: %q", m)
		}
		p.change(func() { p.first, p.events = 9, append(p.events, make([]rest.Event, 6)...) })
		_, late, _ := open("Last-Event-ID", "1")
		message(t, late)
		if m := message(t, late); m != "id: 8\nevent: gap\ndata: null\n" {
			t.Errorf("what is lost: %q", m)
		}
		if failed := r.failures(); len(failed) > 0 {
			t.Errorf("%v", failed)
		}
	})
}

func TestStreamsEnd(t *testing.T) {
	stopping := make(chan struct{})
	stream(t, func(c *rest.Config) { c.Stopping, c.Streams = stopping, 1 }, func(t *testing.T, r *rig, p *tape, open func(...string) (*http.Response, *bufio.Reader, context.CancelFunc)) {
		_, b, cancel := open("Accept", "application/x-ndjson")
		p.add("x")
		if line, err := b.ReadString('\n'); err != nil || line != `{"id":"1","event":"step","data":"x"}`+"\n" {
			t.Errorf("%q, %v", line, err)
		}
		if second, _, _ := open(); second.StatusCode != 429 || second.Header.Get("Retry-After") == "" {
			t.Errorf("one too many: %d", second.StatusCode)
		}
		cancel()
		synctest.Wait()
		_, b, _ = open("Last-Event-ID", "1")
		message(t, b)
		p.change(func() { p.end = true })
		p.grown <- struct{}{}
		if m := message(t, b); m != "<EOF>" {
			t.Errorf("after the last event: %q", m)
		}
		p.change(func() { p.end = false })
		_, b, _ = open("Last-Event-ID", "1")
		message(t, b)
		close(stopping)
		if m := message(t, b); m != "<EOF>" {
			t.Errorf("when the process ends: %q", m)
		}
		if failed := r.failures(); len(failed) > 0 {
			t.Errorf("%v", failed)
		}
	})
}

func TestAFeedThatFailsIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := build(t, nil)
		broken := errors.New("broken")
		rest.Stream(r.API, rest.Operation{Path: "/v1/x:watch", ID: "watch-x", Tag: "x", Access: rest.Need("x.read")}, func(context.Context, *struct{ rest.Following }) (rest.Feed, error) {
			return func(context.Context, string) ([]rest.Event, error) { return nil, broken }, nil
		})
		a := r.ask(t, "GET", "/v1/x:watch", "")
		if a.StatusCode != 200 || len(r.failed) != 1 || !errors.Is(r.failed[0], broken) {
			t.Errorf("%d, %v", a.StatusCode, r.failed)
		}
	})
}
