package disk

import (
	"context"
	"errors"
	"io/fs"

	"github.com/darter-p2p/darter"
)

// Remove implements store.Store. The folder goes to the trash by one durable rename, so that a crash finds the
// task whole or not at all, and is emptied there; what is left of it goes at the next start.
func (s *Store) Remove(id darter.TaskID) error {
	release, err := s.claim("remove", id)
	if err != nil {
		return err
	}
	defer release()
	t, _ := s.find(id)
	if t == nil {
		return s.missing("remove", id)
	}
	trash := s.aside("trash", string(id))
	if err := s.files.Rename(t.dir, trash); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault(t.op("remove"), err)
	}
	s.mu.Lock()
	delete(s.mu.tasks, id)
	s.mu.Unlock()
	s.held.Add(-t.remove())
	s.handles.forget(t)
	if err := s.files.SyncDir(s.path("tasks", prefix(id))); err != nil {
		return fault(t.op("remove"), err)
	}
	if err := removeAll(s.files, trash); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fault(t.op("remove"), err)
	}
	return nil
}

// Close implements store.Store: it makes what is partial durable, so that the next start need not check it, and
// gives the folder back.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.mu.closed
	s.mu.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	var first error
	for _, t := range s.all() {
		if err := errors.Join(t.Sync(), t.checkpoint()); err != nil && first == nil && darter.KindOf(err) != darter.NotFound {
			first = err
		}
	}
	s.handles.close()
	if err := s.lock.Close(); err != nil && first == nil {
		first = fault("close store "+s.cfg.Dir, err)
	}
	return first
}

// Recheck checks the pieces that a crash made doubtful, task by task, so that List and the
// announcements based on it become complete before anyone asks for these tasks. It ends early with ctx.
func (s *Store) Recheck(ctx context.Context) error {
	var first error
	for _, t := range s.all() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := t.settle(); err != nil && first == nil && darter.KindOf(err) != darter.NotFound {
			first = err
		}
	}
	return first
}
