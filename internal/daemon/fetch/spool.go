package fetch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/source"
	"github.com/darter-p2p/darter/internal/store"
)

// lookEvery is how many bytes of a content of unknown length are read between two looks at the free space.
const lookEvery = 8 << 20

// spool reads a content of unknown length to its clean end into a temporary file, and then files it as a
// task. Nothing of it can be shared or streamed before its length is known, and nothing of it is kept when it does not end well.
func (d *download) spool(info source.Info) error {
	f, err := os.CreateTemp(d.e.cfg.Spool, ".darter-spool-*")
	if err != nil {
		return d.unkept(err)
	}
	defer func() { _ = f.Close() }()
	if err := os.Remove(f.Name()); err != nil { // it lives as long as it is open, however this process ends
		return d.unkept(err)
	}
	if info.Length, err = d.drain(info, f); err != nil {
		return err
	}
	m := d.meta(info)
	t, err := d.e.cfg.Store.Create(m)
	if err != nil {
		return err
	}
	for n := range m.Layout.Count() {
		span := m.Layout.Span(n)
		if err := d.file(t, n, io.NewSectionReader(f, span.Offset, span.Length)); err != nil {
			_ = d.e.cfg.Store.Remove(d.id) // without ranges nobody can complete it
			return err
		}
	}
	d.task, d.info = t, info
	return nil
}

// drain reads the whole content into f, and returns its length. It ends early when nobody waits any more, when the content
// passes the limit, and when there would be no room to file what came.
func (d *download) drain(info source.Info, f io.Writer) (int64, error) {
	body, err := d.e.cfg.Source.Open(d.ctx, d.request(), nil, info)
	if err != nil {
		return 0, err
	}
	defer func() { _ = body.Close() }()
	buf := getBuffer()
	defer putBuffer(buf)
	for size, looked := int64(0), int64(0); ; {
		n, err := body.Read(*buf)
		if size += int64(n); n > 0 {
			if perr := d.pace(d.ctx, n, true); perr != nil {
				return 0, perr
			}
			look := size-looked >= lookEvery
			if look {
				looked = size
			}
			if rerr := d.roomFor(size, look); rerr != nil {
				return 0, rerr
			}
			if _, werr := f.Write((*buf)[:n]); werr != nil {
				return 0, d.unkept(werr)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return size, nil
		case err != nil:
			return 0, err
		case d.deserted():
			return 0, d.abandonedError()
		}
	}
}

// roomFor checks that size bytes may be kept and, when it is to look at the disk, that as many again are free: the store gets a
// copy.
func (d *download) roomFor(size int64, look bool) error {
	if limit := d.e.cfg.MaxUnknown; limit > 0 && size > int64(limit) {
		return d.tooLong(fmt.Errorf("the source does not say how long the content is, and it is longer than %v", limit),
			"raise daemon.max_unknown_length, or have the source send a Content-Length")
	}
	if !look {
		return nil
	}
	if free := d.e.cfg.Store.Usage().Free; free >= 0 && free < size {
		return d.tooLong(fmt.Errorf("the source does not say how long the content is; %v came, and only %v are free to keep it", darter.Size(size), darter.Size(free)),
			"free some room on the disk, or have the source send a Content-Length")
	}
	return nil
}

func (d *download) tooLong(err error, hint string) error {
	return &darter.Error{Kind: darter.NoSpace, Op: "download " + d.e.cfg.Redact(d.want.URL, d.want.FilteredQuery), Err: err, Hint: hint}
}

// unkept explains why the temporary file could not take the content.
func (d *download) unkept(err error) error {
	e := &darter.Error{Kind: darter.Unavailable, Op: "keep content of unknown length of " + d.e.cfg.Redact(d.want.URL, d.want.FilteredQuery), Err: err,
		Hint: "check the owner and mode of the data folder, and whether its file system is read-only"}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		e.Kind, e.Hint = darter.NoSpace, "free some room on the disk or raise the quota, or move the data folder"
	}
	return e
}

// file writes one piece from r into the task.
func (d *download) file(t store.Task, n uint32, r io.Reader) error {
	w, err := t.Writer(n)
	if err != nil {
		if darter.KindOf(err) == darter.Conflict {
			return nil // it is here
		}
		return err
	}
	defer w.Abort()
	if _, err := io.Copy(onlyWriter{w}, r); err != nil {
		return err
	}
	p, err := w.Commit(nil, darter.Piece{Traffic: darter.FromSource, Created: now()})
	if err != nil && darter.KindOf(err) != darter.Conflict {
		return err
	}
	d.count(p)
	return nil
}

// onlyWriter hides other methods from io.Copy.
type onlyWriter struct{ io.Writer }
