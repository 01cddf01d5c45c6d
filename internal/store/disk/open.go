package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// maxSidecar limits what is read of a sidecar: twice the records that the largest task can need.
const maxSidecar = maxMetaLength + 2*store.MaxPieces*recordLength

// Open takes the folder for this process and adopts what is in it. A folder that another process uses is a
// darter.Conflict. Tasks that cannot be used are put aside and told to cfg.Events; files that are
// not the store's are left alone.
func Open(cfg Config) (*Store, error) { return openOn(cfg, osFiles{}) }

func openOn(cfg Config, files files) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	began := time.Now()
	s := &Store{cfg: cfg, files: files, handles: newHandles(files, cfg.IdleFiles)}
	s.buffers.New = func() any { b := make([]byte, bufferLength); return &b }
	s.mu.tasks = map[darter.TaskID]*task{}
	s.mu.busy = map[darter.TaskID]chan struct{}{}
	s.mu.prefixes = map[string]bool{}
	if err := s.seize(); err != nil {
		return nil, err
	}
	if err := s.reconcile(); err != nil {
		s.lock.Close()
		return nil, fault("open store "+cfg.Dir, err)
	}
	sum := Adopted{Tasks: len(s.mu.tasks), Bytes: s.held.Load(), Took: time.Since(began)}
	for _, t := range s.mu.tasks {
		if t.mu.complete {
			sum.Complete++
		}
		if !t.mu.suspect.Empty() {
			sum.Suspect++
		}
	}
	cfg.Events.adopted(sum)
	return s, nil
}

// seize makes the folder and takes its lock.
func (s *Store) seize() error {
	op := "open store " + s.cfg.Dir
	if err := s.files.MkdirAll(s.cfg.Dir); err != nil {
		return fault(op, err)
	}
	lock, err := s.files.Lock(s.path("lock"))
	if errors.Is(err, errLocked) {
		return &darter.Error{Kind: darter.Conflict, Op: op, Err: err,
			Hint: "stop the other process, or give this one a folder of its own (--data-dir)"}
	}
	if err != nil {
		return fault(op, err)
	}
	s.lock = lock
	return nil
}

// reconcile empties the folders for leftovers, then reads every task's sidecar.
func (s *Store) reconcile() error {
	for _, folder := range []string{"tmp", "trash", "quarantine"} {
		if err := removeAll(s.files, s.path(folder)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := s.files.MkdirAll(s.path(folder)); err != nil {
			return err
		}
	}
	if err := s.files.MkdirAll(s.path("tasks")); err != nil {
		return err
	}
	prefixes, err := s.files.ReadDir(s.path("tasks"))
	if err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(2 * runtime.GOMAXPROCS(0)) // some read while others wait for the disk
	for _, p := range prefixes {
		if p.IsDir() && len(p.Name()) == 3 {
			s.mu.prefixes[p.Name()] = true // made durable below
			group.Go(func() error { return s.scan(p.Name()) })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, dir := range []string{s.path("tasks"), s.cfg.Dir} {
		if err := s.files.SyncDir(dir); err != nil {
			return err
		}
	}
	_ = s.files.SyncDir(filepath.Dir(s.cfg.Dir)) // it may belong to someone else
	return nil
}

// scan adopts the tasks of one prefix.
func (s *Store) scan(p string) error {
	entries, err := s.files.ReadDir(s.path("tasks", p))
	if err != nil {
		return err
	}
	for _, e := range entries {
		id := darter.TaskID(e.Name())
		if !e.IsDir() || !id.Valid() || prefix(id) != p {
			continue // not ours
		}
		t, reason, err := s.load(id)
		if t == nil {
			s.setAside(id, reason, err)
			continue
		}
		s.held.Add(t.mu.held)
		s.mu.Lock()
		s.mu.tasks[id] = t
		s.mu.Unlock()
	}
	return nil
}

// setAside moves a task that cannot be used into quarantine, unless it may be of use to another version.
func (s *Store) setAside(id darter.TaskID, reason Reason, err error) {
	if reason != NewerFormat && reason != Unreadable {
		dir := s.path("tasks", prefix(id), string(id))
		if rerr := s.files.Rename(dir, s.aside("quarantine", string(id))); rerr != nil {
			err = errors.Join(err, rerr)
		}
	}
	s.cfg.Events.quarantined(Quarantined{ID: id, Reason: reason, Err: err})
}

// load reads one task. When it cannot be used, the task is nil and the reason says why.
func (s *Store) load(id darter.TaskID) (*task, Reason, error) {
	dir := s.path("tasks", prefix(id), string(id))
	b, err := s.readSidecar(filepath.Join(dir, "sidecar"))
	switch {
	case errors.Is(err, fs.ErrNotExist) || err == nil && len(b) == 0:
		return nil, Unfinished, errHeader
	case errors.Is(err, errHeader):
		return nil, BadSidecar, err
	case err != nil:
		return nil, Unreadable, err
	}
	m, begin, seed, err := decodeHeader(b)
	switch {
	case errors.Is(err, errNewer):
		return nil, NewerFormat, err
	case err != nil:
		return nil, BadSidecar, err
	case m.ID != id:
		return nil, BadSidecar, errors.New("the sidecar names another task")
	}
	size, err := s.files.Size(filepath.Join(dir, "data"))
	switch {
	case err == nil && size != m.Layout.Length:
		return nil, BadData, fmt.Errorf("the data file has %d bytes, not %d", size, m.Layout.Length)
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid):
		return nil, BadData, err
	case err != nil:
		return nil, Unreadable, err
	}
	return s.adopt(m, b, begin, seed)
}

// adopt makes a task of a sidecar with a sound header.
func (s *Store) adopt(m store.Meta, b []byte, begin int, seed uint32) (*task, Reason, error) {
	t := s.newTask(m, int64(begin), seed)
	var records []byte
	if begin < len(b) {
		records = b[begin:]
	}
	bad := t.mu.fold(records, seed)
	if tail := int64(begin) + t.mu.next*recordLength; int64(len(b)) > tail {
		bad++
		if err := s.cut(filepath.Join(t.dir, "sidecar"), tail); err != nil {
			return nil, Unreadable, err
		}
	}
	if bad > 0 {
		s.cfg.Events.mended(Mended{ID: m.ID, Records: bad})
	}
	t.mu.dirty = !t.mu.suspect.Empty()
	return t, "", nil
}

func (s *Store) readSidecar(path string) ([]byte, error) {
	f, err := s.files.Open(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > maxSidecar {
		return nil, errHeader
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if n < len(b) && err != io.EOF {
		return nil, err
	}
	return b[:n], nil
}

// cut removes a torn tail, so that it cannot lie between records that are written later.
func (s *Store) cut(path string, size int64) error {
	f, err := s.files.Open(path, os.O_RDWR)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Truncate(size)
}
