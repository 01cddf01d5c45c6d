package fetch

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/source"
	"github.com/darter-p2p/darter/internal/store"
)

// prepare finds the task in the store, or asks the source about it and makes its place.
func (d *download) prepare() error {
	t, err := d.e.cfg.Store.Open(d.id)
	switch {
	case err == nil && t.State() == store.Complete:
		d.adopt(t)
		return nil
	case err == nil:
		return d.resume(t)
	case darter.KindOf(err) != darter.NotFound:
		return err
	}
	info, err := d.stat()
	if err != nil {
		if info, err = d.withoutSource(err); err != nil {
			return err
		}
	}
	return d.create(info)
}

// withoutSource lets peers serve a content whose source does not answer: the scheduler knows its length. A
// request with headers of its own gets the source's error, because who may have the content, and which, is the
// source's word.
func (d *download) withoutSource(cause error) (source.Info, error) {
	s := d.e.cfg.Scheduler
	if s == nil || refused(cause) || len(d.request().Header) > 0 {
		return source.Info{}, cause
	}
	length, err := s.Length(d.ctx, d.id)
	if err != nil {
		return source.Info{}, cause
	}
	if f := d.e.cfg.Events.Fallback; f != nil {
		f(d.id, NoSource)
	}
	return source.Info{Length: length, Ranges: true}, nil
}

// adopt takes what the store has.
func (d *download) adopt(t store.Task) {
	m := t.Meta()
	d.task = t
	d.info = source.Info{Length: m.Layout.Length, Ranges: true, Version: m.Version, Header: m.Header}
}

// resume goes on with a partial task if the source still has the same content. A source that cannot be
// asked does not stop it: neighbours may have the rest.
func (d *download) resume(t store.Task) error {
	info, err := d.stat()
	if err != nil {
		if refused(err) {
			return err
		}
		d.adopt(t)
		return nil
	}
	m := t.Meta()
	if info.Length == m.Layout.Length && (info.Version == "" || info.Version == m.Version) {
		d.adopt(t)
		d.info.Ranges = info.Ranges
		return nil
	}
	if err := d.e.cfg.Store.Remove(d.id); err != nil && darter.KindOf(err) != darter.NotFound {
		return err
	}
	return d.create(info)
}

// refused reports whether the source said no to this request, as opposed to not answering.
func refused(err error) bool {
	if e, ok := errors.AsType[*source.Error](err); ok {
		return e.Status < 500 && e.Status != 429 && e.Status != 408
	}
	k := darter.KindOf(err)
	return k == darter.Denied || k == darter.Invalid
}

// request is what the source is asked with. A Range header is this host's business: the pieces it needs are
// asked for one by one.
func (d *download) request() source.Request {
	header := maps.Clone(d.want.Header)
	maps.DeleteFunc(header, func(k, _ string) bool { return strings.EqualFold(k, "Range") })
	return source.Request{URL: d.want.URL, Header: header}
}

func (d *download) stat() (source.Info, error) {
	begun := now()
	info, err := d.e.cfg.Source.Stat(d.ctx, d.request())
	if f := d.e.cfg.Events.Source; f != nil {
		f(d.want.URL, now().Sub(begun), err)
	}
	return info, err
}

// create makes the task's place. A content whose length the source does not say is read to its end first.
func (d *download) create(info source.Info) error {
	if info.Length < 0 {
		return d.spool(info)
	}
	m := d.meta(info)
	d.greet(m.Layout)
	t, err := d.e.cfg.Store.Create(m)
	if err != nil {
		return err
	}
	d.task, d.info = t, info
	return nil
}

// greet opens the conversation with the scheduler while the task's place is being made: of a small content, that is a
// good part of the time.
func (d *download) greet(layout darter.Layout) {
	if d.e.cfg.Scheduler == nil {
		return
	}
	first := Session{want: d.want}
	first.resolve(layout.Length)
	d.greeted = true
	d.converse(d.peer, first.want, layout, darter.PieceSet{})
}

func (d *download) meta(info source.Info) store.Meta {
	return store.Meta{
		ID: d.id, URL: d.e.cfg.Redact(d.want.URL, d.want.FilteredQuery),
		Layout: darter.LayoutOf(info.Length, d.want.PieceLength), Version: info.Version, Header: info.Header,
		Digest: "", Tag: d.want.Tag, Application: d.want.Application, Created: now(),
	}
}

// begun tells that a download started, once its task is known, and counts what was here.
func (d *download) begun() {
	set, _ := d.wanted()
	var here int64
	for n := range set.Intersect(d.task.Pieces()).All() {
		here += d.task.Meta().Layout.Span(n).Length
	}
	d.mu.Lock()
	d.mu.bytes[darter.FromCache] += here
	d.mu.Unlock()
	call(d.e.cfg.Events.Started, Begun{Task: d.id, Peer: d.peer, URL: d.task.Meta().URL, Want: d.want, Held: d.task.Pieces().Len()})
}

// within bounds a farewell by a time of its own, because the download's context may be over.
func (d *download) within(limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(d.ctx), limit)
}
