package swarm

import (
	"fmt"
	"time"

	"github.com/darter-p2p/darter"
)

// audit is where the auditor stands in its pass over the records.
type audit struct {
	next  time.Time // when the next pass begins
	stage int       // 0 between two passes
	at    int
}

// auditSome goes on with the pass. What the indexes and counters promise is held against what they stand for: a
// swarm lives for months, and a count that is off by one must not stay so until it restarts.
func (s *Swarm) auditSome() {
	a := &s.audit
	if a.stage == 0 {
		if a.next.IsZero() {
			a.next = s.now.Add(s.cfg.AuditEvery)
		}
		if s.now.Before(a.next) {
			return
		}
		a.next, a.stage, a.at = s.now.Add(s.cfg.AuditEvery), 1, 0
	}
	for budget := s.cfg.AuditItems; budget > 0; {
		used, more := s.auditOne(a.stage, a.at)
		if budget -= used; more {
			a.at++
			continue
		}
		a.stage, a.at = a.stage+1, 0
		if a.stage > 4 {
			a.stage = 0
			return
		}
	}
}

// auditOne looks at one record of a stage. It returns what that cost, and whether the stage had one.
func (s *Swarm) auditOne(stage, at int) (int, bool) {
	switch stage {
	case 1:
		if at >= len(s.machines.list) {
			return 0, false
		}
		if h := s.machines.list[at]; h != nil {
			return s.auditHost(h), true
		}
	case 2:
		if at >= len(s.roster.list) {
			return 0, false
		}
		if p := s.roster.list[at]; p != nil {
			s.auditPeer(p)
		}
	case 3:
		if at >= len(s.shelves.list) {
			return 0, false
		}
		if g := s.shelves.list[at]; g != nil {
			return s.auditGroup(g), true
		}
	default:
		if at >= len(s.records.chunks)*chunk {
			return 0, false
		}
		s.auditKept(ref(at) + 1)
	}
	return 1, true
}

func (s *Swarm) repaired(kind, format string, args ...any) {
	s.out(Repaired{Kind: kind, What: fmt.Sprintf(format, args...)})
}

// auditHost recounts a host's lists, and gives up what it did not confirm since its restart.
func (s *Swarm) auditHost(h *host) int {
	peers, open, children, copies := 0, 0, 0, 0
	for p := h.first; p != nil; p = p.next {
		peers++
		children += p.children
		if p.open {
			open++
		}
	}
	for r := h.kept; r != 0; r = s.at(r).next {
		copies++
	}
	if h.peers != peers || h.open != open || h.children != children || h.copies != copies {
		s.repaired("host counts", "%s has %d peers, %d open, %d children, %d locations, not %d, %d, %d, %d",
			h.facts.ID, peers, open, children, copies, h.peers, h.open, h.children, h.copies)
		h.peers, h.open, h.children, h.copies = peers, open, children, copies
	}
	if h.gone && !h.review {
		s.repaired("forgotten host", "%s has %d peers and %d locations", h.facts.ID, peers, copies)
		s.reviewHost(h)
	}
	if !h.gone && s.hosts[h.facts.ID] != h {
		s.repaired("unknown host", "%s is in no index", h.facts.ID)
		if h.wary() {
			s.suspects--
		}
		h.verdict = darter.Forgotten
		s.bury(h, HostVerdict{Verdict: darter.Forgotten, Reason: "lost by the index"})
	}
	if !h.agreed && s.now.Sub(h.asked) > s.cfg.Unverified {
		h.void, h.agreed = h.run, true
		s.reviewHost(h)
	}
	return 1 + (peers+copies)/8
}

// auditPeer checks that a peer has a host and a task, and that both lead back to it.
func (s *Swarm) auditPeer(p *peer) {
	if s.peers[p.id] != p {
		s.repaired("peer index", "%s is not found by its id", p.id)
		s.peers[p.id] = p
	}
	found := false
	for q := s.parts[place{p.host.slot, p.task.slot}]; q != nil; q = q.twin {
		found = found || q == p
	}
	if !found {
		s.repaired("peer of host and task", "%s is not found by host %s and task %s", p.id, p.host.facts.ID, p.task.id)
		at := place{p.host.slot, p.task.slot}
		if p.heir, p.twin = nil, s.parts[at]; p.twin != nil {
			p.twin.heir = p
		}
		s.parts[at] = p
	}
	if s.tasks[p.task.id] != p.task {
		s.repaired("peer without task", "%s", p.id)
		s.dismissName(p)
		return
	}
	if h := p.host; !h.gone && s.hosts[h.facts.ID] != h {
		s.repaired("peer without host", "%s", p.id)
		s.dismissName(p)
		return
	}
	if g := p.group; g != nil && !p.host.review && !p.parked && p.counted != (p.shares() && p.holdsAny()) {
		s.repaired("peer that counts", "%s counts: %v", p.id, p.counted)
		g.uncount(p)
		g.count(p)
		s.dirty(g)
		s.wakeHungry(g)
	}
}

// auditGroup recounts who holds what in a group.
func (s *Swarm) auditGroup(g *group) int {
	wholes, holders := 0, 0
	have := make([]uint32, len(g.have))
	add := func(seed, full bool, set darter.PieceSet) {
		if !seed {
			holders++
		}
		if full {
			wholes++
			return
		}
		for n := range set.All() {
			for uint32(len(have)) <= n {
				have = append(have, 0)
			}
			have[n]++
		}
	}
	for _, p := range g.peers.list {
		if p != nil && p.counted {
			add(p.seed(), p.full, p.held)
		}
	}
	for _, r := range g.kept[:g.known] {
		l := s.at(r)
		add(s.machines.list[l.host].facts.Kind == darter.Seed, l.complete(), s.partial[r])
	}
	var here darter.PieceSet
	for n, c := range have {
		if c > 0 {
			here.Add(uint32(n))
		}
	}
	if wholes != g.whole || holders != g.holders || !here.Equal(g.here) || !equalCounts(have, g.have) {
		s.repaired("group counts", "%s has %d whole copies, %d holders and %s, not %d, %d and %s", g.task.id, wholes, holders, here, g.whole, g.holders, g.here)
		g.whole, g.holders, g.have, g.here = wholes, holders, have, here
		s.dirty(g)
		s.wakeHungry(g)
	}
	return 1 + (len(g.peers.list)+g.known)/8
}

func equalCounts(a, b []uint32) bool {
	for i := range max(len(a), len(b)) {
		var x, y uint32
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			return false
		}
	}
	return true
}

// auditKept checks that a location is found by host and task, that it counts when it should, and that it is
// not too old.
func (s *Swarm) auditKept(r ref) {
	l := s.at(r)
	if l.pieces == unused {
		return
	}
	h, g := s.machines.list[l.host], s.shelves.list[l.group]
	at := place{h.slot, g.task.slot}
	if s.index[at] != r {
		s.repaired("location index", "%s of %s", g.task.id, h.facts.ID)
		s.index[at] = r
	}
	switch {
	case s.expired(h, l):
		s.tally.Expired++
		s.forgetKept(r)
		if g.work.live > 0 {
			s.dirty(g)
		}
	case !h.review && s.counts(l) != (int(l.at) < g.known):
		s.repaired("location that counts", "%s of %s", g.task.id, h.facts.ID)
		s.reconcileKept(r)
	}
}
