package mem

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// held is one piece: its record, and bytes that nobody changes any more.
type held struct {
	piece darter.Piece
	data  []byte
}

type task struct {
	store *Store
	meta  store.Meta

	mu struct {
		sync.Mutex
		pieces   map[uint32]held
		set      darter.PieceSet
		arrivals map[uint32]*arrival
		left     map[uint32][]byte // what writers left for others to go on from
		bytes    int64
		state    store.State
		checked  map[darter.Digest]bool // digests that matched
		read     time.Time
		finished time.Time
		removed  bool
		changed  chan struct{} // made when someone asks
	}
}

func (t *task) Meta() store.Meta { return t.meta }

func (t *task) Info() store.Info {
	t.mu.Lock()
	defer t.mu.Unlock()
	return store.Info{Meta: t.meta, State: t.mu.state, Pieces: t.mu.set.Clone(), Held: t.mu.bytes,
		LastRead: t.mu.read, Finished: t.mu.finished}
}

func (t *task) State() store.State {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.state
}

func (t *task) Has(n uint32) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.set.Has(n)
}

func (t *task) Pieces() darter.PieceSet {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.set.Clone()
}

func (t *task) Piece(n uint32) (darter.Piece, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h, ok := t.mu.pieces[n]
	return h.piece, ok
}

func (t *task) Removed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.removed
}

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

// wake runs with the lock held.
func (t *task) wake() {
	if t.mu.changed != nil {
		close(t.mu.changed)
		t.mu.changed = nil
	}
}

func (t *task) remove() {
	t.mu.Lock()
	t.mu.removed = true
	freed := t.mu.bytes
	for _, a := range t.mu.arrivals {
		a.signal()
	}
	t.wake()
	t.mu.Unlock()
	t.store.reserve(-freed)
}

func (t *task) get(n uint32) (held, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.removed {
		return held{}, false
	}
	h, ok := t.mu.pieces[n]
	if ok {
		t.mu.read = now()
	}
	return h, ok
}

func (t *task) OpenPiece(n uint32) (store.PieceReader, error) {
	h, ok := t.get(n)
	if !ok {
		return store.PieceReader{}, fail(darter.NotFound, "read", t.meta.ID, "piece %d is not held", n)
	}
	r := bytes.NewReader(h.data)
	return store.PieceReader{Piece: h.piece, Body: r, Closer: io.NopCloser(r)}, nil
}

func (t *task) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fail(darter.Invalid, "read", t.meta.ID, "the offset %d is negative", off)
	}
	done := 0
	for done < len(p) {
		at := off + int64(done)
		if at >= t.meta.Layout.Length {
			return done, io.EOF
		}
		h, ok := t.get(t.meta.Layout.At(at))
		if !ok {
			return done, fail(darter.NotFound, "read", t.meta.ID, "piece %d is not held", t.meta.Layout.At(at))
		}
		done += copy(p[done:], h.data[at-h.piece.Offset:])
	}
	return done, nil
}

func (t *task) missing() darter.PieceSet {
	return t.meta.Layout.Covering(nil).Minus(t.Pieces())
}

func (t *task) Finish(d darter.Digest) error {
	if t.Removed() {
		return fail(darter.NotFound, "finish", t.meta.ID, "it was removed")
	}
	if m := t.missing(); !m.Empty() {
		return fail(darter.NotFound, "finish", t.meta.ID, "pieces %s are missing", m)
	}
	if d == "" {
		d = t.meta.Digest
	}
	t.mu.Lock()
	known := d == "" || t.mu.checked[d]
	t.mu.Unlock()
	if !known {
		got, err := store.Sum(d, io.NewSectionReader(t, 0, t.meta.Layout.Length))
		if err != nil {
			return err
		}
		if got != d {
			return fail(darter.Corrupt, "finish", t.meta.ID, "the content is %s, not %s", got, d)
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.checked[d] = true
	if t.mu.state != store.Complete {
		t.mu.state, t.mu.finished = store.Complete, now()
		t.wake()
	}
	return nil
}

// Sync has nothing to do: memory outlives no crash.
func (t *task) Sync() error {
	if t.Removed() {
		return fail(darter.NotFound, "save", t.meta.ID, "it was removed")
	}
	return nil
}

func (t *task) Drop(set darter.PieceSet) error {
	t.mu.Lock()
	if t.mu.removed {
		t.mu.Unlock()
		return fail(darter.NotFound, "drop pieces of", t.meta.ID, "it was removed")
	}
	var freed int64
	for n := range set.Intersect(t.mu.set).All() {
		freed += t.mu.pieces[n].piece.Length
		delete(t.mu.pieces, n)
		t.mu.set.Remove(n)
	}
	if freed > 0 {
		t.mu.bytes -= freed
		t.mu.state, t.mu.finished = store.Partial, time.Time{}
		clear(t.mu.checked)
		t.wake()
	}
	t.mu.Unlock()
	t.store.reserve(-freed)
	return nil
}

func (t *task) Link(string) error {
	return &darter.Error{Kind: darter.Unavailable, Op: "link task " + t.meta.ID.Short(),
		Err: fmt.Errorf("a store in memory has no file to link"), Hint: "copy instead"}
}

func (t *task) CopyTo(path string) error {
	if t.State() != store.Complete || t.Removed() {
		return fail(darter.Conflict, "copy", t.meta.ID, "it is not complete")
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		kind := darter.Unavailable
		if os.IsExist(err) {
			kind = darter.Conflict
		}
		return fail(kind, "copy", t.meta.ID, "%w", err)
	}
	_, err = io.Copy(f, io.NewSectionReader(t, 0, t.meta.Layout.Length))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(path)
	}
	return err
}
