package sim

import (
	"math"
	"slices"
	"time"
)

// yieldAfter is how long a relay may be slower than its uplink before it goes on without its slot.
const yieldAfter = 200 * time.Millisecond

// have is how much of piece n an ask has brought so far.
func (k *asking) have(n uint32) float64 {
	if k.f == nil || n < k.Piece || n >= k.Piece+k.Run {
		return 0
	}
	k.f.settle(k.d.w.clock.now)
	size := float64(k.d.w.cfg.Layout.Span(n).Length)
	switch at := k.Piece + k.committed; {
	case n > at:
		return 0
	case n < at:
		return size
	}
	return k.f.done - (k.f.mark - size)
}

// receiving returns the ask that brings piece n to this host, the one with most of it; nil when there is none.
func (h *host) receiving(n uint32) *asking {
	var best *asking
	if h.d == nil {
		return nil
	}
	for _, k := range h.d.asks {
		if !k.over && k.have(n) > 0 && (best == nil || k.have(n) > best.have(n)) {
			best = k
		}
	}
	return best
}

// announces tells a child that a piece is on its way here.
func (h *host) announces(wt *watcher, n uint32) {
	h.w.inOrder(&wt.last, func() { wt.d.receives(wt.k, n) })
}

// resume takes over what is left of a piece.
func (h *host) resume(n uint32) float64 {
	left := h.left[n]
	h.left[n] = 0
	return left
}

// relay makes a body go on where the child has left off, and never overtake what it relays.
func (t *ticket) relay() {
	k, h := t.k, t.u.h
	t.f.done = k.d.h.resume(k.Piece)
	k.skip = t.f.done
	if h.held.Has(k.Piece) {
		return
	}
	if k.upstream = h.receiving(k.Piece); k.upstream == nil {
		t.f.behind = func() (float64, float64, bool) { return t.f.done, 0, true } // refused in a moment
		k.d.refused(k)
		return
	}
	t.f.behind = func() (have, rate float64, some bool) {
		up := k.upstream
		if up == nil || up.f == nil {
			return 0, 0, false
		}
		have, rate = up.have(k.Piece), up.f.rate
		if up.Source() && up.Piece+up.committed > k.Piece {
			rate = 0
		}
		return have, rate, true
	}
	h.w.clock.after(yieldAfter, t.yield)
}

// yield gives the slot of a relay back whose limit is not the uplink.
func (t *ticket) yield() {
	switch {
	case t.over || t.yielded || t.u.dead || t.k.upstream == nil:
	case math.IsInf(t.f.limit, 1):
		t.u.h.w.clock.after(yieldAfter, t.yield)
	default:
		t.yielded = true
		t.u.release()
	}
}

// leave keeps what an ask brought before it ended, for another that goes on from there.
func (d *download) leave(k *asking, how outcome) {
	if k.f == nil || how == taken || how == local || (!k.Relay && !k.Source()) {
		return
	}
	n := k.Piece + k.committed
	if n < k.Piece+k.Run && !d.h.held.Has(n) {
		d.h.left[n] = max(d.h.left[n], k.have(n))
	}
}

// forsaken breaks off what relays an ask that ended, unless the piece is here by now.
func (w *World) forsaken(k *asking) {
	for _, h := range w.hosts {
		if h.d == nil {
			continue
		}
		for _, o := range slices.Clone(h.d.asks) {
			if o.upstream != k || o.over {
				continue
			}
			o.upstream = nil
			w.net.dirty = true
			if !k.d.h.held.Has(o.Piece) {
				o.f.behind = func() (float64, float64, bool) { return o.f.done, 0, true }
				h.d.refused(o)
			}
		}
	}
}
