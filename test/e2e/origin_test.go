package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/darter-p2p/darter/test/e2e/rig"
)

// originChunk is how much an origin writes at once. It is small so that little lies in socket
// buffers when a client dies: the counter then says what clients could have read.
const originChunk = 32 << 10

// Origin is an HTTP server in the test's own process: what it counts is outside the system under
// test.
type Origin struct {
	URL    string
	addr   string
	netns  string
	server *http.Server
	limit  *rate.Limiter

	mu struct {
		sync.Mutex
		paths map[string]*Page
	}
}

// Page is one path of an origin, and what happened to it.
type Page struct {
	content io.ReaderAt
	size    int64
	sha256  string
	handler http.HandlerFunc // instead of the content
	needs   string           // required Authorization header
	noRange bool             // answers 200 with everything, whatever Range says
	mu      struct {
		sync.Mutex
		changed  *sync.Cond // with mu; signalled when anything below changes
		etag     string
		sent     int64 // body bytes written, over all requests but probes
		probed   int64 // body bytes of probes: requests for the first byte, which ask for the length
		requests int
		bodies   map[int]bool // requests that write a body now, by number
		hold     int64
		held     bool // a writer waits at hold
		auth     []string
	}
}

// NewOrigin starts an origin on loopback. bytesPerSecond limits all its bodies together; 0 is no
// limit.
func NewOrigin(t *testing.T, bytesPerSecond int) *Origin {
	t.Helper()
	return newOriginAt(t, bytesPerSecond, place{})
}

func newOriginAt(t *testing.T, bytesPerSecond int, at place) *Origin {
	t.Helper()
	o := &Origin{netns: at.netns}
	if bytesPerSecond > 0 {
		o.limit = rate.NewLimiter(rate.Limit(bytesPerSecond), 4*originChunk)
	}
	o.mu.paths = map[string]*Page{}
	o.listen(t, at.address()+":0")
	t.Cleanup(o.Stop)
	return o
}

func (o *Origin) listen(t *testing.T, addr string) {
	t.Helper()
	var l net.Listener
	if err := rig.Within(o.netns, func() (err error) { l, err = net.Listen("tcp", addr); return err }); err != nil {
		t.Fatal(err)
	}
	o.addr = l.Addr().String()
	o.URL = "http://" + o.addr
	o.server = &http.Server{Handler: o, ReadHeaderTimeout: 10 * time.Second,
		ConnState: func(c net.Conn, s http.ConnState) {
			if tcp, ok := c.(*net.TCPConn); ok && s == http.StateNew {
				_ = tcp.SetWriteBuffer(2 * originChunk)
			}
		}}
	go func(s *http.Server) { _ = s.Serve(l) }(o.server)
}

// Stop takes the origin off the network, connections included.
func (o *Origin) Stop() {
	_ = o.server.Close()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range o.mu.paths {
		p.Release()
	}
}

// Start brings a stopped origin back at the same address.
func (o *Origin) Start(t *testing.T) { t.Helper(); o.listen(t, o.addr) }

// Add serves the content under the path.
func (o *Origin) Add(path string, c Content) *Page {
	p := newPage()
	p.content, p.size, p.sha256 = c.Reader, c.Size, c.SHA256
	p.mu.etag = `"` + c.SHA256[:16] + `"`
	return o.put(path, p)
}

// AddHandler serves the path by hand.
func (o *Origin) AddHandler(path string, h http.HandlerFunc) *Page {
	p := newPage()
	p.handler = h
	return o.put(path, p)
}

func newPage() *Page {
	p := &Page{}
	p.mu.changed = sync.NewCond(&p.mu)
	p.mu.hold = -1
	p.mu.bodies = map[int]bool{}
	return p
}

func (o *Origin) put(path string, p *Page) *Page {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.paths[path] = p
	return p
}

// ServeHTTP answers a request.
func (o *Origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	p := o.mu.paths[r.URL.Path]
	o.mu.Unlock()
	if p == nil {
		http.NotFound(w, r)
		return
	}
	number := 0
	p.note(func() {
		p.mu.requests++
		number = p.mu.requests
		if a := r.Header.Get("Authorization"); a != "" {
			p.mu.auth = append(p.mu.auth, a)
		}
	})
	counted := &countedWriter{ResponseWriter: w, ctx: r.Context(), origin: o, page: p, probe: r.Header.Get("Range") == "bytes=0-0"}
	switch {
	case p.needs != "" && r.Header.Get("Authorization") != p.needs:
		http.Error(w, "who are you?", http.StatusUnauthorized)
	case p.handler != nil:
		p.handler(counted, r)
	default:
		p.note(func() { p.mu.bodies[number] = true })
		defer p.note(func() { delete(p.mu.bodies, number) })
		if p.noRange {
			r.Header.Del("Range")
		}
		w.Header().Set("Etag", p.ETag())
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(counted, r, "", time.Unix(1_700_000_000, 0), io.NewSectionReader(p.content, 0, p.size))
	}
}

// countedWriter writes bodies in small chunks, held back, throttled and counted. It hides the
// ReadFrom of net/http on purpose: sendfile would pass by the counter.
type countedWriter struct {
	http.ResponseWriter
	ctx    context.Context
	origin *Origin
	page   *Page
	probe  bool
}

func (w *countedWriter) Write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		chunk := b[done:min(done+originChunk, len(b))]
		if !w.probe {
			if err := w.page.pass(w.ctx); err != nil {
				return done, err
			}
		}
		if w.origin.limit != nil {
			if err := w.origin.limit.WaitN(w.ctx, len(chunk)); err != nil {
				return done, err
			}
		}
		n, err := w.ResponseWriter.Write(chunk)
		done += n
		w.page.note(func() {
			if w.probe {
				w.page.mu.probed += int64(n)
			} else {
				w.page.mu.sent += int64(n)
			}
		})
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

func (w *countedWriter) Flush() { w.ResponseWriter.(http.Flusher).Flush() }

// note changes what is known of the page and wakes who waits for it.
func (p *Page) note(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.mu.changed.Broadcast()
}

// pass waits while the page holds its bytes back.
func (p *Page) pass(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { p.note(func() {}) })
	defer stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.mu.hold >= 0 && p.mu.sent >= p.mu.hold && ctx.Err() == nil {
		p.mu.held = true
		p.mu.changed.Broadcast()
		p.mu.changed.Wait()
	}
	return ctx.Err()
}

// HoldAt keeps back everything beyond n bytes until Release.
func (p *Page) HoldAt(n int64) { p.note(func() { p.mu.hold = n }) }

// Release ends a hold.
func (p *Page) Release() { p.note(func() { p.mu.hold, p.mu.held = -1, false }) }

// WaitHeld waits until the page has sent what HoldAt allows.
func (p *Page) WaitHeld(t *testing.T, ctx context.Context) {
	t.Helper()
	p.wait(t, ctx, "the origin to reach its hold", func() bool { return p.mu.held })
}

// WaitIdle waits until nobody reads the page.
func (p *Page) WaitIdle(t *testing.T, ctx context.Context) {
	t.Helper()
	p.wait(t, ctx, "the origin's readers to leave", func() bool { return len(p.mu.bodies) == 0 })
}

// AfterReadersLeft does what ends the present readers and waits until the origin has seen them go:
// it would else write into connections that are dead already, and count that.
func (p *Page) AfterReadersLeft(t *testing.T, ctx context.Context, end func()) {
	t.Helper()
	p.mu.Lock()
	present := maps.Clone(p.mu.bodies)
	p.mu.Unlock()
	end()
	p.wait(t, ctx, "the origin's present readers to leave", func() bool {
		for number := range present {
			if p.mu.bodies[number] {
				return false
			}
		}
		return true
	})
}

func (p *Page) wait(t *testing.T, ctx context.Context, what string, ok func() bool) {
	t.Helper()
	stop := context.AfterFunc(ctx, func() { p.note(func() {}) })
	defer stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !ok() {
		if ctx.Err() != nil {
			t.Fatalf("waited in vain for %s: sent %d of %d in %d requests", what, p.mu.sent, p.size, p.mu.requests)
		}
		p.mu.changed.Wait()
	}
}

// Sent returns how many body bytes were written so far, without probes.
func (p *Page) Sent() int64 { p.mu.Lock(); defer p.mu.Unlock(); return p.mu.sent }

// Probed returns how many body bytes probes had so far. A content of one byte looks like a probe.
func (p *Page) Probed() int64 { p.mu.Lock(); defer p.mu.Unlock(); return p.mu.probed }

// Requests returns how many requests came so far.
func (p *Page) Requests() int { p.mu.Lock(); defer p.mu.Unlock(); return p.mu.requests }

// Authorizations returns the Authorization headers seen.
func (p *Page) Authorizations() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.mu.auth...)
}

// ETag returns the current entity tag.
func (p *Page) ETag() string { p.mu.Lock(); defer p.mu.Unlock(); return p.mu.etag }

// SetETag makes it look as if the content had changed.
func (p *Page) SetETag(tag string) { p.note(func() { p.mu.etag = tag }) }

func TestOriginCountsHoldsAndServesRanges(t *testing.T) {
	o := NewOrigin(t, 0)
	c := Random(t, 1<<20, 1)
	p := o.Add("/f", c)

	got := httpGet(t, o.URL+"/f", "bytes=1000-1999")
	if len(got) != 1000 || p.Sent() != 1000 {
		t.Fatalf("a range of 1000 gave %d bytes, counted %d", len(got), p.Sent())
	}

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	p.HoldAt(500_000)
	whole := make(chan []byte, 1)
	go func() { whole <- httpGet(t, o.URL+"/f", "") }()
	p.WaitHeld(t, ctx)
	if sent := p.Sent(); sent < 500_000 || sent > 500_000+originChunk {
		t.Errorf("held at %d, want 500000", sent)
	}
	p.Release()
	if b := <-whole; int64(len(b)) != c.Size {
		t.Errorf("got %d bytes of %d", len(b), c.Size)
	}
	p.WaitIdle(t, ctx)

	o.Stop()
	if _, err := http.Get(o.URL + "/f"); err == nil {
		t.Error("a stopped origin answered")
	}
	o.Start(t)
	if b := httpGet(t, o.URL+"/f", ""); int64(len(b)) != c.Size {
		t.Errorf("a restarted origin gave %d bytes", len(b))
	}
}

// httpGet fetches plainly, without Darter.
func httpGet(t *testing.T, url, byteRange string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Error(err)
		return nil
	}
	if byteRange != "" {
		req.Header.Set("Range", byteRange)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	return b
}

// fail answers with a status and a short body.
func fail(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, fmt.Sprintf("%d on purpose %s", status, strings.Repeat(".", 20)), status)
	}
}
