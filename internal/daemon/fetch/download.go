package fetch

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/source"
	"github.com/darter-p2p/darter/internal/store"
	"github.com/darter-p2p/darter/internal/throttle"
)

// download is the one download of a task on this host.
type download struct {
	e       *Engine
	id      darter.TaskID
	peer    darter.PeerID
	want    darter.Want // of the first asker: its headers go to the source
	started time.Time
	ctx     context.Context
	cancel  context.CancelCauseFunc
	wg      sync.WaitGroup // goroutines beside the loop
	events  chan func(*loop)

	greeted    bool          // the conversation is being opened since before there was a loop
	prepared   chan struct{} // closed when the fields below are set
	prepareErr error
	task       store.Task
	info       source.Info

	settled   chan struct{} // closed when failed is set: nothing more will arrive
	failed    error
	abandoned bool
	spoiled   bool // what was stored is of no use to anyone

	rate *throttle.Limiter // as fast as the askers want it

	mu struct {
		sync.Mutex
		sessions []*Session
		ended    bool // nobody can enter any more
		detached bool // goes on when nobody waits
		bytes    [3]int64
		known    bool  // length is the content's
		length   int64 // bytes

		emptySince time.Time     // when the last session left; zero while someone waits
		last       *darter.Range // what it wanted: fetched on while the download lingers
	}
}

func newDownload(e *Engine, id darter.TaskID, w darter.Want) *download {
	return &download{e: e, id: id, peer: e.cfg.NewPeer(), want: w, started: now(), events: make(chan func(*loop), 256),
		prepared: make(chan struct{}), settled: make(chan struct{}), rate: throttle.New(0)}
}

// enter adds a session, or returns nil when the download has ended.
func (d *download) enter(w darter.Want) *Session {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.ended {
		return nil
	}
	s := &Session{d: d, want: w}
	if d.mu.known {
		s.resolve(d.mu.length)
	}
	d.mu.sessions = append(d.mu.sessions, s)
	d.mu.detached = d.mu.detached || w.NeedSource || w.IsPrefetch
	d.mu.emptySince = time.Time{}
	d.hurry()
	d.kick()
	return s
}

// hurry makes the download as fast as the most impatient of its askers wants it; while it lingers, as the last one
// wanted it. The lock is held.
func (d *download) hurry() {
	if len(d.mu.sessions) == 0 {
		return
	}
	var fastest darter.Size
	for _, s := range d.mu.sessions {
		fastest = max(fastest, s.want.Rate)
		if s.want.Rate <= 0 {
			fastest = 0
			break
		}
	}
	if d.mu.detached {
		fastest = 0
	}
	if fastest != d.rate.Rate() {
		d.rate.Set(fastest)
	}
}

// leave removes a session and lets the loop see it.
func (d *download) leave(s *Session) {
	d.mu.Lock()
	if i := slices.Index(d.mu.sessions, s); i >= 0 {
		d.mu.sessions = slices.Delete(d.mu.sessions, i, i+1)
		if len(d.mu.sessions) == 0 && !d.mu.detached {
			d.mu.emptySince, d.mu.last = now(), s.want.Range
		}
		d.hurry()
	}
	d.mu.Unlock()
	d.kick()
}

// kick makes the loop look at its sessions again. A full queue means that it is about to.
func (d *download) kick() {
	select {
	case d.events <- func(*loop) {}:
	default:
	}
}

// post hands an event to the loop, unless the download ends first.
func (d *download) post(f func(*loop)) {
	select {
	case d.events <- f:
	case <-d.ctx.Done():
	case <-d.settled:
	}
}

// run is the life of a download.
func (d *download) run() {
	defer d.cancel(nil)
	err := d.prepare()
	d.prepareErr = err
	if err != nil {
		d.end()
		close(d.prepared)
		d.settle(err)
		d.cancel(errEnded)
		d.wg.Wait()
		d.report(err)
		return
	}
	d.resolve()
	close(d.prepared)
	l := newLoop(d)
	err = l.run()
	d.end()
	d.settle(err)
	if darter.KindOf(err) == darter.NoSpace {
		d.spoiled = true // what cannot be completed only keeps the disk full
	}
	if d.spoiled { // after settling, so that readers hear why and not just that it is gone
		_ = d.e.cfg.Store.Remove(d.id)
	}
	if err == nil && d.task.State() == store.Complete {
		err = d.task.Sync() // nobody who has the bytes waits for the disk, or loses them when it fails
	}
	l.farewell(err)
	d.cancel(errEnded)
	d.wg.Wait()
	d.report(err)
}

// resolve turns Range headers into ranges, now that the length is known.
func (d *download) resolve() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.known, d.mu.length = true, d.task.Meta().Layout.Length
	for _, s := range d.mu.sessions {
		s.resolve(d.mu.length)
	}
	first := Session{want: d.want}
	first.resolve(d.mu.length)
	d.want = first.want
}

// end makes entering impossible.
func (d *download) end() {
	d.e.forget(d)
	d.mu.Lock()
	d.mu.ended = true
	d.mu.Unlock()
}

func (d *download) settle(err error) {
	d.failed = err
	close(d.settled)
}

func (d *download) report(err error) {
	d.mu.Lock()
	bytes := d.mu.bytes
	d.mu.Unlock()
	call(d.e.cfg.Events.Ended, Ended{Task: d.id, Peer: d.peer, URL: d.e.cfg.Redact(d.want.URL, d.want.FilteredQuery), Want: d.want,
		Bytes: bytes, Took: now().Sub(d.started), Err: err, Abandoned: d.abandoned})
}

// wanted returns the union of what the sessions want, and since when nobody is there (zero: someone is).
func (d *download) wanted() (set darter.PieceSet, empty time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.detached {
		set.Union(d.task.Meta().Layout.Covering(d.want.Range))
	}
	if !d.mu.emptySince.IsZero() {
		set.Union(d.task.Meta().Layout.Covering(d.mu.last))
	}
	for _, s := range d.mu.sessions {
		set.Union(d.task.Meta().Layout.Covering(s.want.Range))
	}
	return set, d.mu.emptySince
}

// tryEnd ends the download if nothing is missing for anyone, under the lock that entering takes.
func (d *download) tryEnd() bool {
	set, _ := d.wanted()
	if !d.task.Pieces().Contains(set) {
		return false
	}
	d.e.mu.Lock()
	defer d.e.mu.Unlock()
	again, _ := d.wanted()
	if !d.task.Pieces().Contains(again) {
		return false
	}
	d.mu.Lock()
	d.mu.ended = true
	d.mu.Unlock()
	delete(d.e.mu.active, d.id)
	return true
}

// deserted ends the download for those who come later, if nobody has waited for it for a while. It is for the time before
// the download's loop runs.
func (d *download) deserted() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.emptySince.IsZero() || now().Sub(d.mu.emptySince) < d.e.cfg.Linger {
		return false
	}
	d.mu.ended = true
	return true
}

// digests returns the digests that sessions expect of the whole content.
func (d *download) digests() []darter.Digest {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []darter.Digest
	for _, s := range d.mu.sessions {
		if s.want.Digest != "" && s.want.Range == nil && !slices.Contains(out, s.want.Digest) {
			out = append(out, s.want.Digest)
		}
	}
	return out
}

// urgent returns the lowest piece that a reader waits for, -1 when none.
func (d *download) urgent() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	lowest := int64(-1)
	for _, s := range d.mu.sessions {
		if n := s.waiting.Load(); n > 0 && (lowest < 0 || n-1 < lowest) {
			lowest = n - 1
		}
	}
	return lowest
}

func (d *download) count(p darter.Piece) {
	d.mu.Lock()
	d.mu.bytes[min(p.Traffic, darter.FromCache)] += p.Length
	d.mu.Unlock()
	if f := d.e.cfg.Events.Piece; f != nil {
		f(d.id, p)
	}
}

// abandonedError says that nobody waits for a download any more.
func (d *download) abandonedError() error {
	d.abandoned = true
	return &darter.Error{Kind: darter.Unavailable, Op: "download " + d.e.cfg.Redact(d.want.URL, d.want.FilteredQuery),
		Err: errors.New("nobody waits for it any more"), Hint: "the pieces that arrived are kept; ask again to go on"}
}
