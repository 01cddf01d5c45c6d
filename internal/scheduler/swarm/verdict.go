package swarm

import (
	"slices"
	"time"

	"github.com/darter-p2p/darter"
)

// verdict takes what liveness says of a host. From this moment everybody who looks at the host sees it; what
// follows for each of its peers and locations is done by reviews, a bounded number of items per step.
func (s *Swarm) verdict(e HostVerdict) {
	h := s.hosts[e.Host]
	if h == nil || e.Verdict < darter.Alive || e.Verdict > darter.Left || e.Verdict == h.verdict {
		return
	}
	if e.Epoch != 0 && h.facts.Epoch != 0 && e.Epoch != h.facts.Epoch {
		return // said of another run
	}
	was := h.verdict
	if e.Verdict == darter.Offline {
		s.tally.DeadOffers += uint64(h.offers)
		h.offers = 0
	}
	if h.verdict, h.since = e.Verdict, s.now; h.wary() {
		s.suspects++
	} else if was == darter.Suspect {
		s.suspects--
	}
	switch e.Verdict {
	case darter.Left, darter.Forgotten:
		s.bury(h, e)
	case darter.Alive, darter.Late:
		if e.Verdict == darter.Alive {
			h.heard(s.now)
		}
		if was == darter.Suspect || was.Hidden() {
			s.reviewHost(h)
		}
	default:
		s.reviewHost(h)
	}
}

// bury takes a host out of sight. Its records are freed by and by; should it come back meanwhile, it is another.
func (s *Swarm) bury(h *host, e HostVerdict) {
	why := e.Reason
	if why == "" {
		why = e.Verdict.String()
	}
	h.gone, h.freed = true, [2]int{}
	delete(s.hosts, h.facts.ID)
	s.roll.remove(h)
	if h.atSeeds >= 0 {
		s.unseed(h)
	}
	s.out(Forgot{Host: h.facts.ID, Reason: why})
	s.reviewHost(h)
}

// reviewHost has each of a host's peers and locations brought in line with what the host is now. A review that is
// under way begins anew. Hosts on which others wait come first.
func (s *Swarm) reviewHost(h *host) {
	h.atPeer, h.atKept, h.visited = h.first, h.kept, false
	if h.review {
		return
	}
	h.review = true
	if h.children > 0 || h.open > 0 || h.waits > 0 {
		s.urgent.push(h)
	} else {
		s.reviews.push(h)
	}
}

// reviewSome goes on with the reviews, as far as budget items reach, and returns how many it were.
func (s *Swarm) reviewSome(budget int) int {
	used := 0
	for used < budget && s.urgent.len()+s.reviews.len() > 0 {
		line := &s.urgent
		if line.len() == 0 {
			line = &s.reviews
		}
		h := *line.front()
		used += 1 + s.reviewPart(h, budget-used)
		if h.atPeer == nil && h.atKept == 0 {
			line.pop()
			h.review = false
			s.reviewed(h)
		}
	}
	return used
}

// breath is the time in which verdicts have one step's items reviewed at once. With more of them, what they leave
// to do must not keep the next verdict waiting: it is left to ticks.
const breath = 20 * time.Millisecond

func (s *Swarm) reviewAtOnce() {
	if s.now.Sub(s.breathed) >= breath {
		s.breathed, s.spent = s.now, 0
	}
	if s.urgent.len()+s.reviews.len() > 0 {
		s.spent += s.reviewSome(s.cfg.StepItems - s.spent)
	}
}

// reviewPart looks at up to budget peers, links and locations of a host, and returns how many it were.
func (s *Swarm) reviewPart(h *host, budget int) int {
	used := 0
	if !h.visited {
		h.visited = true
		used += s.dropWaits(h)
	}
	for h.atPeer != nil && used < budget {
		p := h.atPeer
		n, done := s.reconcile(p, budget-used)
		if used += n; done && h.atPeer == p {
			h.atPeer = p.next
		}
	}
	for h.atPeer == nil && h.atKept != 0 && used < budget {
		r := h.atKept
		h.atKept = s.at(r).next
		s.reconcileKept(r)
		used++
	}
	return used
}

// reviewed ends a review: of a host that is gone nothing is left.
func (s *Swarm) reviewed(h *host) {
	if !h.gone {
		return
	}
	s.machines.remove(h.slot)
	s.out(Reclaimed{Host: h.facts.ID, Peers: h.freed[0], Locations: h.freed[1]})
}

// dropWaits ends the waits for a triggered seed that is hidden: others are to be found at once.
func (s *Swarm) dropWaits(h *host) int {
	if h.waits == 0 || !h.verdict.Hidden() {
		return 0
	}
	n := 0
	for _, d := range s.deadlines.rest() {
		if n++; d.group.dropPending(h) {
			s.dirty(d.group)
		}
	}
	return n / 16 // looking is cheap
}

// reconcile brings a peer in line with its host, and returns what that cost and whether it is done.
func (s *Swarm) reconcile(p *peer, budget int) (int, bool) {
	h := p.host
	switch {
	case h.gone || (!p.open && p.run < h.void):
		if used, done := s.unlinkSome(p, budget); !done {
			return used, false
		}
		s.dismiss(p)
	case p.group == nil:
	case !h.works():
		return s.park(p, budget)
	case p.parked:
		s.unpark(p)
	case p.withdrawn():
		return s.retire(p, budget)
	default:
		s.single(p)
		s.recount(p)
		if p.active() { // for a moment it may have counted as dead, and have been passed over
			s.dirty(p.group)
			s.touch(p)
		}
		if h.wary() {
			return 1 + s.warn(p), true
		}
		for i := range p.links {
			s.tellBack(p, p.links[i].to)
		}
		s.wakeHungry(p.group)
	}
	return 1, true
}

// single takes from a source-goer that others may rely on again what another was told to fetch meanwhile.
func (s *Swarm) single(p *peer) {
	for _, r := range slices.Clone(p.group.goers) {
		if r != p && r.host.gives() && r.assigned.Overlaps(p.assigned) {
			s.unassign(p, r.assigned)
		}
	}
}

// dismiss ends a peer whose host, or whose run of it, is gone.
func (s *Swarm) dismiss(p *peer) {
	if p.open {
		s.out(CloseStream{Peer: p.id, Kind: darter.NotFound, Reason: "host " + string(p.host.facts.ID) + " is " + p.host.verdict.String(), Hint: "announce the host again"})
	}
	s.drop(p)
}

// unlinkSome drops up to budget links of a peer. Whoever had it as a neighbour is offered others.
func (s *Swarm) unlinkSome(p *peer, budget int) (int, bool) {
	used := 0
	for len(p.links) > 0 && used < budget {
		s.unlink(p.links[len(p.links)-1].to, p)
		used += 1 + s.cfg.Links/4 // those around are looked at, too
	}
	return used, len(p.links) == 0
}

// park takes a peer of a dead host out of its group. It keeps what it is, for the host may come back.
func (s *Swarm) park(p *peer, budget int) (int, bool) {
	g := p.group
	if p.parked {
		return 1, true
	}
	s.abandon(p)
	used, done := s.unlinkSome(p, budget)
	if !done {
		return used, false
	}
	g.remove(p)
	p.parked, p.news, p.lacking = true, nil, false
	s.dirty(g)
	return used + 1, true
}

// abandon passes on what a peer was to fetch from the source.
func (s *Swarm) abandon(p *peer) {
	if p.assigned.Empty() {
		return
	}
	if p.seed() {
		p.group.tried = append(p.group.tried, p.host.facts.ID)
	}
	s.unassign(p, p.assigned)
}

// unpark brings a peer of a host that came back into its group again.
func (s *Swarm) unpark(p *peer) {
	p.parked = false
	p.group.add(p)
	s.dirty(p.group)
	s.touch(p)
	s.wakeHungry(p.group)
}

// retire takes a peer that may not be offered any more from its children. Its own download goes on.
func (s *Swarm) retire(p *peer, budget int) (int, bool) {
	if p.host.verdict == darter.Draining {
		s.abandon(p)
	}
	p.group.uncount(p)
	used, done := 0, true
	for i := len(p.links) - 1; i >= 0; i-- {
		q := p.links[i].to
		back := q.linkTo(p)
		if !back.told {
			continue
		}
		if used >= budget {
			done = false
			break
		}
		used += 1 + s.cfg.Links/4
		if !p.links[i].told {
			s.unlink(q, p)
			continue
		}
		back.told = false
		p.unled()
		q.news = slices.DeleteFunc(q.news, func(o *peer) bool { return o == p })
		s.touchAround(q)
	}
	s.dirty(p.group)
	s.touch(p)
	return used + 1, done
}

// recount lets what a peer holds count again, or for the first time.
func (s *Swarm) recount(p *peer) {
	if p.counted {
		return
	}
	if p.group.count(p); p.counted {
		s.dirty(p.group)
	}
	if p.shares() {
		s.wakeHungry(p.group)
	}
}

// warn has the children of a suspect's peer look for others, and passes on what it fetches from the
// source if it has brought nothing for a while.
func (s *Swarm) warn(p *peer) int {
	for i := range p.links {
		s.touch(p.links[i].to)
	}
	s.passOn(p)
	return len(p.links)
}

// passOn takes the pieces from a source-goer on a suspect host that brings nothing, when another can go.
func (s *Swarm) passOn(p *peer) {
	if p.assigned.Empty() || !p.host.wary() || s.now.Sub(p.progress) < s.cfg.SuspectStall {
		return
	}
	for _, r := range p.group.work.list {
		if r != nil && r != p && r.active() && r.host.gives() && !r.host.wary() && !r.mayNot && r.canAnswer() && r.missing().Minus(r.bad).Overlaps(p.assigned) {
			s.abandon(p)
			s.dirty(p.group)
			return
		}
	}
}
