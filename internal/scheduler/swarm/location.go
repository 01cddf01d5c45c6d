package swarm

import (
	"slices"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/scheduler/rank"
)

// ref names a location; 0 names none.
type ref uint32

// location is all that is kept of a host that holds a task and has nothing to do with it at present. There may be
// tens of millions, so it holds no pointers, and lies in chunks that neither move nor are looked into by
// the garbage collector:
//
//	host, group   4+4   whose, of which content        at          4   place in the group's list
//	next, prev    4+4   of the same host               seen, run   4+4 when and in which run it was last said
//	newer, older  4+4   by when it was last said       pieces      4   whole, part (then the set is in partial), or free
type location struct {
	host, group  uint32
	at           uint32
	next, prev   ref
	newer, older ref
	seen, run    uint32
	pieces       uint32
}

// What a location holds.
const (
	unused uint32 = iota
	whole
	part
)

func (l *location) complete() bool { return l.pieces == whole }

// place is a host's part in a task, by their slots.
type place struct{ host, task uint32 }

const chunk = 4096

// records are the locations of a swarm.
type records struct {
	chunks [][]location
	free   ref // chained by next
	live   int
	oldest ref
	newest ref
}

// at returns a location. It stays valid until the location is forgotten.
func (s *Swarm) at(r ref) *location { return &s.records.chunks[(r-1)/chunk][(r-1)%chunk] }

func (s *Swarm) newRef() ref {
	if s.records.free == 0 {
		n := ref(len(s.records.chunks)) * chunk
		fresh := make([]location, chunk)
		s.records.chunks = append(s.records.chunks, fresh)
		for i := range fresh[:chunk-1] {
			fresh[i].next = n + ref(i) + 2
		}
		s.records.free = n + 1
	}
	r := s.records.free
	s.records.free = s.at(r).next
	s.records.live++
	return r
}

// keptID is the name under which a location is offered: wire messages need one, and a report that names it
// leads back to the host and the task.
func keptID(h *host, t *task) darter.PeerID {
	return darter.PeerID(string(h.facts.ID) + "@" + string(t.id))
}

// keep notes that a host holds a content, in place of what was noted of its part in the task before.
func (s *Swarm) keep(h *host, g *group, held *darter.PieceSet, run uint32) ref {
	if old := s.index[place{h.slot, g.task.slot}]; old != 0 {
		s.forgetKept(old)
	}
	r := s.newRef()
	l := s.at(r)
	*l = location{host: h.slot, group: g.slot, at: uint32(len(g.kept)), next: h.kept, newer: 0, older: s.records.newest, seen: s.seconds(), run: run, pieces: whole}
	if held != nil {
		l.pieces = part
		s.partial[r] = *held
	}
	g.kept = append(g.kept, r)
	if h.kept != 0 {
		s.at(h.kept).prev = r
	}
	h.kept = r
	h.copies++
	s.toNewest(r, l)
	s.index[place{h.slot, g.task.slot}] = r
	s.countKept(r)
	return r
}

// toNewest puts a location, which is in no order yet, at the end of the order of age.
func (s *Swarm) toNewest(r ref, l *location) {
	l.older, l.newer = s.records.newest, 0
	if l.older != 0 {
		s.at(l.older).newer = r
	} else {
		s.records.oldest = r
	}
	s.records.newest = r
}

func (s *Swarm) fromOrder(l *location) {
	if l.older != 0 {
		s.at(l.older).newer = l.newer
	} else {
		s.records.oldest = l.newer
	}
	if l.newer != 0 {
		s.at(l.newer).older = l.older
	} else {
		s.records.newest = l.older
	}
}

// confirm notes that what a location says was said again.
func (s *Swarm) confirm(r ref) {
	l := s.at(r)
	h := s.machines.list[l.host]
	l.seen, l.run = s.seconds(), h.run
	s.fromOrder(l)
	s.toNewest(r, l)
	s.countKept(r)
}

// forgetKept takes a location out, and its group and task with it when nothing else is left of them.
func (s *Swarm) forgetKept(r ref) {
	s.uncountKept(r)
	l := s.at(r)
	h, g := s.machines.list[l.host], s.shelves.list[l.group]
	if h.atKept == r {
		h.atKept = l.next
	}
	if l.prev != 0 {
		s.at(l.prev).next = l.next
	} else {
		h.kept = l.next
	}
	if l.next != 0 {
		s.at(l.next).prev = l.prev
	}
	h.copies--
	h.freed[1]++
	s.fromOrder(l)
	s.swapKept(g, l.at, uint32(len(g.kept)-1))
	g.kept = g.kept[:len(g.kept)-1]
	if cap(g.kept) > 64 && len(g.kept) < cap(g.kept)/4 {
		g.kept = slices.Clone(g.kept)
	}
	delete(s.index, place{h.slot, g.task.slot})
	delete(s.partial, r)
	*l = location{next: s.records.free}
	s.records.free = r
	s.records.live--
	s.emptied(g)
}

func (s *Swarm) swapKept(g *group, a, b uint32) {
	g.kept[a], g.kept[b] = g.kept[b], g.kept[a]
	s.at(g.kept[a]).at, s.at(g.kept[b]).at = a, b
}

// counts reports whether a location is to count: its host gives, and what it said still stands.
func (s *Swarm) counts(l *location) bool {
	h := s.machines.list[l.host]
	return h.gives() && h.vouches(l.run) && !s.expired(h, l)
}

// expired reports whether a host will have dropped by now what it was last said to hold.
func (s *Swarm) expired(h *host, l *location) bool {
	return time.Duration(s.seconds()-l.seen)*time.Second > s.lasting(h)
}

// lasting is how long a word of a host about its content is good: as long as it says that it keeps what
// nobody reads.
func (s *Swarm) lasting(h *host) time.Duration {
	if h.facts.Keeps > 0 {
		return max(h.facts.Keeps, s.cfg.Linger)
	}
	return s.cfg.PeerTTL
}

// countKept enters what a location holds, if it is to count. Those that count come first in the group's list.
func (s *Swarm) countKept(r ref) bool {
	l := s.at(r)
	g := s.shelves.list[l.group]
	if int(l.at) < g.known || !s.counts(l) {
		return false
	}
	s.swapKept(g, l.at, uint32(g.known))
	g.known++
	if s.machines.list[l.host].facts.Kind != darter.Seed {
		g.holders++
	}
	if l.complete() {
		g.whole++
		return true
	}
	for n := range s.partial[r].All() {
		g.inc(n)
	}
	return true
}

func (s *Swarm) uncountKept(r ref) bool {
	l := s.at(r)
	g := s.shelves.list[l.group]
	if int(l.at) >= g.known {
		return false
	}
	g.known--
	s.swapKept(g, l.at, uint32(g.known))
	if s.machines.list[l.host].facts.Kind != darter.Seed {
		g.holders--
	}
	if l.complete() {
		g.whole--
		return true
	}
	for n := range s.partial[r].All() {
		g.dec(n)
	}
	return true
}

// reconcileKept brings a location in line with its host.
func (s *Swarm) reconcileKept(r ref) {
	l := s.at(r)
	h, g := s.machines.list[l.host], s.shelves.list[l.group]
	switch {
	case h.gone || l.run < h.void:
		s.forgetKept(r)
	case s.counts(l):
		s.countKept(r)
		s.wakeHungry(g)
	default:
		s.uncountKept(r)
	}
	if g.work.live > 0 {
		s.dirty(g)
	}
}

// usable reports whether a location that counts may serve p some of the pieces.
func (s *Swarm) usable(p *peer, r ref, missing darter.PieceSet) bool {
	l := s.at(r)
	h := s.machines.list[l.host]
	if h == p.host || !s.counts(l) {
		return false
	}
	if len(p.blocked) > 0 {
		if _, blocked := p.blocked[keptID(h, p.task)]; blocked {
			return false
		}
	}
	switch {
	case l.complete():
		return true
	case !p.native():
		return s.partial[r].Contains(missing)
	}
	return s.partial[r].Overlaps(missing)
}

// summon makes a peer of a location again, so that children can be told of it.
func (s *Swarm) summon(r ref) *peer {
	l := *s.at(r)
	held := s.partial[r]
	h, g := s.machines.list[l.host], s.shelves.list[l.group]
	s.seq++
	p := &peer{id: keptID(h, g.task), host: h, task: g.task, group: g, seq: s.seq, created: s.now, updated: s.now, run: l.run,
		done: true, shared: true, full: l.complete()}
	if p.wanted = g.all; !p.full {
		p.held, p.wanted = held, held.Clone()
	}
	if old := s.peers[p.id]; old != nil { // somebody took that name
		s.dismissName(old)
	}
	s.enrol(p)
	g.size++
	g.add(p)
	s.forgetKept(r)
	s.aging.push(aging{peer: p, due: s.now.Add(s.cfg.Linger)})
	return p
}

func (s *Swarm) dismissName(p *peer) {
	if p.open {
		s.out(CloseStream{Peer: p.id, Kind: darter.Conflict, Reason: "its id is that of another peer", Hint: "make a fresh peer id for every attempt"})
	}
	s.drop(p)
}

// shelve makes a location of a finished peer with which nobody has to do. It reports whether the peer is gone.
func (s *Swarm) shelve(p *peer) bool {
	if p.open || !p.done || len(p.links) > 0 {
		return false
	}
	if p.group != nil && p.holdsAny() && !p.host.gone {
		if q := p.heir; q != nil {
			return s.absorb(q, p)
		} else if q = p.twin; q != nil {
			return s.absorb(q, p)
		}
		var held *darter.PieceSet
		if !p.full {
			set := p.held.Clone()
			held = &set
		}
		s.keep(p.host, p.group, held, p.run)
	}
	s.drop(p)
	return true
}

// absorb adds what a finished peer holds to another one of the same host in the same task, which outlives it. Of two
// contents, only the later counts.
func (s *Swarm) absorb(q, p *peer) bool {
	switch g := p.group; {
	case q.open || (q.group != nil && q.group != g && q.seq < p.seq):
		return false
	case q.group == g && !q.full && q.run <= p.run:
		if !q.parked {
			g.uncount(q)
		}
		q.held.Union(p.holding())
		q.wanted.Union(p.wanted)
		if q.held.Contains(g.all) {
			q.full, q.held = true, darter.PieceSet{}
		}
		if !q.parked {
			g.count(q)
		}
		s.wakeHungry(g) // who blocked the one may take it from the other
	}
	s.drop(p)
	return true
}

// easy is the number of children below which a holder counts as idle enough not to look for another.
const easy = 8

// draw summons locations when too few idle candidates are left for p, the best of a sample.
func (s *Swarm) draw(p *peer, missing darter.PieceSet) {
	g := p.group
	if g.known == 0 {
		return
	}
	need := s.cfg.Links - p.friends()
	if !p.native() {
		need = s.cfg.LegacyParents - len(p.news)
	}
	for _, q := range s.candidates(p, missing) {
		if q.children < easy {
			need--
		}
	}
	if need <= 0 {
		return
	}
	var refs []ref
	var facts []rank.Candidate
	me := hash(string(p.id))
	s.sampleKept(g, s.cfg.Sample/2, func(r ref) {
		h := s.machines.list[s.at(r).host]
		if !h.wary() && s.usable(p, r, missing) {
			refs = append(refs, r)
			facts = append(facts, rank.Candidate{Zone: h.zone, MaxTx: h.facts.Network.MaxTx, Useful: 1, Children: h.children,
				Failures: h.failures, Late: h.verdict == darter.Late, Tie: mix(me, h.mark)})
		}
	})
	for _, i := range rank.Order(p.host.zone, facts)[:min(need, len(refs))] {
		s.summon(refs[i])
	}
}

// sampleKept visits up to n of the locations that count, from a random start with an even stride.
func (s *Swarm) sampleKept(g *group, n int, visit func(ref)) {
	list := g.kept[:g.known]
	if len(list) <= n {
		for _, r := range list {
			visit(r)
		}
		return
	}
	at, step := s.rng.IntN(len(list)), len(list)/n
	for range n {
		visit(list[at])
		at = (at + step) % len(list)
	}
}

// recall summons a location that leads to some of the pieces. What no longer counts is taken out on the way.
func (s *Swarm) recall(p *peer, lack darter.PieceSet, wary bool) *peer {
	g := p.group
	for i := g.known - 1; i >= 0; i-- {
		if i >= g.known {
			continue
		}
		r := g.kept[i]
		if l := s.at(r); !s.counts(l) {
			s.uncountKept(r)
			s.dirty(g)
			continue
		}
		if s.machines.list[s.at(r).host].wary() == wary && s.usable(p, r, lack) {
			return s.summon(r)
		}
	}
	return nil
}

// evict takes the least recently confirmed locations when there are too many.
func (s *Swarm) evict() {
	for s.records.live > s.cfg.MaxLocations && s.records.oldest != 0 {
		r := s.records.oldest
		if g := s.shelves.list[s.at(r).group]; g.work.live > 0 {
			s.dirty(g)
		}
		s.forgetKept(r)
		s.tally.Evicted++
	}
}

// seconds is the time since the swarm began.
func (s *Swarm) seconds() uint32 { return uint32(s.now.Sub(s.began) / time.Second) }
