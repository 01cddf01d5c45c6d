package disk

import (
	"sync"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// task is one content. It costs some hundred bytes plus 24 per piece while nobody uses it, and no open file.
type task struct {
	store   *Store
	meta    store.Meta
	dir     string
	records int64  // where the sidecar's records begin
	seed    uint32 // of their CRCs
	turn    turn   // one at a time: settle, Drop, Finish, Sync, checkpoint
	pen     turn   // one at a time: bytes into the data file. The kernel lets one in, too, but has the others spin for it

	mu struct {
		sync.Mutex
		ledger
		pending map[uint32]*contest // pieces that are being written
		left    map[uint32]leftover // bytes that writers left for others to go on from
		dirty   bool                // something was recorded after the last checkpoint
		unsaved bool                // complete, or its digest checked, but not yet durably so
		readNew bool                // read since it was last written down
		removed bool
		changed chan struct{} // made when someone asks
	}
}

func (s *Store) newTask(m store.Meta, records int64, seed uint32) *task {
	t := &task{store: s, meta: m, records: records, seed: seed, turn: newTurn(), pen: newTurn(),
		dir: s.path("tasks", prefix(m.ID), string(m.ID))}
	t.mu.layout = m.Layout
	t.mu.dirty = true
	return t
}

// Meta implements store.Task.
func (t *task) Meta() store.Meta { return t.meta }

// Info implements store.Task.
func (t *task) Info() store.Info {
	t.mu.Lock()
	defer t.mu.Unlock()
	return store.Info{Meta: t.meta, State: t.state(), Pieces: t.mu.have.Clone(), Held: t.mu.held,
		LastRead: t.mu.read, Finished: t.mu.finished}
}

// State implements store.Task.
func (t *task) State() store.State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state()
}

// state runs with the lock held.
func (t *task) state() store.State {
	if t.mu.complete {
		return store.Complete
	}
	return store.Partial
}

// Has implements store.Task.
func (t *task) Has(n uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.have.Has(n)
}

// Pieces implements store.Task.
func (t *task) Pieces() darter.PieceSet {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.have.Clone()
}

// Piece implements store.Task.
func (t *task) Piece(n uint32) (darter.Piece, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.mu.have.Has(n) {
		return darter.Piece{}, false
	}
	return t.mu.piece(n), true
}

// Removed implements store.Task.
func (t *task) Removed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.removed
}

// Changed implements store.Task.
func (t *task) Changed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.changed == nil {
		t.mu.changed = make(chan struct{})
		if t.mu.removed {
			close(t.mu.changed)
		}
	}
	return t.mu.changed
}

// wake runs with the lock held. A removed task's channel stays closed.
func (t *task) wake() {
	if t.mu.changed != nil && !t.mu.removed {
		close(t.mu.changed)
		t.mu.changed = nil
	}
}

// remove marks the task as removed and returns how many bytes it held.
func (t *task) remove() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wake()
	t.mu.removed = true
	for _, c := range t.mu.pending {
		if c.arrival != nil {
			c.arrival.signal()
		}
	}
	return t.mu.held
}

// touched notes that the content was read.
func (t *task) touched() {
	now := time.Now()
	t.mu.Lock()
	t.mu.read, t.mu.readNew = now, true
	t.mu.Unlock()
}

// use opens one of the task's files; give it back with handles.put. The check comes after opening, because the path
// may belong to a new task of the same id by then.
func (t *task) use(verb string, w which) (*handle, error) {
	h, err := t.store.handles.get(t, w)
	if err != nil {
		return nil, t.trouble(verb, err)
	}
	if t.Removed() {
		t.store.handles.forget(t)
		t.store.handles.put(h)
		return nil, t.gone(verb)
	}
	return h, nil
}

// write appends records to the sidecar. prepare makes them while the lock is held, so that the slots they
// get are in the order of what they say; the write itself needs no lock, because a slot has one owner.
func (t *task) write(verb string, prepare func(*ledger) []record, sync bool) error {
	h, err := t.use(verb, sidecarWrite)
	if err != nil {
		return err
	}
	defer t.store.handles.put(h)
	t.mu.Lock()
	records := prepare(&t.mu.ledger)
	slot := t.mu.next
	t.mu.next += int64(len(records))
	t.mu.Unlock()
	b := make([]byte, len(records)*recordLength)
	for i, r := range records {
		r.encode(b[i*recordLength:(i+1)*recordLength], t.seed, slot+int64(i))
	}
	if _, err := h.WriteAt(b, t.records+slot*recordLength); err != nil {
		return fault(t.op(verb), err)
	}
	if sync {
		return fault(t.op(verb), h.Sync())
	}
	return nil
}
