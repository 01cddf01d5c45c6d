package disk

import (
	"hash/crc32"
	"io"
	"os"
	"sync"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// flushFrom is the shortest piece whose writing out is begun at once.
const flushFrom = 1 << 20

// contest is the set of writers of one piece that is not held yet. One of them at a time writes straight into the
// data file, the first that has bytes; the others write beside it, and the first to commit takes the place over.
type contest struct {
	turn    turn     // for writing into the piece's place, and for committing
	direct  *writer  // whoever writes into the place; set in the turn, guarded by the task's lock
	arrival *arrival // of the direct writer; likewise
	writers int      // guarded by the task's lock
}

// writer implements store.PieceWriter. Its methods may be called from several goroutines, one waiting for the
// other, so that a download can be aborted from outside.
type writer struct {
	t       *task
	n       uint32
	span    darter.Span
	contest *contest

	turn   turn     // guards what follows
	direct bool     // writes into the piece's place
	base   leftover // what Resume found
	data   *handle  // of a direct writer, from the first write on
	aside  file     // of any other
	name   string   // of aside
	wrote  int64
	crc    uint32
	ended  bool

	displaced error // guarded by the contest's turn: why a direct writer may not write any more
}

// Writer implements store.Task.
func (t *task) Writer(n uint32) (store.PieceWriter, error) {
	if n >= t.meta.Layout.Count() {
		return nil, t.fail(darter.Invalid, "write", "there is no piece %d among %d", n, t.meta.Layout.Count())
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.refuses(n); err != nil {
		return nil, err
	}
	c := t.mu.pending[n]
	if c == nil {
		c = &contest{turn: newTurn()}
		if t.mu.pending == nil {
			t.mu.pending = map[uint32]*contest{}
		}
		t.mu.pending[n] = c
	}
	c.writers++
	return &writer{t: t, n: n, span: t.meta.Layout.Span(n), contest: c, turn: newTurn()}, nil
}

// refuses tells why piece n cannot be written. It runs with the lock held.
func (t *task) refuses(n uint32) error {
	switch {
	case t.mu.removed:
		return t.gone("write")
	case t.mu.have.Has(n):
		return t.fail(darter.Conflict, "write", "piece %d is held already", n)
	}
	return nil
}

func (t *task) refusesNow(n uint32) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.refuses(n)
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	w.turn.take()
	defer w.turn.give()
	if w.ended {
		return 0, w.t.fail(darter.Invalid, "write", "the writer of piece %d was ended", w.n)
	}
	w.contest.turn.take()
	release := sync.OnceFunc(w.contest.turn.give)
	defer release()
	if err := w.stand(); err != nil {
		return 0, err
	}
	if !w.direct {
		release()
	}
	if w.wrote+int64(len(p)) > w.span.Length {
		return 0, w.t.fail(darter.Corrupt, "write", "piece %d is longer than its %d bytes", w.n, w.span.Length)
	}
	to, off, err := w.place()
	if err != nil {
		return 0, err
	}
	if w.direct {
		w.t.pen.take()
	}
	n, err := to.WriteAt(p, off)
	if w.direct {
		w.t.pen.give()
	}
	w.crc = crc32.Update(w.crc, crc32.IEEETable, p[:n])
	w.wrote += int64(n)
	if w.direct {
		w.t.arrived(w)
	}
	return n, fault(w.t.op("write"), err)
}

// place returns where the next bytes go. A file beside the piece's place is made at the first write.
func (w *writer) place() (io.WriterAt, int64, error) {
	if w.direct {
		return w.data, w.span.Offset + w.wrote, nil
	}
	if w.aside == nil {
		w.name = w.t.store.aside("tmp", string(w.t.meta.ID))
		f, err := w.t.store.files.Open(w.name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
		if err != nil {
			return nil, 0, fault(w.t.op("write"), err)
		}
		w.aside = f
	}
	return w.aside, w.wrote, nil
}

// Abort implements store.PieceWriter.
func (w *writer) Abort() {
	w.turn.take()
	defer w.turn.give()
	w.end(false)
}

// Leave implements store.PieceWriter.
func (w *writer) Leave() {
	w.turn.take()
	defer w.turn.give()
	w.contest.turn.take()
	defer w.contest.turn.give()
	if w.aside != nil && !w.ended {
		_ = w.stand() // it may have more than anybody left; if that fails, it leaves nothing
	}
	w.end(w.displaced == nil)
}

// end gives back what the writer uses, and keeps its bytes for another if keep. It runs in the writer's turn.
func (w *writer) end(keep bool) {
	if w.ended {
		return
	}
	w.ended = true
	if w.data != nil {
		w.t.store.handles.put(w.data)
	}
	w.discard()
	w.t.mu.Lock()
	defer w.t.mu.Unlock()
	c := w.contest
	if c.direct == w {
		if keep && w.wrote > 0 && w.wrote < w.span.Length && !w.t.mu.have.Has(w.n) {
			w.t.keep(w.n, leftover{length: w.wrote, crc: w.crc})
		}
		if c.arrival.end(keep) {
			w.t.wake()
		}
		c.direct, c.arrival = nil, nil
	}
	if c.writers--; c.writers == 0 {
		delete(w.t.mu.pending, w.n)
	}
}

// Commit implements store.PieceWriter.
func (w *writer) Commit(expected *uint32, p darter.Piece) (darter.Piece, error) {
	w.turn.take()
	defer w.turn.give()
	if w.ended {
		return darter.Piece{}, w.t.fail(darter.Invalid, "commit", "the writer of piece %d was ended", w.n)
	}
	defer w.end(false)
	w.contest.turn.take()
	defer w.contest.turn.give()
	if rec, held := w.t.Piece(w.n); held {
		return rec, w.t.fail(darter.Conflict, "commit", "piece %d is held already", w.n)
	}
	switch {
	case w.displaced != nil:
		return darter.Piece{}, w.displaced
	case w.wrote != w.span.Length:
		return darter.Piece{}, w.t.fail(darter.Corrupt, "commit", "piece %d has %d of %d bytes", w.n, w.wrote, w.span.Length)
	case expected != nil && *expected != w.crc:
		return darter.Piece{}, w.t.fail(darter.Corrupt, "commit", "piece %d has CRC-32 %d, not %d", w.n, w.crc, *expected)
	}
	if !w.direct {
		if err := w.takeOver(); err != nil {
			return darter.Piece{}, err
		}
	}
	rec, err := w.t.record(w.n, w.crc, p)
	if err == nil && w.data != nil && w.span.Length >= flushFrom {
		// Begun now, the writing is mostly done when Finish has to wait for it: 1 GiB then takes 10 ms to
		// finish instead of 430.
		w.data.Flush(w.span.Offset, w.span.Length)
	}
	return rec, err
}

// takeOver puts the bytes that were written aside into the piece's place. Whoever was writing there may not do so any
// more, also when this fails half-way. It runs in the contest's turn.
func (w *writer) takeOver() error {
	w.t.mu.Lock()
	direct := w.contest.direct
	delete(w.t.mu.left, w.n)
	w.t.mu.Unlock()
	if direct != nil {
		direct.displaced = w.t.fail(darter.Conflict, "write", "another writer of piece %d took over", w.n)
	}
	h, err := w.t.use("commit", dataWrite)
	if err != nil {
		return err
	}
	defer w.t.store.handles.put(h)
	return fault(w.t.op("commit"), w.carry(h))
}

// record writes down that piece n is held, and tells those who wait for it.
func (t *task) record(n, crc uint32, p darter.Piece) (darter.Piece, error) {
	e := entry{created: nanos(p.Created), cost: p.Cost, crc: crc, traffic: p.Traffic}
	span := t.meta.Layout.Span(n)
	err := t.write("commit", func(l *ledger) []record {
		parent, texts := l.intern(string(p.Parent))
		e.parent = parent
		return append(texts, record{kind: kindPiece, detail: uint8(p.Traffic), text: parent, number: n,
			length: uint32(span.Length), crc: crc, cost: p.Cost, at: p.Created})
	}, false)
	if err != nil {
		return darter.Piece{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.removed {
		return darter.Piece{}, t.gone("commit")
	}
	t.mu.put(n, e, true)
	delete(t.mu.left, n)
	t.mu.dirty = true
	t.store.held.Add(span.Length)
	t.wake()
	return t.mu.piece(n), nil
}
