package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/daemon/fetch/pick"
	"github.com/darter-p2p/darter/internal/source"
	"github.com/darter-p2p/darter/internal/store"
)

// asking is one ask in flight.
type asking struct {
	ask      pick.Ask
	cancel   context.CancelFunc
	received atomic.Int64
	seen     int64 // of it, at the last look
	stalled  bool  // cancelled because nothing came
	dropped  bool  // cancelled because it is not needed
	pieces   int   // committed
}

// storeError marks a failure of this host's store: no parent and no source can mend it.
type storeError struct{ error }

func (e storeError) Unwrap() error { return e.error }

func (l *loop) start(a pick.Ask) {
	d := l.d
	ctx, cancel := context.WithCancel(d.ctx)
	k := &asking{ask: a, cancel: cancel}
	l.asks[a.ID] = k
	if a.Source() {
		d.spawn(func() {
			defer cancel()
			err := d.fromSource(ctx, k)
			d.post(func(l *loop) { l.sourceEnded(k, err) })
		})
		return
	}
	l.links[a.From].vigil.owe(now())
	link := *l.links[a.From]
	d.spawn(func() {
		defer cancel()
		p, err := d.fromParent(ctx, k, link)
		d.post(func(l *loop) { l.parentEnded(k, p, err) })
	})
}

func (l *loop) cancel(c pick.Cancel) {
	k := l.asks[c.Ask.ID]
	if k == nil || k.stalled || k.dropped {
		return
	}
	k.stalled, k.dropped = c.Stall, !c.Stall
	k.cancel()
}

// fromParent brings one piece from a neighbour.
func (d *download) fromParent(ctx context.Context, k *asking, to link) (darter.Piece, error) {
	n, from := k.ask.Piece, to.from
	span := d.task.Meta().Layout.Span(n)
	w, err := d.task.Writer(n)
	if err != nil {
		return darter.Piece{}, storeError{err}
	}
	defer w.Abort()
	begun := now()
	in := &intake{PieceWriter: w, most: d.portion, pace: func(n int) error { return d.pace(ctx, n, false) },
		alive: func(n int64) { k.received.Store(max(k.received.Load(), n)) }}
	p, err := d.receive(ctx, k, to, span, in)
	if in.failed != nil {
		return darter.Piece{}, storeError{in.failed}
	}
	if err != nil {
		return darter.Piece{}, err
	}
	if p.Number != n || p.Offset != span.Offset || p.Length != span.Length {
		return darter.Piece{}, &darter.Error{Kind: darter.Corrupt, Op: fmt.Sprintf("fetch piece %d of %s from %s", n, d.id.Short(), from),
			Err: fmt.Errorf("the parent sent piece %d at %d, %d bytes", p.Number, p.Offset, p.Length)}
	}
	var expected *uint32
	if p.HasCRC {
		expected = &p.CRC
	}
	p, err = w.Commit(expected, darter.Piece{Parent: k.ask.From, Traffic: darter.FromPeer, Cost: now().Sub(begun), Created: begun})
	if err != nil && darter.KindOf(err) != darter.Corrupt {
		return p, storeError{err}
	}
	return p, err
}

// receive asks for the piece in the way that fits: as it comes from a parent that is still receiving it, and from
// where an earlier ask broke off; else whole.
func (d *download) receive(ctx context.Context, k *asking, to link, span darter.Span, w *intake) (darter.Piece, error) {
	n, offset := k.ask.Piece, int64(0)
	if to.relays {
		offset = w.Resume()
	}
	if offset == 0 && !k.ask.Relay && (!k.ask.Sole || !to.relays) {
		return d.e.cfg.Neighbours.Fetch(ctx, d.id, n, to.from, span, w, k.received.Store)
	}
	p, err := d.e.cfg.Neighbours.Relay(ctx, d.id, n, to.from, span, offset, k.ask.Sole, w, k.received.Store)
	if kind := darter.KindOf(err); err != nil && w.failed == nil && kind != darter.Corrupt && kind != darter.Conflict {
		w.Leave()
	}
	return p, err
}

// intake paces the bytes of a piece and remembers whether it was the store that failed.
type intake struct {
	store.PieceWriter
	most   func(int) int
	pace   func(int) error
	alive  func(int64) // that bytes wait for a limit of our own is no stall of the sender's
	took   int64
	failed error
}

func (in *intake) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		part := p[done : done+in.most(len(p)-done)]
		if err := in.pace(len(part)); err != nil {
			return done, err
		}
		n, err := in.PieceWriter.Write(part)
		done, in.took = done+n, in.took+int64(n)
		if err != nil {
			in.failed = err
			return done, err
		}
		if done < len(p) {
			in.alive(in.took)
		}
	}
	return done, nil
}

// portion returns how many of n bytes may pass at once, so that a slow limit still shows progress every second.
func (d *download) portion(n int) int {
	if r := d.rate.Rate(); r > 0 {
		return int(min(int64(n), max(int64(r), 1<<10)))
	}
	return n
}

// pace waits until n more bytes may pass.
func (d *download) pace(ctx context.Context, n int, source bool) error {
	if err := d.rate.WaitN(ctx, n); err != nil {
		return err
	}
	if p := d.e.cfg.Download; p != nil {
		if err := p.WaitN(ctx, n); err != nil {
			return err
		}
	}
	if p := d.e.cfg.Origin; p != nil && source {
		return p.WaitN(ctx, n)
	}
	return nil
}

func (l *loop) parentEnded(k *asking, p darter.Piece, err error) {
	delete(l.asks, k.ask.ID)
	t := now()
	l.paid(k, err, t)
	switch kind := darter.KindOf(err); {
	case err == nil:
		l.took(k, p, t)
		l.picker.Ended(k.ask.ID, false, false, t)
	case l.local(err):
		l.picker.Ended(k.ask.ID, false, false, t)
	case k.dropped:
		l.picker.Ended(k.ask.ID, false, false, t)
	case kind == darter.Denied:
		l.picker.Outbid(k.ask.ID)
	case k.ask.Relay && (kind == darter.NotFound || kind == darter.Conflict || k.stalled): // no fault of this parent's
		l.failed(k.ask.From, Ceased)
		l.picker.Ended(k.ask.ID, false, true, t)
	case kind == darter.NotFound:
		l.picker.Ended(k.ask.ID, false, true, t)
		if from := l.links[k.ask.From]; from != nil && !from.live { // it had named all of its pieces
			l.disowned(from, k.ask.Piece, err)
		} else {
			l.refusedBy(k, NotThere, err)
		}
	default:
		why := Gone
		if kind == darter.Corrupt {
			why = BadBytes
		} else if k.stalled {
			why = Stalled
		}
		l.picker.Ended(k.ask.ID, true, false, t)
		l.refusedBy(k, why, err)
	}
}

// local reports whether an error is this host's own. That a piece is here already is no failure.
func (l *loop) local(err error) bool {
	if e, ok := errors.AsType[storeError](err); ok {
		if darter.KindOf(e.error) != darter.Conflict {
			l.fatal = e.error
		}
		l.picker.Have(l.d.task.Pieces())
		return true
	}
	return false
}

// refusedBy notes that a parent did not give a piece. The scheduler hears of it only when the parent is to blame: it
// blocks a reported parent for this peer, and one that is busy, or that dropped a piece, is none to lose. One whose
// machine says that nobody listens is reported at once: others are to be spared the attempt.
func (l *loop) refusedBy(k *asking, why FailReason, err error) {
	l.failed(k.ask.From, why)
	if l.talk != nil && (why == BadBytes || why == Stalled && k.received.Load() > 0 || l.picker.Struck(k.ask.From) || nobodyListens(err)) {
		l.talk.Report(darter.Report{Kind: darter.PieceFailed, Piece: darter.Piece{Number: k.ask.Piece, Parent: k.ask.From}, Err: err})
	}
}

// nobodyListens tells a refusal by the network from a silence, which may be a full uplink.
func nobodyListens(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}

// took records a committed piece and tells the scheduler.
func (l *loop) took(k *asking, p darter.Piece, t time.Time) {
	l.picker.Got(k.ask.ID, p.Number, t)
	k.pieces++
	l.failures = 0
	l.lively = t
	l.lastSource = p.Traffic == darter.FromSource
	l.d.count(p)
	if l.talk != nil {
		l.talk.Report(darter.Report{Kind: darter.PieceDone, Piece: p})
	}
}

// fromSource brings a run of pieces over one request.
func (d *download) fromSource(ctx context.Context, k *asking) (err error) {
	layout := d.task.Meta().Layout
	end := k.ask.Piece + d.unbroken(k.ask)
	first, last := layout.Span(k.ask.Piece), layout.Span(end-1)
	w, err := d.task.Writer(k.ask.Piece)
	if err != nil {
		return storeError{err}
	}
	defer func() { w.Leave() }() // of the piece under way: what came before it broke off is good
	if d.info.Ranges {
		kept := w.Resume()
		first.Offset, first.Length = first.Offset+kept, first.Length-kept
	}
	if _, err := w.Write(nil); err != nil { // now, because what is asked for is this piece's only once
		return storeError{err}
	}
	span := &darter.Span{Offset: first.Offset, Length: last.End() - first.Offset}
	if !d.info.Ranges || span.Length == layout.Length {
		span = nil
	}
	begun := now()
	if f := d.e.cfg.Events.Source; f != nil {
		defer func() { f(d.want.URL, now().Sub(begun), err) }()
	}
	body, err := d.e.cfg.Source.Open(ctx, d.request(), span, d.info)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	if span == nil {
		if _, err := io.CopyN(io.Discard, body, first.Offset); err != nil {
			return err
		}
	}
	left := first.Length
	for n := k.ask.Piece; n < end; n++ {
		if n > k.ask.Piece {
			next, err := d.task.Writer(n)
			if err != nil {
				return storeError{err}
			}
			w, left = next, layout.Span(n).Length
		}
		p, err := d.pieceFromSource(ctx, k, w, left, body)
		if err != nil {
			return err
		}
		d.post(func(l *loop) { l.took(k, p, now()) })
	}
	return nil
}

// unbroken returns how many pieces of a run can be read in one request: up to the next of which there is a part.
func (d *download) unbroken(a pick.Ask) uint32 {
	if d.info.Ranges {
		for i := uint32(1); i < a.Run; i++ {
			if d.task.Left(a.Piece+i) > 0 {
				return i
			}
		}
	}
	return a.Run
}

// pieceFromSource writes the bytes that are left of a piece.
func (d *download) pieceFromSource(ctx context.Context, k *asking, w store.PieceWriter, left int64, body io.Reader) (darter.Piece, error) {
	begun := now()
	buf := getBuffer()
	defer putBuffer(buf)
	for left > 0 {
		got, err := body.Read((*buf)[:d.portion(int(min(int64(len(*buf)), left)))])
		if got > 0 {
			if perr := d.pace(ctx, got, true); perr != nil {
				return darter.Piece{}, perr
			}
			if _, werr := w.Write((*buf)[:got]); werr != nil {
				return darter.Piece{}, storeError{werr}
			}
			k.received.Add(int64(got))
			left -= int64(got)
		}
		if err != nil && left > 0 {
			return darter.Piece{}, shortBody(err)
		}
	}
	p, err := w.Commit(nil, darter.Piece{Traffic: darter.FromSource, Cost: now().Sub(begun), Created: begun})
	if err != nil {
		return darter.Piece{}, storeError{err}
	}
	return p, nil
}

func shortBody(err error) error {
	if errors.Is(err, io.EOF) {
		return &darter.Error{Kind: darter.Corrupt, Op: "read from the source", Err: io.ErrUnexpectedEOF, Hint: "the source sent less than it announced"}
	}
	return err
}

func (l *loop) sourceEnded(k *asking, err error) {
	delete(l.asks, k.ask.ID)
	t := now()
	l.picker.Ended(k.ask.ID, err != nil, false, t)
	switch {
	case err == nil || k.dropped || l.d.ctx.Err() != nil || l.local(err):
		return
	case changed(err):
		l.changed(err)
		return
	}
	l.failures++
	if refused(err) || l.failures >= l.d.e.cfg.Tries {
		l.fatal = err
		if l.talk != nil {
			l.talk.Report(darter.Report{Kind: darter.PieceSourceFailed, Piece: darter.Piece{Number: k.ask.Piece}, Err: err})
		}
		return
	}
	l.retryAt = t.Add(min(100*time.Millisecond<<l.failures, 5*time.Second))
}

func changed(err error) bool {
	_, ok := errors.AsType[*source.ChangedError](err)
	return ok
}

// changed ends a download whose content became another. What was stored is of no use to anyone.
func (l *loop) changed(err error) {
	l.d.spoiled = true
	l.fatal = &darter.Error{Kind: darter.Corrupt, Op: "download " + l.d.task.Meta().URL, Err: err,
		Hint: "run it again to get the new content"}
}

// buffers are shared by all reads from sources: 512 KiB each.
var buffers = sync.Pool{New: func() any { b := make([]byte, 512<<10); return &b }}

func getBuffer() *[]byte  { return buffers.Get().(*[]byte) }
func putBuffer(b *[]byte) { buffers.Put(b) }
