package disk

import (
	"container/list"
	"os"
	"path/filepath"
	"sync"
)

// which names one of a task's files in one mode.
type which uint8

const (
	dataRead which = iota
	dataWrite
	sidecarWrite
	kinds
)

func (w which) name() string {
	if w == sidecarWrite {
		return "sidecar"
	}
	return "data"
}

func (w which) flag() int {
	if w == dataRead {
		return os.O_RDONLY
	}
	return os.O_RDWR
}

// handles keeps files open that are in use, and a bounded number of those that were in use lately. The
// number of stored tasks therefore does not matter for the number of open files.
type handles struct {
	files files
	limit int // of idle files
	mu    struct {
		sync.Mutex
		open map[key]*handle
		idle *list.List // of *handle; front is the oldest
	}
}

type key struct {
	task *task
	file which
}

// handle is one open file, shared by those who use it.
type handle struct {
	file
	key  key
	refs int
	lost bool          // no longer in the table: close when the last user is done
	idle *list.Element // when refs is 0
}

func newHandles(fs files, limit int) *handles {
	h := &handles{files: fs, limit: limit}
	h.mu.open = map[key]*handle{}
	h.mu.idle = list.New()
	return h
}

// get returns the open file; give it back with put.
func (h *handles) get(t *task, w which) (*handle, error) {
	k := key{t, w}
	if x := h.take(k); x != nil {
		return x, nil
	}
	f, err := h.files.Open(filepath.Join(t.dir, w.name()), w.flag())
	if err != nil {
		return nil, err
	}
	return h.add(k, f), nil
}

func (h *handles) take(k key) *handle {
	h.mu.Lock()
	defer h.mu.Unlock()
	x := h.mu.open[k]
	if x == nil {
		return nil
	}
	x.refs++
	if x.idle != nil {
		h.mu.idle.Remove(x.idle)
		x.idle = nil
	}
	return x
}

// add enters a file that was just opened, unless another was faster.
func (h *handles) add(k key, f file) *handle {
	if x := h.take(k); x != nil {
		f.Close()
		return x
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	x := &handle{file: f, key: k, refs: 1}
	if h.mu.open[k] != nil {
		x.lost = true // two were equally fast; the later lives as long as its user
		return x
	}
	h.mu.open[k] = x
	return x
}

func (h *handles) put(x *handle) {
	h.mu.Lock()
	x.refs--
	var shut *handle
	if x.refs == 0 {
		if x.lost {
			shut = x
		} else {
			x.idle = h.mu.idle.PushBack(x)
			if h.mu.idle.Len() > h.limit {
				shut = h.mu.idle.Front().Value.(*handle)
				h.unlist(shut)
			}
		}
	}
	h.mu.Unlock()
	if shut != nil {
		shut.Close()
	}
}

// unlist runs with the lock held.
func (h *handles) unlist(x *handle) {
	delete(h.mu.open, x.key)
	x.lost = true
	if x.idle != nil {
		h.mu.idle.Remove(x.idle)
		x.idle = nil
	}
}

// forget closes a task's files, those in use when their users are done.
func (h *handles) forget(t *task) {
	var shut []*handle
	h.mu.Lock()
	for w := range kinds {
		if x := h.mu.open[key{t, w}]; x != nil {
			if x.refs == 0 {
				shut = append(shut, x)
			}
			h.unlist(x)
		}
	}
	h.mu.Unlock()
	for _, x := range shut {
		x.Close()
	}
}

// close closes all idle files.
func (h *handles) close() {
	h.mu.Lock()
	var shut []*handle
	for e := h.mu.idle.Front(); e != nil; e = h.mu.idle.Front() {
		x := e.Value.(*handle)
		h.unlist(x)
		shut = append(shut, x)
	}
	h.limit = 0
	h.mu.Unlock()
	for _, x := range shut {
		x.Close()
	}
}
