package sim

import (
	"slices"
	"time"

	"github.com/darter-p2p/darter"
)

// upload is a host's piece server with the discipline of package vortex: a limited number of bodies at once, the
// piece sent least often first, then the host served least recently, then who came first.
type upload struct {
	h       *host
	slots   int
	busy    int
	waiting []*ticket
	sent    []int // per piece
	served  map[darter.HostID]int
	clock   int
	dead    bool // the host crashed; what is left of it does nothing
}

// ticket is one request at a server.
type ticket struct {
	u       *upload
	k       *asking
	f       *flow // while the body is sent
	yielded bool  // goes on without its slot
	over    bool
}

// request takes a request that arrived.
func (u *upload) request(k *asking) *ticket {
	t := &ticket{u: u, k: k}
	if u.busy < u.slots {
		u.grant(t)
	} else {
		u.waiting = append(u.waiting, t)
	}
	return t
}

func (u *upload) grant(t *ticket) {
	w, k := u.h.w, t.k
	u.busy++
	u.clock++
	u.sent[k.Piece]++
	u.served[k.d.h.facts.ID] = u.clock
	size := w.cfg.Layout.Span(k.Piece).Length
	t.f = &flow{up: u.h.up, down: k.d.h.down, weight: w.weight(), mark: float64(size)}
	if k.Relay {
		t.relay()
	}
	t.f.reached = func() {
		u.end(t, true)
		w.sent += size
		spoilt := u.h.spec.Liar && w.rng.IntN(3) == 0
		w.clock.after(w.delay(), func() { k.d.arrived(k, spoilt) })
	}
	k.f = t.f
	w.net.add(t.f)
	w.clock.after(w.delay(), func() { k.d.begins(k, k.Piece) }) // the first byte
}

// end gives a slot back, or leaves the queue.
func (u *upload) end(t *ticket, whole bool) {
	if t.over || u.dead {
		return
	}
	t.over = true
	if t.f == nil {
		if i := slices.Index(u.waiting, t); i >= 0 {
			u.waiting = slices.Delete(u.waiting, i, i+1)
		}
		return
	}
	u.h.w.net.remove(t.f)
	if !whole {
		u.h.w.wasted += int64(t.f.done)
		u.sent[t.k.Piece]--
	}
	if !t.yielded {
		u.release()
	}
}

// release hands a slot on.
func (u *upload) release() {
	u.busy--
	if best := u.best(); best != nil {
		u.waiting = slices.Delete(u.waiting, slices.Index(u.waiting, best), slices.Index(u.waiting, best)+1)
		u.grant(best)
	}
}

func (u *upload) best() *ticket {
	var best *ticket
	for _, t := range u.waiting {
		if best == nil || u.before(t, best) {
			best = t
		}
	}
	return best
}

func (u *upload) before(a, b *ticket) bool {
	if x, y := u.sent[a.k.Piece], u.sent[b.k.Piece]; x != y {
		return x < y
	}
	return u.served[a.k.d.h.facts.ID] < u.served[b.k.d.h.facts.ID]
}

// crash breaks every body off. Whoever waits for one hears of it after a while.
func (u *upload) crash(notice time.Duration) {
	for _, f := range slices.Clone(u.h.w.net.flows) {
		if f.up == u.h.up {
			u.h.w.net.remove(f)
		}
	}
	u.waiting, u.dead = nil, true
	for _, h := range u.h.w.hosts {
		if h.d == nil {
			continue
		}
		for _, k := range slices.Clone(h.d.asks) {
			if k.server == u.h {
				u.h.w.clock.after(notice, func() { k.d.ended(k, broken) })
			}
		}
	}
}
