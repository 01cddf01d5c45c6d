package mem

import (
	"context"
	"io"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// arrival is what one writer of a piece has so far. The task's lock guards it.
type arrival struct {
	data    []byte
	base    int  // bytes of data that were there before this writer could be followed
	told    bool // those who wait for a change were told that there is something to follow
	over    bool
	left    bool          // the bytes are still good
	changed chan struct{} // made when somebody waits
}

func (a *arrival) signal() {
	if a.changed != nil {
		close(a.changed)
		a.changed = nil
	}
}

// arrived publishes what a writer has.
func (t *task) arrived(n uint32, data []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.mu.arrivals[n]
	if t.mu.set.Has(n) || len(data) == 0 {
		return
	}
	a.data = data
	a.signal()
	if !a.told {
		a.told = true
		t.wake()
	}
}

// gaveUp ends what can be followed of a writer, and keeps what it left.
func (w *writer) gaveUp(left []byte) {
	w.mu.Lock()
	lead := w.mu.lead
	w.mu.Unlock()
	if !lead {
		return
	}
	t := w.t
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.mu.arrivals[w.n]
	delete(t.mu.arrivals, w.n)
	a.over, a.left = true, len(left) > 0
	a.signal()
	if len(left) > 0 && !t.mu.set.Has(w.n) && int64(len(left)) < t.meta.Layout.Span(w.n).Length {
		t.mu.left[w.n] = left
	}
	if len(a.data) > 0 && !t.mu.removed {
		t.wake()
	}
}

// Arriving implements store.Task.
func (t *task) Arriving() darter.PieceSet {
	t.mu.Lock()
	defer t.mu.Unlock()
	var set darter.PieceSet
	for n, a := range t.mu.arrivals {
		if len(a.data) > 0 && !t.mu.set.Has(n) && !t.mu.removed {
			set.Add(n)
		}
	}
	return set
}

// Left implements store.Task.
func (t *task) Left(n uint32) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return int64(len(t.mu.left[n]))
}

// follower reads behind a writer, or a piece that is held.
type follower struct {
	t       *task
	n       uint32
	arrival *arrival // nil when nobody was writing at the beginning
	left    []byte   // what a writer had left then, and all that there will be
}

// Follow implements store.Task.
func (t *task) Follow(n uint32) (store.Follower, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := &follower{t: t, n: n}
	if a := t.mu.arrivals[n]; a != nil && len(a.data) > 0 {
		f.arrival = a
	}
	if f.arrival == nil {
		f.left = t.mu.left[n]
	}
	if t.mu.removed || (f.arrival == nil && len(f.left) == 0 && !t.mu.set.Has(n)) {
		return nil, fail(darter.NotFound, "follow", t.meta.ID, "piece %d is neither held nor arriving", n)
	}
	return f, nil
}

// Next implements store.Follower.
func (f *follower) Next(ctx context.Context, b []byte, off int64) (int, error) {
	length := f.t.meta.Layout.Span(f.n).Length
	b = b[:min(int64(len(b)), length-off)]
	for {
		data, more, err := f.reached(int(off), len(b))
		if err != nil {
			return 0, err
		}
		if more == nil && len(b) == 0 {
			return 0, io.EOF
		}
		if more == nil {
			return copy(b, data[off:]), nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// reached returns bytes of which n from off on can be read, or those that a writer which gave up had left there; when n is
// 0, once the piece is held. Else it returns a channel that is closed when that may have changed.
func (f *follower) reached(off, n int) ([]byte, <-chan struct{}, error) {
	f.t.mu.Lock()
	defer f.t.mu.Unlock()
	a := f.arrival
	switch {
	case f.t.mu.removed:
		return nil, nil, fail(darter.NotFound, "follow", f.t.meta.ID, "it was removed")
	case f.t.mu.set.Has(f.n):
		return f.t.mu.pieces[f.n].data, nil, nil
	case a != nil && !a.over && n > 0 && len(a.data) >= off+n:
		return a.data, nil, nil
	case a != nil && a.over && a.left && n > 0 && len(a.data) > off:
		return a.data, nil, nil
	case len(f.left) > off && n > 0:
		return f.left, nil, nil
	case len(f.left) > 0:
		return nil, nil, fail(darter.Unavailable, "follow", f.t.meta.ID, "no more of piece %d was left", f.n)
	case a == nil || !a.left && a.over:
		return nil, nil, fail(darter.Corrupt, "follow", f.t.meta.ID, "the writer of piece %d threw it away", f.n)
	case a.over:
		return nil, nil, fail(darter.Unavailable, "follow", f.t.meta.ID, "the writer of piece %d left", f.n)
	}
	if a.changed == nil {
		a.changed = make(chan struct{})
	}
	return nil, a.changed, nil
}

// Piece implements store.Follower.
func (f *follower) Piece() (darter.Piece, bool) { return f.t.Piece(f.n) }

// Close implements store.Follower.
func (f *follower) Close() error { return nil }
