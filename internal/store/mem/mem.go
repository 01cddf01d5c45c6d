package mem

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// Config is how a Store in memory behaves.
type Config struct {
	Limit int64 // bytes of held pieces; a commit past it is darter.NoSpace; 0 means no limit
}

// DefaultConfig has no limit.
func DefaultConfig() Config { return Config{} }

// Validate refuses a negative limit.
func (c Config) Validate() error {
	if c.Limit < 0 {
		return &darter.Error{Kind: darter.Invalid, Op: "open store in memory", Err: fmt.Errorf("the limit %d is negative", c.Limit)}
	}
	return nil
}

// Store keeps content in memory.
type Store struct {
	cfg Config
	mu  struct {
		sync.Mutex
		closed bool
		tasks  map[darter.TaskID]*task
		held   int64
	}
}

var _ store.Store = (*Store)(nil)

// New returns an empty store.
func New(cfg Config) *Store {
	s := &Store{cfg: cfg}
	s.mu.tasks = map[darter.TaskID]*task{}
	return s
}

// Create implements store.Store.
func (s *Store) Create(m store.Meta) (store.Task, error) {
	if err := store.Check(m); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return nil, fail(darter.Unavailable, "create", m.ID, "the store is closed")
	}
	if t, ok := s.mu.tasks[m.ID]; ok {
		if t.meta.Layout != m.Layout || t.meta.Version != m.Version {
			return nil, fail(darter.Conflict, "create", m.ID, "another version of the content is stored")
		}
		return t, nil
	}
	m.Header = maps.Clone(m.Header)
	t := &task{store: s, meta: m}
	t.mu.pieces = map[uint32]held{}
	t.mu.arrivals = map[uint32]*arrival{}
	t.mu.left = map[uint32][]byte{}
	t.mu.checked = map[darter.Digest]bool{}
	s.mu.tasks[m.ID] = t
	return t, nil
}

// Open implements store.Store.
func (s *Store) Open(id darter.TaskID) (store.Task, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.mu.tasks[id]; ok && !s.mu.closed {
		return t, nil
	}
	return nil, fail(darter.NotFound, "open", id, "the store does not have it")
}

// List implements store.Store.
func (s *Store) List() []store.Info {
	s.mu.Lock()
	tasks := make([]*task, 0, len(s.mu.tasks))
	for _, t := range s.mu.tasks {
		tasks = append(tasks, t)
	}
	s.mu.Unlock()
	slices.SortFunc(tasks, func(a, b *task) int { return cmp.Compare(a.meta.ID, b.meta.ID) })
	out := make([]store.Info, len(tasks))
	for i, t := range tasks {
		out[i] = t.Info()
	}
	return out
}

// Remove implements store.Store.
func (s *Store) Remove(id darter.TaskID) error {
	s.mu.Lock()
	t, ok := s.mu.tasks[id]
	delete(s.mu.tasks, id)
	s.mu.Unlock()
	if !ok {
		return fail(darter.NotFound, "remove", id, "the store does not have it")
	}
	t.remove()
	return nil
}

// Usage implements store.Store.
func (s *Store) Usage() store.Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := int64(-1)
	if s.cfg.Limit > 0 {
		free = s.cfg.Limit - s.mu.held
	}
	return store.Usage{Tasks: len(s.mu.tasks), Held: s.mu.held, Free: free}
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.closed = true
	return nil
}

// reserve counts n bytes in, or out when negative.
func (s *Store) reserve(n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > 0 && s.cfg.Limit > 0 && s.mu.held+n > s.cfg.Limit {
		return false
	}
	s.mu.held += n
	return true
}

func fail(k darter.Kind, verb string, id darter.TaskID, format string, a ...any) error {
	return &darter.Error{Kind: k, Op: verb + " task " + id.Short(), Err: fmt.Errorf(format, a...)}
}

func now() time.Time { return time.Now() }
