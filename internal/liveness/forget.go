package liveness

import (
	"time"

	"github.com/darter-p2p/darter"
)

// await puts a host that was offline for long enough into its zone's line of those to be forgotten.
func (r *Roster) await(h *host) {
	h.waiting = true
	if !h.queued {
		h.queued = true
		r.lineUp(h.zone, h)
	}
}

func (r *Roster) lineUp(z *zone, h *host) {
	if z.forget.len() == 0 && !z.isReaping {
		z.isReaping = true
		r.reaping.push(z)
	}
	z.forget.push(h)
}

// mayForget reports whether anything may be forgotten at all: not while the fault is sought here, and not before everybody
// had two intervals to be heard after a start.
func (r *Roster) mayForget() bool {
	return !r.clock.frozen && (!r.begun || r.clock.inner >= r.started+2*max(r.longest, r.policy.Plain.Interval.Std()))
}

// forget takes hosts out of the lines, as many as a step may and their zones' guards allow. It reports whether more could
// go at once.
func (r *Roster) forget() (more bool) {
	budget := r.policy.Forget.PerStep
	open := r.mayForget()
	for range min(r.reaping.len(), r.policy.Limit.Items/4) {
		z := r.reaping.pop()
		if open && budget > 0 {
			n := r.forgetIn(z, budget)
			budget -= n
			r.stats.Items += n
		}
		if z.forget.len() == 0 {
			z.isReaping = false
			continue
		}
		more = more || open && budget <= 0 && r.allowance(z) >= 1
		r.reaping.push(z)
	}
	return more
}

// forgetIn forgets hosts of one zone and returns how many it looked at.
func (r *Roster) forgetIn(z *zone, budget int) int {
	looked := 0
	for ; looked < budget && z.forget.len() > 0 && r.allowance(z) >= 1; looked++ {
		h := z.forget.pop()
		h.queued = false
		switch {
		case h.gone || !h.waiting || h.state != darter.Offline: // it came back, or left
		case h.zone != z:
			h.queued = true
			r.lineUp(h.zone, h)
		default:
			z.spend()
			r.bury(h, darter.Forgotten, Gone, h.word, darter.ExitCrash)
		}
	}
	return looked
}

// tombstone is what remains of a host.
type tombstone struct {
	id      darter.HostID
	epoch   darter.Epoch
	conn    uint64
	state   darter.Verdict // forgotten or left
	at      time.Duration  // on the clock of guards
	heard   time.Time
	reason  Reason
	exit    darter.Exit
	store   uint64
	line    *line
	drain   bool
	dropped bool
	zone    Zone
	policy  uint64
}

// tombstones are kept in order of their making, for a time, and no more than so many.
type tombstones struct {
	byID  map[darter.HostID]*tombstone
	order []*tombstone
	head  int
}

func (t *tombstones) len() int { return len(t.order) - t.head }

func (t *tombstones) add(s *tombstone) {
	t.byID[s.id] = s
	t.order = append(t.order, s)
}

// drop forgets a tombstone whose host is back. Its place in the order stays until its time.
func (t *tombstones) drop(s *tombstone) {
	delete(t.byID, s.id)
	s.dropped, s.line = true, nil
}

func (t *tombstones) oldest() *tombstone { return t.order[t.head] }

func (t *tombstones) pop() *tombstone {
	s := t.order[t.head]
	t.order[t.head] = nil
	t.head++
	if t.head >= 1024 && t.head*2 >= len(t.order) {
		n := copy(t.order, t.order[t.head:])
		clear(t.order[n:])
		t.order, t.head = t.order[:n], 0
	}
	return s
}

// bury gives a host its last word, takes its record out, and leaves a tombstone.
func (r *Roster) bury(h *host, last darter.Verdict, why Reason, sign Sign, exit darter.Exit) {
	r.set(h, last, why, sign, exit)
	s := &tombstone{id: h.id, epoch: h.epoch, conn: h.conn, state: last, at: r.clock.awake, reason: why, exit: exit, store: h.store,
		line: h.line, drain: h.drain, zone: h.zone.name, policy: r.policy.Number}
	if !h.unknown {
		s.heard = r.clock.time(h.heard)
	}
	r.remove(h)
	r.tally(h)
	r.unuse(h.zone)
	h.line = nil
	r.stats.Hosts[last]-- // it counts hosts, and this is none any more
	if r.tombs.len() >= r.policy.Forget.Tombstones {
		r.dropTombstone()
	}
	r.tombs.add(s)
}

func (r *Roster) dropTombstone() {
	if s := r.tombs.pop(); !s.dropped {
		delete(r.tombs.byID, s.id)
	}
}

// dropTombstones takes away those whose time is over, a few at a time.
func (r *Roster) dropTombstones(limit int) int {
	n := 0
	for ; n < limit && r.tombs.len() > 0; n++ {
		if r.clock.awake-r.tombs.oldest().at < r.policy.Forget.Tombstone.Std() && r.tombs.len() <= r.policy.Forget.Tombstones {
			break
		}
		r.dropTombstone()
	}
	return n
}
