package fetch

import (
	"errors"
	"io"
	"os"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/source"
	"github.com/darter-p2p/darter/internal/store"
)

// spool reads a content of unknown length to its clean end into a temporary file, and then files it as a
// task. Nothing of it can be shared or streamed before its length is known.
func (d *download) spool(info source.Info) error {
	f, err := os.CreateTemp("", "darter-spool-*")
	if err != nil {
		return &darter.Error{Kind: darter.Unavailable, Op: "download " + d.e.cfg.Redact(d.want.URL, d.want.FilteredQuery), Err: err,
			Hint: "the content's length is unknown, so it needs room in the temporary folder (TMPDIR)"}
	}
	defer func() { _ = os.Remove(f.Name()) }()
	defer func() { _ = f.Close() }()
	if err := d.drain(info, f); err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	info.Length = size
	m := d.meta(info)
	t, err := d.e.cfg.Store.Create(m)
	if err != nil {
		return err
	}
	for n := range m.Layout.Count() {
		span := m.Layout.Span(n)
		if err := d.file(t, n, io.NewSectionReader(f, span.Offset, span.Length)); err != nil {
			return err
		}
	}
	d.task, d.info = t, info
	return nil
}

func (d *download) drain(info source.Info, f io.Writer) error {
	body, err := d.e.cfg.Source.Open(d.ctx, d.request(), nil, info)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	buf := getBuffer()
	defer putBuffer(buf)
	for {
		n, err := body.Read(*buf)
		if n > 0 {
			if perr := d.pace(d.ctx, n, true); perr != nil {
				return perr
			}
			if _, werr := f.Write((*buf)[:n]); werr != nil {
				return &darter.Error{Kind: darter.NoSpace, Op: "keep content of unknown length", Err: werr, Hint: "make room in the temporary folder (TMPDIR)"}
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
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
