package serve

import (
	"context"
	"errors"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// Store returns the shelf's store in a form that tells the shelf what appears in it. Whoever creates
// tasks must do it there.
func (s *Shelf) Store() store.Store { return watched{Store: s.cfg.Store, shelf: s} }

type watched struct {
	store.Store
	shelf *Shelf
}

// Create makes room for a task and wakes those who wait for it.
func (w watched) Create(m store.Meta) (store.Task, error) {
	t, err := w.Store.Create(m)
	if err == nil {
		w.shelf.settle(m.ID)
	}
	return t, err
}

// Remove deletes a task and forgets its counters.
func (w watched) Remove(id darter.TaskID) error {
	err := w.Store.Remove(id)
	if err == nil {
		w.shelf.mu.Lock()
		if u := w.shelf.mu.uploads[id]; u != nil {
			u.done = 0
			if u.running == 0 {
				delete(w.shelf.mu.uploads, id)
			}
		}
		w.shelf.mu.Unlock()
	}
	return err
}

// Await returns the task as soon as it is in the store. It is darter.NotFound when ctx ends before that
// or the download that would have made it failed, and darter.Unavailable when too many wait already.
func (s *Shelf) Await(ctx context.Context, id darter.TaskID) (store.Task, error) {
	t, err := s.cfg.Store.Open(id)
	if err == nil || darter.KindOf(err) != darter.NotFound {
		return t, err
	}
	settled, leave, refused := s.enter(id)
	if refused != nil {
		return nil, refused
	}
	defer leave()
	if t, err := s.cfg.Store.Open(id); err == nil { // it came between the first look and the entry
		return t, nil
	}
	select {
	case <-settled:
		return s.cfg.Store.Open(id)
	case <-ctx.Done():
		return nil, err
	}
}

// arrival is a task that somebody waits for.
type arrival struct {
	settled chan struct{} // closed when the task is there, or will not be
	waiting int
}

// enter counts one who waits for a task.
func (s *Shelf) enter(id darter.TaskID) (settled <-chan struct{}, leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.waiting >= s.cfg.MaxWaiting {
		return nil, nil, &darter.Error{Kind: darter.Unavailable, Op: "wait for task " + id.Short(), Err: errors.New("too many wait already")}
	}
	s.mu.waiting++
	a := s.mu.arrivals[id]
	if a == nil {
		a = &arrival{settled: make(chan struct{})}
		s.mu.arrivals[id] = a
	}
	a.waiting++
	return a.settled, func() { s.leave(id, a) }, nil
}

// leave discounts one who waited; the last one takes the arrival away, unless it is another by now.
func (s *Shelf) leave(id darter.TaskID, a *arrival) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.waiting--
	a.waiting--
	if a.waiting == 0 && s.mu.arrivals[id] == a {
		delete(s.mu.arrivals, id)
	}
}

// settle wakes those who wait for a task.
func (s *Shelf) settle(id darter.TaskID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.mu.arrivals[id]; a != nil {
		close(a.settled)
		delete(s.mu.arrivals, id)
	}
}

// Failed says that this host's download of a task failed: who counts on its pieces is told.
func (s *Shelf) Failed(id darter.TaskID, why error) {
	s.settle(id)
	s.mu.Lock()
	listeners := s.mu.failures[id]
	tell := make([]func(error), 0, len(listeners))
	for l := range listeners {
		tell = append(tell, *l)
	}
	s.mu.Unlock()
	for _, f := range tell {
		f(why)
	}
}

// OnFailure calls do, which must not block, whenever this host's download of a task fails, until stop
// is called.
func (s *Shelf) OnFailure(id darter.TaskID, do func(error)) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.failures[id] == nil {
		s.mu.failures[id] = map[*func(error)]struct{}{}
	}
	s.mu.failures[id][&do] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.mu.failures[id], &do)
		if len(s.mu.failures[id]) == 0 {
			delete(s.mu.failures, id)
		}
	}
}
