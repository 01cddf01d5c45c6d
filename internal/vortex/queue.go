package vortex

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/darter-p2p/darter"
)

// Limits on what a queue remembers. Forgetting only makes the order less clever.
const (
	maxRemembered = 1 << 16 // pieces with a count
	maxHosts      = 4 << 10 // hosts with a time of service
)

var (
	errBusy     = errors.New("too many requests wait already")
	errDraining = errors.New("this host is shutting down")
)

// key names what a request is for.
type key struct {
	task   darter.TaskID
	number uint32
}

// ticket is one request that waits for a slot.
type ticket struct {
	key     key
	host    netip.Addr
	settled chan struct{} // closed when the slot is the ticket's, or refused is set
	refused error
	outbid  func() // ends a relay for the sake of a more urgent piece; nil for others
	repeat  bool   // the piece was being sent, or had been, when the slot was given
	sole    bool   // nobody else can serve it
}

// ask is what a request wants of the queue.
type ask struct {
	key    key
	host   netip.Addr
	outbid func() // breaks it off, without loss, while it holds a slot; must not block. nil: it cannot be broken off
	sole   bool   // nobody else can serve it
}

// queue hands out the slots. Which waiting request gets a free one: the piece sent fewest times, then who
// can ask nobody else, then the host served least recently, then the one that came first. Slots being sent count as sent, so that
// two waiting requests for one piece do not overtake other pieces. A piece that only this host can serve and never sent waits
// for others of its kind only: it goes out beside further copies, of which one is broken off, if it is a relay.
type queue struct {
	limit int

	mu struct {
		sync.Mutex
		tuner    tuner
		busy     int
		firsts   int       // of them, those that send a piece for the first time
		running  []*ticket // relays that hold a slot
		draining bool
		waiting  []*ticket             // in order of arrival
		sent     map[key]uint32        // absent means never
		served   map[netip.Addr]uint64 // clock at the last grant
		clock    uint64
	}
}

func newQueue(slots, most, limit int) *queue {
	q := &queue{limit: limit}
	q.mu.tuner = newTuner(slots, most)
	q.mu.sent = map[key]uint32{}
	q.mu.served = map[netip.Addr]uint64{}
	return q
}

// join asks for a slot. The ticket's settled channel is closed at once when one is free.
func (q *queue) join(a ask) (*ticket, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.draining {
		return nil, errDraining
	}
	t := &ticket{key: a.key, host: a.host, sole: a.sole, outbid: a.outbid, settled: make(chan struct{})}
	full, urgent := q.mu.busy >= q.mu.tuner.slots, q.urgent(t)
	if urgent && full {
		q.breakOff()
	}
	switch {
	case q.room(t): // then nobody waits who could have it, since release hands slots on
		q.grant(t)
	case len(q.mu.waiting) >= q.limit:
		return nil, errBusy
	default:
		q.mu.waiting = append(q.mu.waiting, t)
	}
	return t, nil
}

// urgent reports whether the swarm depends on this host for the piece. The lock is held.
func (q *queue) urgent(t *ticket) bool { return t.sole && q.mu.sent[t.key] == 0 }

// room reports whether a ticket can have a slot now. The lock is held.
func (q *queue) room(t *ticket) bool {
	return q.mu.busy < q.mu.tuner.slots || (q.urgent(t) && q.mu.firsts < q.mu.tuner.slots)
}

// breakOff ends the youngest relay that is not the first copy of its piece. The lock is held.
func (q *queue) breakOff() {
	for i, t := range slices.Backward(q.mu.running) {
		if t.repeat {
			q.mu.running = slices.Delete(q.mu.running, i, i+1)
			t.outbid()
			return
		}
	}
}

// wait blocks until the ticket has its slot, or is refused, or ctx ends; on an error the ticket has left
// the queue and holds no slot.
func (q *queue) wait(ctx context.Context, t *ticket) error {
	select {
	case <-t.settled:
		return t.refused
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.mu.waiting, t); i >= 0 {
		q.mu.waiting = slices.Delete(q.mu.waiting, i, i+1)
		return context.Cause(ctx)
	}
	return t.refused // settled meanwhile
}

// release gives the slot back. sent tells whether the piece went out; if not, it does not count.
func (q *queue) release(t *ticket, sent bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !sent {
		q.uncount(t.key)
	}
	q.mu.busy--
	if !t.repeat {
		q.mu.firsts--
	}
	if i := slices.Index(q.mu.running, t); i >= 0 {
		q.mu.running = slices.Delete(q.mu.running, i, i+1)
	}
	q.handOut()
}

// progress counts bytes on their way, which may change the number of slots.
func (q *queue) progress(bytes int64, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.tuner.sent(bytes, len(q.mu.waiting) > 0, now)
	q.handOut()
}

// handOut grants the free slots. The lock is held.
func (q *queue) handOut() {
	for {
		i := q.best()
		if i < 0 || !q.room(q.mu.waiting[i]) {
			return
		}
		next := q.mu.waiting[i]
		q.mu.waiting = slices.Delete(q.mu.waiting, i, i+1)
		q.grant(next)
	}
}

// drain refuses what waits and what comes from now on.
func (q *queue) drain() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.mu.draining = true
	for _, t := range q.mu.waiting {
		t.refused = errDraining
		close(t.settled)
	}
	q.mu.waiting = nil
}

// grant makes a slot the ticket's. The lock is held.
func (q *queue) grant(t *ticket) {
	q.mu.busy++
	q.mu.clock++
	if len(q.mu.sent) >= maxRemembered {
		clear(q.mu.sent)
	}
	if len(q.mu.served) >= maxHosts {
		clear(q.mu.served)
	}
	if t.repeat = q.mu.sent[t.key] > 0; !t.repeat {
		q.mu.firsts++
	}
	if t.outbid != nil {
		q.mu.running = append(q.mu.running, t)
	}
	q.mu.sent[t.key]++
	q.mu.served[t.host] = q.mu.clock
	close(t.settled)
}

func (q *queue) uncount(k key) {
	if n := q.mu.sent[k]; n > 1 {
		q.mu.sent[k] = n - 1
	} else {
		delete(q.mu.sent, k)
	}
}

// best returns the index of the waiting ticket to serve next, -1 when none waits. The lock is held.
func (q *queue) best() int {
	found := -1
	var sent uint32
	var served uint64
	for i, t := range q.mu.waiting {
		s, v := q.mu.sent[t.key], q.mu.served[t.host]
		switch {
		case found < 0 || s < sent:
		case s > sent || (q.mu.waiting[found].sole && !t.sole):
			continue
		case t.sole == q.mu.waiting[found].sole && v >= served:
			continue
		}
		found, sent, served = i, s, v
	}
	return found
}
