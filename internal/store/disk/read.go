package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// OpenPiece implements store.Task. Every reader has a file of its own, so that it may be copied to a
// connection with sendfile, and keeps its bytes when the task is removed.
func (t *task) OpenPiece(n uint32) (store.PieceReader, error) {
	f, err := t.store.files.Open(filepath.Join(t.dir, "data"), os.O_RDONLY)
	if err != nil {
		return store.PieceReader{}, t.trouble("read", err)
	}
	// Checked after opening: before, the path might have come to belong to a new task of this id.
	rec, held := t.Piece(n)
	switch {
	case t.Removed():
		err = t.gone("read")
	case !held:
		err = t.fail(darter.NotFound, "read", "piece %d is not held", n)
	}
	var body io.Reader
	if err == nil {
		body, err = f.Stream(rec.Offset)
	}
	if err != nil {
		f.Close()
		return store.PieceReader{}, fault(t.op("read"), err)
	}
	t.touched()
	return store.PieceReader{Piece: rec, Body: &io.LimitedReader{R: body, N: rec.Length}, Closer: f}, nil
}

// ReadAt implements store.Task.
func (t *task) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, t.fail(darter.Invalid, "read", "the offset %d is negative", off)
	}
	limit, stop := t.readable(off, int64(len(p)))
	if limit == 0 {
		return 0, stop
	}
	h, err := t.use("read", dataRead)
	if err != nil {
		return 0, err
	}
	defer t.store.handles.put(h)
	n, err := h.ReadAt(p[:limit], off)
	if err != nil {
		return n, fault(t.op("read"), err)
	}
	t.touched()
	return n, stop
}

// readable returns how many of the length bytes at off can be read, and what stands after them.
func (t *task) readable(off, length int64) (int64, error) {
	l := t.meta.Layout
	var stop error
	if off >= l.Length {
		return 0, io.EOF
	}
	if length > l.Length-off {
		length, stop = l.Length-off, io.EOF
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.removed {
		return 0, t.gone("read")
	}
	for at := off; at < off+length; {
		n := l.At(at)
		if !t.mu.have.Has(n) {
			return at - off, t.fail(darter.NotFound, "read", "piece %d is not held", n)
		}
		at = l.Span(n).End()
	}
	return length, stop
}

// Link implements store.Task.
func (t *task) Link(path string) error {
	if t.State() != store.Complete || t.Removed() {
		return t.incomplete("link")
	}
	err := t.store.files.Link(filepath.Join(t.dir, "data"), path)
	if err != nil {
		return t.target("link", path, err)
	}
	t.touched()
	return nil
}

// CopyTo implements store.Task.
func (t *task) CopyTo(path string) error {
	if t.State() != store.Complete || t.Removed() {
		return t.incomplete("copy")
	}
	from, err := t.store.files.Open(filepath.Join(t.dir, "data"), os.O_RDONLY)
	if err != nil {
		return t.trouble("copy", err)
	}
	defer from.Close()
	to, err := t.store.files.Open(path, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return t.target("copy", path, err)
	}
	err = to.CopyFrom(from)
	if size, serr := to.Size(); err == nil && (serr != nil || size != t.meta.Layout.Length) {
		err = io.ErrShortWrite
	}
	if cerr := to.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = t.store.files.Remove(path)
		return fault(t.op("copy"), err)
	}
	t.touched()
	return nil
}

func (t *task) incomplete(verb string) error {
	if t.Removed() {
		return t.gone(verb)
	}
	return t.fail(darter.Conflict, verb, "it is not complete")
}

// target explains an error about a path that is the caller's.
func (t *task) target(verb, path string, err error) error {
	op := verb + " task " + t.meta.ID.Short() + " to " + path
	e, ok := errors.AsType[*darter.Error](fault(op, err))
	if !ok {
		return err
	}
	switch {
	case errors.Is(err, fs.ErrExist):
		e.Kind, e.Hint = darter.Conflict, "remove the file, or ask to overwrite it"
	case errors.Is(err, fs.ErrNotExist):
		e.Kind, e.Hint = darter.Invalid, "make the folder of the target first"
	case verb == "link" && crossing(err):
		e.Hint = "the target is on another file system, or the file system knows no hard links: copy instead"
	}
	return e
}
