package sourcetest

import (
	"context"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/throttle"
)

// Origin is an HTTP server with contents, faults and counters. It is safe for concurrent use.
type Origin struct {
	base    string // scheme and host, without a slash; empty when only a handler
	caFile  string
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	sent    atomic.Int64
	limiter *throttle.Limiter
	buffers sync.Pool

	mu struct {
		sync.Mutex
		files map[string]*file
		seen  []*Seen
	}
}

// Seen is one request that arrived.
type Seen struct {
	Method, Path string
	Range        string      // the Range header
	Header       http.Header // all of the request's, and Host
	Status       int         // answered; 0 when none was
	Sent         int64       // body bytes so far
}

// New returns an origin without a server: for Handler, in a process of its own.
func New() *Origin {
	o := &Origin{limiter: throttle.New(0)}
	o.buffers.New = func() any { b := make([]byte, 256<<10); return &b }
	o.mu.files = map[string]*file{}
	return o
}

// Handler returns the origin as an http.Handler.
func (o *Origin) Handler() http.Handler { return http.HandlerFunc(o.serve) }

// URL returns where a path is served. Without a server it is the path.
func (o *Origin) URL(path string) string { return o.base + clean(path) }

// Host returns the server's host and port.
func (o *Origin) Host() string { _, host, _ := strings.Cut(o.base, "://"); return host }

// CAFile returns a file with the certificate of a TLS origin.
func (o *Origin) CAFile() string { return o.caFile }

// Dial connects to a pipe origin, whatever the address; nil for the others.
func (o *Origin) Dial() func(ctx context.Context, network, address string) (net.Conn, error) {
	return o.dial
}

// AddRandom serves size bytes that follow from the seed, and returns their URL.
func (o *Origin) AddRandom(path string, size int64, seed uint64) string {
	return o.add(path, random{size, seed})
}

// Put serves the bytes given, and returns their URL. What was there is replaced, with a new version.
func (o *Origin) Put(path string, bytes []byte) string {
	return o.add(path, fixed(slices.Clone(bytes)))
}

func (o *Origin) add(path string, c content) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := &file{content: c, generation: 1}
	if old := o.mu.files[clean(path)]; old != nil {
		f.generation, f.faults = old.generation+1, old.faults
	}
	o.mu.files[clean(path)] = f
	return o.URL(path)
}

// SetFaults sets how a path is served from now on; unknown paths get an empty content, so that a
// redirect needs none.
func (o *Origin) SetFaults(path string, faults Faults) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f := o.mu.files[clean(path)]
	if f == nil {
		f = &file{content: fixed(nil), generation: 1}
		o.mu.files[clean(path)] = f
	}
	f.faults, f.asked = faults, 0
	f.faults.Statuses = slices.Clone(faults.Statuses)
}

// SetRate limits the body bytes per second of all answers together; 0 is unlimited.
func (o *Origin) SetRate(rate darter.Size) { o.limiter.Set(rate) }

// SHA256 returns the digest of a path's content in hexadecimal; empty when there is none.
func (o *Origin) SHA256(path string) string {
	o.mu.Lock()
	f := o.mu.files[clean(path)]
	o.mu.Unlock()
	if f == nil {
		return ""
	}
	return digest(f.content)
}

// Content returns a copy of some bytes of a path: what a download must equal.
func (o *Origin) Content(path string, span darter.Span) []byte {
	o.mu.Lock()
	f := o.mu.files[clean(path)]
	o.mu.Unlock()
	if f == nil {
		return nil
	}
	out := make([]byte, max(0, min(span.Length, f.size()-span.Offset)))
	n, _ := f.ReadAt(out, span.Offset) // shorter only when the span begins past the end
	return out[:n]
}

// BodyBytes returns how many bytes of bodies were sent since the beginning or the last Reset.
func (o *Origin) BodyBytes() int64 { return o.sent.Load() }

// Requests returns what arrived since the beginning or the last Reset, in order.
func (o *Origin) Requests() []Seen {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := make([]Seen, len(o.mu.seen))
	for i, s := range o.mu.seen {
		out[i] = *s
	}
	return out
}

// Reset sets the counters to zero.
func (o *Origin) Reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.seen = nil
	o.sent.Store(0)
}

func clean(path string) string { return "/" + strings.TrimPrefix(path, "/") }
