package disk

import (
	"io"

	"github.com/darter-p2p/darter"
)

// stand settles whether the next bytes go into the piece's place. They do for the first writer that has any; for one
// that resumed, only while what it goes on from is still there; and for one that wrote beside a writer which has left since, as
// soon as it has more than that one. It runs in the contest's turn.
func (w *writer) stand() error {
	if w.direct && w.displaced != nil {
		return w.displaced
	}
	if err := w.t.refusesNow(w.n); err != nil || w.direct {
		return err
	}
	w.t.mu.Lock()
	left, free := w.t.mu.left[w.n], w.contest.direct == nil
	w.t.mu.Unlock()
	switch {
	case w.base.length > 0 && (!free || left != w.base):
		return w.t.fail(darter.Conflict, "write", "another writer goes on from what was left of piece %d", w.n)
	case w.base.length > 0:
		w.wrote, w.crc = w.base.length, w.base.crc
	case !free || w.wrote < left.length:
		return nil
	}
	h, err := w.t.use("write", dataWrite)
	if err != nil {
		return err
	}
	if w.aside != nil {
		if err := w.carry(h); err != nil {
			w.t.store.handles.put(h)
			return fault(w.t.op("write"), err)
		}
		w.discard()
	}
	w.data, w.direct = h, true
	w.t.mu.Lock()
	defer w.t.mu.Unlock()
	delete(w.t.mu.left, w.n)
	w.contest.direct, w.contest.arrival = w, &arrival{bytes: w.wrote, base: w.wrote}
	return nil
}

// carry copies what was written aside into the piece's place.
func (w *writer) carry(h *handle) error {
	b := w.t.store.buffer()
	defer w.t.store.recycle(b)
	to := io.NewOffsetWriter(h, w.span.Offset)
	from := io.NewSectionReader(w.aside, 0, w.wrote)
	n, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, *b)
	if err == nil && n != w.wrote {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// discard removes what was written aside.
func (w *writer) discard() {
	if w.aside != nil {
		w.aside.Close()
		_ = w.t.store.files.Remove(w.name) // what stays goes at the next start
		w.aside = nil
	}
}
