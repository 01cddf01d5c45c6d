package disk

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// bufferLength is what is read or copied at once.
const bufferLength = 1 << 20

// Store keeps content in a folder. Make one with Open.
type Store struct {
	cfg     Config
	files   files
	lock    io.Closer
	handles *handles
	buffers sync.Pool    // of *[]byte, bufferLength long
	held    atomic.Int64 // bytes of all held pieces
	unique  atomic.Int64 // for names in tmp, trash and quarantine

	mu struct {
		sync.Mutex
		closed   bool
		tasks    map[darter.TaskID]*task
		busy     map[darter.TaskID]chan struct{} // being created or removed; closed when done
		prefixes map[string]bool                 // folders below tasks that are there; true: durably
	}
}

var _ store.Store = (*Store)(nil)

func (s *Store) path(parts ...string) string {
	return filepath.Join(append([]string{s.cfg.Dir}, parts...)...)
}

// aside returns a new name in one of the folders that are emptied at start.
func (s *Store) aside(folder, name string) string {
	return s.path(folder, name+"-"+strconv.FormatInt(s.unique.Add(1), 10))
}

func (s *Store) buffer() *[]byte     { return s.buffers.Get().(*[]byte) }
func (s *Store) recycle(b *[]byte)   { s.buffers.Put(b) }
func prefix(id darter.TaskID) string { return string(id[:3]) }

// claim makes the caller the only one to create or remove the task, and returns how to end that.
func (s *Store) claim(verb string, id darter.TaskID) (release func(), err error) {
	for {
		s.mu.Lock()
		if s.mu.closed {
			s.mu.Unlock()
			return nil, errClosed(verb, id)
		}
		wait, busy := s.mu.busy[id]
		if !busy {
			done := make(chan struct{})
			s.mu.busy[id] = done
			s.mu.Unlock()
			return func() {
				s.mu.Lock()
				delete(s.mu.busy, id)
				s.mu.Unlock()
				close(done)
			}, nil
		}
		s.mu.Unlock()
		<-wait
	}
}

func errClosed(verb string, id darter.TaskID) error {
	return &darter.Error{Kind: darter.Unavailable, Op: verb + " task " + id.Short(), Err: errors.New("the store is closed")}
}

func (s *Store) find(id darter.TaskID) (t *task, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.tasks[id], s.mu.closed
}

// Create implements store.Store.
func (s *Store) Create(m store.Meta) (store.Task, error) {
	if err := store.Check(m); err != nil {
		return nil, err
	}
	release, err := s.claim("create", m.ID)
	if err != nil {
		return nil, err
	}
	defer release()
	if t, _ := s.find(m.ID); t != nil {
		if t.meta.Layout != m.Layout || t.meta.Version != m.Version {
			return nil, t.fail(darter.Conflict, "create", "another version of the content is stored")
		}
		if err := t.settle(); err != nil {
			return nil, err
		}
		return t, nil
	}
	m.Header = maps.Clone(m.Header)
	t, err := s.make(m)
	if err != nil {
		return nil, fault("create task "+m.ID.Short(), err)
	}
	s.mu.Lock()
	s.mu.tasks[m.ID] = t
	s.mu.Unlock()
	return t, nil
}

// make makes the folder of a task and the two files in it. None of this is durable before Sync or Close.
func (s *Store) make(m store.Meta) (*task, error) {
	header, err := encodeHeader(m)
	if err != nil {
		return nil, err
	}
	if err := s.makePrefix(prefix(m.ID)); err != nil {
		return nil, err
	}
	t := s.newTask(m, int64(len(header)), headerSeed(header))
	err = s.fill(t, header)
	if errors.Is(err, fs.ErrExist) {
		// Left where it was when the store was opened: a later format, or unreadable. It is in the way now.
		s.handles.forget(t)
		if err := s.files.Rename(t.dir, s.aside("quarantine", string(m.ID))); err != nil {
			return nil, err
		}
		err = s.fill(t, header)
	}
	if err != nil {
		s.handles.forget(t)
		_ = removeAll(s.files, t.dir) // what stays is put aside at the next start
		return nil, err
	}
	return t, nil
}

// fill makes the task's folder and files. The files stay open for the writers to come.
func (s *Store) fill(t *task, header []byte) error {
	if err := s.files.MkdirAll(t.dir); err != nil {
		return err
	}
	err := s.newFile(t, dataWrite, func(f file) error { return f.Truncate(t.meta.Layout.Length) })
	if err != nil {
		return err
	}
	return s.newFile(t, sidecarWrite, func(f file) error {
		_, err := f.WriteAt(header, 0)
		return err
	})
}

func (s *Store) newFile(t *task, w which, fill func(file) error) error {
	f, err := s.files.Open(filepath.Join(t.dir, w.name()), os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	h := s.handles.add(key{t, w}, f)
	defer s.handles.put(h)
	return fill(f)
}

// makePrefix makes the folder that a task's folder lies in.
func (s *Store) makePrefix(p string) error {
	s.mu.Lock()
	_, known := s.mu.prefixes[p]
	s.mu.Unlock()
	if known {
		return nil
	}
	if err := s.files.MkdirAll(s.path("tasks", p)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.mu.prefixes[p]; !known {
		s.mu.prefixes[p] = false
	}
	return nil
}

// savePrefix makes the name of that folder durable: once per prefix.
func (s *Store) savePrefix(p string) error {
	s.mu.Lock()
	durable := s.mu.prefixes[p]
	s.mu.Unlock()
	if durable {
		return nil
	}
	if err := s.files.SyncDir(s.path("tasks")); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.prefixes[p] = true
	return nil
}

// Open implements store.Store.
func (s *Store) Open(id darter.TaskID) (store.Task, error) {
	t, closed := s.find(id)
	switch {
	case closed:
		return nil, errClosed("open", id)
	case t == nil:
		return nil, s.missing("open", id)
	}
	if err := t.settle(); err != nil {
		return nil, err
	}
	return t, nil
}

func (s *Store) missing(verb string, id darter.TaskID) error {
	return &darter.Error{Kind: darter.NotFound, Op: verb + " task " + id.Short(), Err: errors.New("the store does not have it")}
}

// all returns every task, ordered by id.
func (s *Store) all() []*task {
	s.mu.Lock()
	tasks := make([]*task, 0, len(s.mu.tasks))
	for _, t := range s.mu.tasks {
		tasks = append(tasks, t)
	}
	s.mu.Unlock()
	slices.SortFunc(tasks, func(a, b *task) int { return cmp.Compare(a.meta.ID, b.meta.ID) })
	return tasks
}

// List implements store.Store. Pieces that are still to be checked after a crash are not in it.
func (s *Store) List() []store.Info {
	tasks := s.all()
	out := make([]store.Info, len(tasks))
	for i, t := range tasks {
		out[i] = t.Info()
	}
	return out
}

// Usage implements store.Store.
func (s *Store) Usage() store.Usage {
	free, err := s.files.Free(s.cfg.Dir)
	if err != nil {
		free = -1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return store.Usage{Tasks: len(s.mu.tasks), Held: s.held.Load(), Free: free}
}
