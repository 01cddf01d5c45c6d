package mem

import (
	"hash/crc32"
	"slices"
	"sync"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// writer has a buffer of its own, so that hedged writers cannot touch each other.
type writer struct {
	t *task
	n uint32

	mu struct {
		sync.Mutex
		data []byte
		done bool
		lead bool   // this writer's bytes can be followed
		base []byte // what Resume found
	}
}

func (t *task) Writer(n uint32) (store.PieceWriter, error) {
	if n >= t.meta.Layout.Count() {
		return nil, fail(darter.Invalid, "write", t.meta.ID, "there is no piece %d among %d", n, t.meta.Layout.Count())
	}
	w := &writer{t: t, n: n}
	if err := w.refused(); err != nil {
		return nil, err
	}
	return w, nil
}

// refused tells why nothing can be written: the task is gone, or the piece is here.
func (w *writer) refused() error {
	w.t.mu.Lock()
	defer w.t.mu.Unlock()
	switch {
	case w.t.mu.removed:
		return fail(darter.NotFound, "write", w.t.meta.ID, "it was removed")
	case w.t.mu.set.Has(w.n):
		return fail(darter.Conflict, "write", w.t.meta.ID, "piece %d is held already", w.n)
	}
	return nil
}

func (w *writer) Write(p []byte) (int, error) {
	if err := w.refused(); err != nil {
		return 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.done {
		return 0, fail(darter.Invalid, "write", w.t.meta.ID, "the writer of piece %d was ended", w.n)
	}
	if err := w.stand(); err != nil {
		return 0, err
	}
	if length := w.t.meta.Layout.Span(w.n).Length; int64(len(w.mu.data)+len(p)) > length {
		return 0, fail(darter.Corrupt, "write", w.t.meta.ID, "piece %d is longer than its %d bytes", w.n, length)
	}
	w.mu.data = append(w.mu.data, p...)
	if w.mu.lead {
		w.t.arrived(w.n, w.mu.data)
	}
	return len(p), nil
}

// stand settles whether this writer's bytes are those that can be followed: the first that has any, or has more than the one
// before it left. One that resumed goes on only while what it goes on from is still there. The writer's lock is held.
func (w *writer) stand() error {
	if w.mu.lead {
		return nil
	}
	t := w.t
	t.mu.Lock()
	defer t.mu.Unlock()
	left, free := t.mu.left[w.n], t.mu.arrivals[w.n] == nil
	resumes := len(w.mu.base) > 0 && len(w.mu.data) == 0
	switch {
	case resumes && (!free || len(left) != len(w.mu.base) || &left[0] != &w.mu.base[0]):
		return fail(darter.Conflict, "write", t.meta.ID, "another writer goes on from what was left of piece %d", w.n)
	case resumes:
		w.mu.data = slices.Clip(w.mu.base)
	case !free || len(w.mu.data) < len(left):
		return nil
	}
	delete(t.mu.left, w.n)
	t.mu.arrivals[w.n] = &arrival{data: w.mu.data, base: len(w.mu.data)}
	w.mu.lead = true
	return nil
}

// take ends the writer and returns what was written.
func (w *writer) take() ([]byte, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	data, ok := w.mu.data, !w.mu.done
	w.mu.data, w.mu.done = nil, true
	return data, ok
}

func (w *writer) Abort() {
	if _, ok := w.take(); ok {
		w.gaveUp(nil)
	}
}

// Leave implements store.PieceWriter.
func (w *writer) Leave() {
	w.mu.Lock()
	if len(w.mu.data) > 0 && w.refused() == nil {
		_ = w.stand() // it may have more than anybody left
	}
	w.mu.Unlock()
	if data, ok := w.take(); ok {
		w.gaveUp(data)
	}
}

// Resume implements store.PieceWriter.
func (w *writer) Resume() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.mu.data) > 0 || w.mu.done {
		return 0
	}
	w.t.mu.Lock()
	defer w.t.mu.Unlock()
	w.mu.base = w.t.mu.left[w.n]
	return int64(len(w.mu.base))
}

func (w *writer) Commit(expected *uint32, p darter.Piece) (darter.Piece, error) {
	t, span := w.t, w.t.meta.Layout.Span(w.n)
	data, ok := w.take()
	if !ok {
		return darter.Piece{}, fail(darter.Invalid, "commit", t.meta.ID, "the writer of piece %d was ended", w.n)
	}
	defer w.gaveUp(nil)
	if rec, here := t.Piece(w.n); here {
		return rec, fail(darter.Conflict, "commit", t.meta.ID, "piece %d is held already", w.n)
	}
	if int64(len(data)) != span.Length {
		return darter.Piece{}, fail(darter.Corrupt, "commit", t.meta.ID, "piece %d has %d of %d bytes", w.n, len(data), span.Length)
	}
	sum := crc32.ChecksumIEEE(data)
	if expected != nil && *expected != sum {
		return darter.Piece{}, fail(darter.Corrupt, "commit", t.meta.ID, "piece %d has CRC-32 %d, not %d", w.n, sum, *expected)
	}
	rec := darter.Piece{Number: w.n, Offset: span.Offset, Length: span.Length, CRC: sum, HasCRC: true,
		Parent: p.Parent, Traffic: p.Traffic, Cost: p.Cost, Created: p.Created}
	return t.keep(rec, data)
}

// keep makes the piece held, unless another writer was first.
func (t *task) keep(rec darter.Piece, data []byte) (darter.Piece, error) {
	if !t.store.reserve(rec.Length) {
		return darter.Piece{}, fail(darter.NoSpace, "commit", t.meta.ID, "the store is full")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.removed || t.mu.set.Has(rec.Number) {
		defer t.store.reserve(-rec.Length)
		if t.mu.removed {
			return darter.Piece{}, fail(darter.NotFound, "commit", t.meta.ID, "it was removed")
		}
		return t.mu.pieces[rec.Number].piece, fail(darter.Conflict, "commit", t.meta.ID, "piece %d is held already", rec.Number)
	}
	t.mu.pieces[rec.Number] = held{rec, data}
	t.mu.set.Add(rec.Number)
	delete(t.mu.left, rec.Number)
	t.mu.bytes += rec.Length
	t.wake()
	return rec, nil
}
