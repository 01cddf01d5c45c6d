package disk

import (
	"context"
	"io"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// arrival is how far a direct writer has come, for those who read behind it. The task's lock guards it.
type arrival struct {
	bytes   int64
	base    int64         // of them, what was there before the writer wrote into the place
	told    bool          // those who wait for a change were told that there is something to follow
	over    bool          // the writer ended
	left    bool          // its bytes are still good
	changed chan struct{} // made when somebody waits
}

func (a *arrival) signal() {
	if a.changed != nil {
		close(a.changed)
		a.changed = nil
	}
}

// end reports whether there was anything to follow.
func (a *arrival) end(left bool) bool {
	a.over, a.left = true, left
	a.signal()
	return a.bytes > 0
}

// leftover is the beginning of a piece, in its place in the data file.
type leftover struct {
	length int64
	crc    uint32
}

// keep remembers what a writer left. The lock is held.
func (t *task) keep(n uint32, p leftover) {
	if t.mu.left == nil {
		t.mu.left = map[uint32]leftover{}
	}
	t.mu.left[n] = p
}

// arrived publishes what a direct writer has written.
func (t *task) arrived(w *writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := w.contest.arrival
	if w.contest.direct != w || t.mu.have.Has(w.n) {
		return
	}
	a.bytes = w.wrote
	a.signal()
	if !a.told && a.bytes > 0 {
		a.told = true
		t.wake()
	}
}

// Resume implements store.PieceWriter.
func (w *writer) Resume() int64 {
	w.turn.take()
	defer w.turn.give()
	if w.wrote > 0 || w.ended {
		return 0
	}
	w.t.mu.Lock()
	defer w.t.mu.Unlock()
	w.base = w.t.mu.left[w.n]
	return w.base.length
}

// Arriving implements store.Task.
func (t *task) Arriving() darter.PieceSet {
	t.mu.Lock()
	defer t.mu.Unlock()
	var set darter.PieceSet
	if t.mu.removed {
		return set
	}
	for n, c := range t.mu.pending {
		if c.arrival != nil && c.arrival.bytes > 0 && !t.mu.have.Has(n) {
			set.Add(n)
		}
	}
	return set
}

// Left implements store.Task.
func (t *task) Left(n uint32) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.left[n].length
}

// follower reads behind a writer, or a piece that is held.
type follower struct {
	t       *task
	n       uint32
	span    darter.Span
	arrival *arrival // nil when nobody was writing at the beginning
	left    int64    // bytes that a writer had left then, and all that there will be
	data    *handle
}

// Follow implements store.Task.
func (t *task) Follow(n uint32) (store.Follower, error) {
	h, err := t.use("follow", dataRead)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	f := &follower{t: t, n: n, data: h}
	if c := t.mu.pending[n]; c != nil && c.arrival != nil && c.arrival.bytes > 0 {
		f.arrival = c.arrival
	}
	if f.arrival == nil {
		f.left = t.mu.left[n].length
	}
	if f.arrival == nil && f.left == 0 && !t.mu.have.Has(n) {
		t.store.handles.put(h)
		return nil, t.fail(darter.NotFound, "follow", "piece %d is neither held nor arriving", n)
	}
	f.span = t.meta.Layout.Span(n)
	return f, nil
}

// Next implements store.Follower.
func (f *follower) Next(ctx context.Context, b []byte, off int64) (int, error) {
	b = b[:min(int64(len(b)), f.span.Length-off)]
	for {
		n, more, err := f.reached(off, int64(len(b)))
		if err != nil {
			return 0, err
		}
		if more == nil {
			b = b[:n]
			break
		}
		select {
		case <-more:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
	if len(b) == 0 {
		return 0, io.EOF
	}
	n, err := f.data.ReadAt(b, f.span.Offset+off)
	if n == len(b) {
		return n, nil
	}
	return n, fault(f.t.op("follow"), err)
}

// reached returns how many of n bytes from off on can be read: all of them, or those that a writer which gave up had left
// there; when n is 0, once the piece is held. Else it returns a channel that is closed when that may have changed.
func (f *follower) reached(off, n int64) (int64, <-chan struct{}, error) {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	a := f.arrival
	switch {
	case f.t.mu.removed:
		return 0, nil, f.t.gone("follow")
	case f.t.mu.have.Has(f.n):
		return n, nil, nil
	case a != nil && !a.over && n > 0 && a.bytes >= off+n:
		return n, nil, nil
	case a != nil && a.over && a.left && n > 0 && a.bytes > off && f.kept(a.bytes):
		return min(n, a.bytes-off), nil, nil
	case f.left > off && n > 0 && f.kept(f.left):
		return min(n, f.left-off), nil, nil
	case f.left > 0:
		return 0, nil, f.t.fail(darter.Unavailable, "follow", "no more of piece %d was left", f.n)
	case a == nil || !a.left && a.over:
		return 0, nil, f.t.fail(darter.Corrupt, "follow", "the writer of piece %d threw it away", f.n)
	case a.over:
		return 0, nil, f.t.fail(darter.Unavailable, "follow", "the writer of piece %d left", f.n)
	}
	if a.changed == nil {
		a.changed = make(chan struct{})
	}
	return 0, a.changed, nil
}

// kept reports whether n bytes that had been left are still there, if only as the beginning of what arrives now. The lock
// is held.
func (f *follower) kept(n int64) bool {
	if f.t.mu.left[f.n].length >= n {
		return true
	}
	c := f.t.mu.pending[f.n]
	return c != nil && c.arrival != nil && c.arrival.base >= n
}

// Piece implements store.Follower.
func (f *follower) Piece() (darter.Piece, bool) { return f.t.Piece(f.n) }

// Close implements store.Follower.
func (f *follower) Close() error {
	f.t.store.handles.put(f.data)
	return nil
}
