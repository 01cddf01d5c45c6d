package serve

import (
	"context"
	"errors"
	"sync"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
	"github.com/darter-p2p/darter/internal/vortex"
)

// Shelf is what this host holds, as others see it. Make it with New.
type Shelf struct {
	cfg    Config
	server *vortex.Server

	mu struct {
		sync.Mutex
		draining bool
		waiting  int                                         // callers in Await
		arrivals map[darter.TaskID]*arrival                  // what they wait for
		failures map[darter.TaskID]map[*func(error)]struct{} // whom to tell
		uploads  map[darter.TaskID]*uploads
	}
}

// uploads counts the bodies of one task.
type uploads struct{ running, done uint64 }

// New returns a shelf; Run makes it serve.
func New(cfg Config) (*Shelf, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Shelf{cfg: cfg}
	s.mu.arrivals = map[darter.TaskID]*arrival{}
	s.mu.failures = map[darter.TaskID]map[*func(error)]struct{}{}
	s.mu.uploads = map[darter.TaskID]*uploads{}
	transport := cfg.Transport
	transport.Pieces = pieces{s}
	sent := transport.Events.PieceSent
	transport.Events.PieceSent = func(p vortex.PieceSent) {
		s.sent(p.Task)
		if sent != nil {
			sent(p)
		}
	}
	server, err := vortex.NewServer(transport)
	s.server = server
	return s, err
}

// Run serves pieces until ctx ends, then lets running bodies finish within the transport's drain limit.
func (s *Shelf) Run(ctx context.Context) error { return s.server.Run(ctx) }

// Drain refuses new requests from now on, so that children look elsewhere while running bodies finish.
func (s *Shelf) Drain() {
	s.mu.Lock()
	s.mu.draining = true
	s.mu.Unlock()
	s.server.Drain()
}

// pieces is the shelf as the piece server sees it.
type pieces struct{ s *Shelf }

// Follow opens a piece that is here or arriving.
func (p pieces) Follow(task darter.TaskID, n uint32) (vortex.Arrival, error) {
	s := p.s
	t, err := s.cfg.Store.Open(task)
	if err != nil {
		return vortex.Arrival{}, err
	}
	if !s.begin(task) {
		return vortex.Arrival{}, &darter.Error{Kind: darter.Unavailable, Op: "serve a piece", Err: errors.New("this host is shutting down")}
	}
	f, err := t.Follow(n)
	if err != nil {
		s.end(task)
		return vortex.Arrival{}, err
	}
	return vortex.Arrival{Span: t.Meta().Layout.Span(n), Following: &following{Follower: f, end: sync.OnceFunc(func() { s.end(task) })}}, nil
}

// following counts the end of an upload.
type following struct {
	store.Follower
	end func()
}

func (f *following) Close() error {
	f.end()
	return f.Follower.Close()
}

// Open opens a piece for sending.
func (p pieces) Open(task darter.TaskID, n uint32) (vortex.Content, error) {
	s := p.s
	t, err := s.cfg.Store.Open(task)
	if err != nil {
		return vortex.Content{}, err
	}
	if !s.begin(task) {
		return vortex.Content{}, &darter.Error{Kind: darter.Unavailable, Op: "serve a piece", Err: errors.New("this host is shutting down")}
	}
	r, err := t.OpenPiece(n)
	if err != nil {
		s.end(task)
		return vortex.Content{}, err
	}
	content := vortex.Content(r)
	content.Closer = &closer{close: r.Close, end: sync.OnceFunc(func() { s.end(task) })}
	return content, nil
}

// closer counts the end of an upload. Only the Closer is wrapped: the Body stays what the kernel can send.
type closer struct {
	close func() error
	end   func()
}

func (c *closer) Close() error {
	c.end()
	return c.close()
}

func (s *Shelf) begin(task darter.TaskID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.draining {
		return false
	}
	s.counter(task).running++
	return true
}

func (s *Shelf) end(task darter.TaskID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.counter(task)
	u.running--
	if u.running == 0 && u.done == 0 {
		delete(s.mu.uploads, task)
	}
}

func (s *Shelf) sent(task darter.TaskID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counter(task).done++ // the body is still open, so the counter is there
}

// counter returns a task's counter. The lock is held.
func (s *Shelf) counter(task darter.TaskID) *uploads {
	u := s.mu.uploads[task]
	if u == nil {
		u = &uploads{}
		s.mu.uploads[task] = u
	}
	return u
}

// Uploads returns how many pieces of a task are being sent now, and how many were sent whole since this
// process started.
func (s *Shelf) Uploads(task darter.TaskID) (running, done uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.mu.uploads[task]; u != nil {
		return u.running, u.done
	}
	return 0, 0
}

// Find returns a task that is here, else darter.NotFound.
func (s *Shelf) Find(id darter.TaskID) (store.Task, error) { return s.cfg.Store.Open(id) }

// Remove deletes a task that is here, else darter.NotFound.
func (s *Shelf) Remove(id darter.TaskID) error { return s.Store().Remove(id) }
