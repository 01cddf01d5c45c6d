package swarm

import (
	"cmp"
	"slices"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/scheduler/rank"
)

// ensure gives an active peer the neighbours it needs: enough of them, near and far, and together
// leading to every piece it misses.
func (s *Swarm) ensure(p *peer) {
	p.lacking = false
	if !p.active() || !p.canAnswer() {
		return
	}
	missing := p.missing().Minus(p.assigned)
	if missing.Empty() {
		return
	}
	if !p.native() && p.responses >= s.cfg.LegacyResponses-1 {
		s.lastAnswer(p, missing)
		return
	}
	s.draw(p, missing)
	if p.native() {
		s.befriend(p, missing)
		s.reach(p, missing)
		return
	}
	before := len(p.news)
	s.reach(p, missing) // few places: first who leads to the pieces
	s.befriend(p, missing)
	s.answer(p, before)
}

// befriend links p to good candidates until it has enough neighbours.
func (s *Swarm) befriend(p *peer, missing darter.PieceSet) {
	room := s.cfg.Links - p.friends()
	if !p.native() {
		room = s.cfg.LegacyParents - len(p.news)
	} else if s.cfg.Links-room >= s.cfg.MinLinks {
		return
	}
	cands := s.candidates(p, missing)
	if len(cands) == 0 {
		return
	}
	ordered := s.ordered(p, missing, cands)
	far := s.farMissing(p)
	for _, q := range ordered { // the best of other zones first: zones must stay connected
		if room > 0 && far > 0 && q.host.zone.Key() != p.host.zone.Key() {
			s.connect(p, q)
			far--
			room--
		}
	}
	for _, q := range ordered {
		if room > 0 && !s.knows(p, q) {
			s.connect(p, q)
			room--
		}
	}
}

// farMissing is how many neighbours in other zones p still needs.
func (s *Swarm) farMissing(p *peer) int {
	far := s.cfg.RemoteLinks
	for _, l := range p.links {
		if l.told && !l.to.host.wary() && l.to.host.zone.Key() != p.host.zone.Key() {
			far--
		}
	}
	if !p.native() {
		far = min(far, 1)
	}
	return far
}

// knows reports whether q is, or is about to be, in p's hands. A plain client is offered again what it still may use.
func (s *Swarm) knows(p, q *peer) bool {
	if slices.Contains(p.news, q) {
		return true
	}
	l := p.linkTo(q)
	return l != nil && l.told && p.native()
}

// offerable reports whether q may be offered to p for some of its missing pieces.
func offerable(p, q *peer, missing darter.PieceSet) bool {
	if q == p || q.host == p.host || !q.shares() || p.blocks(q) {
		return false
	}
	if q.full {
		return true
	}
	if q.active() {
		return missing.Overlaps(q.wanted) || missing.Overlaps(q.held)
	}
	if !p.native() { // a plain client waits for every piece at each parent: one that will not get them stalls it
		return q.held.Contains(missing)
	}
	return missing.Overlaps(q.held)
}

// candidates returns a sample of who may be offered to p and has room, half of it from p's zone. Suspects are
// not among them: whoever needs one is led there by reach.
func (s *Swarm) candidates(p *peer, missing darter.PieceSet) []*peer {
	var out []*peer
	take := func(q *peer) {
		if q.host.wary() {
			return
		}
		limit := s.cfg.HolderChildren
		load := q.children
		if q.active() && !q.seed() && q.assigned.Empty() {
			limit, load = s.cfg.MaxLinks, len(q.links)
		}
		linked := p.linkTo(q) != nil
		if (load < limit || linked || !p.native()) && !s.knows(p, q) && offerable(p, q, missing) {
			out = append(out, q)
		}
	}
	if p.group.peers.live <= s.cfg.Sample {
		for _, q := range p.group.peers.list {
			if q != nil {
				take(q)
			}
		}
		return out
	}
	if near := p.group.zones[p.host.zone.Key()]; near != nil {
		s.sample(near.list, s.cfg.Sample/2, take)
	}
	s.sample(p.group.peers.list, s.cfg.Sample/2, func(q *peer) {
		if q.host.zone.Key() != p.host.zone.Key() {
			take(q)
		}
	})
	return out
}

// sample visits up to n peers from a random start with an even stride, each at most once.
func (s *Swarm) sample(from []*peer, n int, visit func(*peer)) {
	at, step := 0, 1
	if len(from) > n {
		at, step = s.rng.IntN(len(from)), len(from)/n
	}
	for range min(n, len(from)) {
		if q := from[at]; q != nil {
			visit(q)
		}
		at = (at + step) % len(from)
	}
}

func (s *Swarm) ordered(p *peer, missing darter.PieceSet, cands []*peer) []*peer {
	facts := make([]rank.Candidate, len(cands))
	total := float64(missing.Len())
	me := hash(string(p.id))
	for i, q := range cands {
		useful := 1.0
		if !q.full {
			useful = float64(missing.Overlap(q.held)) / total
		}
		facts[i] = rank.Candidate{Zone: q.host.zone, MaxTx: q.host.facts.Network.MaxTx, Children: q.children, Useful: useful,
			Spare: q.seed() && p.group.holders >= s.cfg.LegacyParents, Failures: q.host.failures,
			Late: q.host.verdict == darter.Late, Tie: mix(me, hash(string(q.id)))}
	}
	out := make([]*peer, len(cands))
	for i, at := range rank.Order(p.host.zone, facts) {
		out[i] = cands[at]
	}
	return out
}

// reach adds neighbours, whatever their load, until all that can be reached is. Suspects come last, for what
// nobody else leads to.
func (s *Swarm) reach(p *peer, missing darter.PieceSet) {
	promised := func(q *peer) darter.PieceSet { return q.provides(p) }
	lack := s.fill(p, missing, false, promised)
	if s.suspects > 0 {
		s.fill(p, s.hollow(p, missing), true, (*peer).sure)
		lack = s.fill(p, lack, true, promised)
	}
	if p.lacking = !lack.Empty(); !p.lacking {
		p.group.sate(p)
	} else if !p.hungry {
		p.hungry = true
		p.group.lackers = append(p.group.lackers, p)
	}
}

// fill links p, as far as its neighbours do not lead to the pieces, to others that do, above suspicion or not, and
// returns what nobody leads to. What a peer leads to is for lead to say.
func (s *Swarm) fill(p *peer, lack darter.PieceSet, wary bool, lead func(*peer) darter.PieceSet) darter.PieceSet {
	for _, l := range p.links {
		if !lack.Empty() && l.told && p.native() && l.to.host.wary() == wary && l.to.shares() {
			lack = lack.Minus(lead(l.to))
		}
	}
	for _, q := range p.news {
		if !lack.Empty() && q.host.wary() == wary {
			lack = lack.Minus(lead(q))
		}
	}
	for !lack.Empty() && (p.native() || len(p.news) < s.cfg.LegacyParents) {
		best := s.bestFor(p, lack, wary, lead)
		if best == nil {
			best = s.recall(p, lack, wary)
		}
		if best == nil {
			break
		}
		s.connect(p, best)
		lack = lack.Minus(lead(best))
	}
	return lack
}

// hollow returns the pieces that nobody above suspicion holds or fetches: what others promise to pass on of them,
// they would have to get from a suspect themselves.
func (s *Swarm) hollow(p *peer, missing darter.PieceSet) darter.PieceSet {
	if s.suspects == 0 {
		return darter.PieceSet{}
	}
	g, left := p.group, missing.Clone()
	for _, q := range g.peers.list {
		if q != nil && !q.host.wary() && offerable(p, q, missing) {
			left = left.Minus(q.sure())
		}
	}
	for _, r := range g.kept[:min(g.known, s.cfg.Sample)] {
		if !s.machines.list[s.at(r).host].wary() && s.usable(p, r, left) {
			if s.at(r).complete() {
				return darter.PieceSet{}
			}
			left = left.Minus(s.partial[r])
		}
	}
	return left
}

// bestFor returns who leads to most of the pieces, the least loaded of equals.
func (s *Swarm) bestFor(p *peer, lack darter.PieceSet, wary bool, lead func(*peer) darter.PieceSet) *peer {
	var best *peer
	most := 0
	for _, q := range p.group.peers.list {
		if q == nil || q.host.wary() != wary || s.knows(p, q) || !offerable(p, q, lack) {
			continue
		}
		n := lack.Overlap(lead(q))
		if n > most || (n == most && n > 0 && q.children < best.children) {
			best, most = q, n
		}
	}
	return best
}

// connect makes q a parent of p, and p one of q where q can use it.
func (s *Swarm) connect(p, q *peer) {
	l := p.linkTo(q)
	if l == nil {
		p.links = append(p.links, link{to: q})
		q.links = append(q.links, link{to: p})
		l = &p.links[len(p.links)-1]
	}
	s.tell(p, q, l)
	s.tellBack(p, q)
}

// tellBack offers p to q, when q is one of ours at work and p may be offered.
func (s *Swarm) tellBack(p, q *peer) {
	back := q.linkTo(p)
	if back != nil && !back.told && !p.host.wary() && q.active() && q.native() && offerable(q, p, q.missing().Minus(q.assigned)) {
		s.tell(q, p, back)
	}
}

func (s *Swarm) tell(p, q *peer, l *link) {
	if !l.told {
		l.told = true
		q.led()
		for _, r := range p.group.lackers { // p may lead others to what q holds
			if r.lacking {
				s.touch(r)
			}
		}
	}
	l.offers++
	if !slices.Contains(p.news, q) {
		p.news = append(p.news, q)
		s.toTell = append(s.toTell, p)
	}
}

// answer accounts for the one response a plain client gets.
func (s *Swarm) answer(p *peer, before int) {
	if len(p.news) > before {
		p.awaiting = false
		p.responses++
	}
}

// lastAnswer sends a plain client to the source while it still listens: the answer after this one would
// make it give up.
func (s *Swarm) lastAnswer(p *peer, missing darter.PieceSet) {
	if p.responses >= s.cfg.LegacyResponses || p.mayNot {
		s.out(CloseStream{Peer: p.id, Kind: darter.Unavailable, Reason: "the parents did not suffice, and no more answers fit into this download",
			Hint: "the client goes to the source by itself, unless that is disabled"})
		s.drop(p)
		return
	}
	s.give(p, missing.Minus(s.heldFor(p)).Minus(p.group.coming(p)), "last answer it takes")
}

// flush sends the offers that came together in this step, one per peer.
func (s *Swarm) flush() {
	slices.SortStableFunc(s.toTell, func(a, b *peer) int { return cmp.Compare(a.seq, b.seq) })
	for _, p := range s.toTell {
		if len(p.news) == 0 || !p.open {
			continue
		}
		offer := Offer{Task: p.task.id, Peer: p.id, Parents: make([]Neighbour, 0, len(p.news))}
		for _, q := range p.news {
			offer.Parents = append(offer.Parents, Neighbour{Peer: q.id, Host: q.host.facts, State: q.state()})
			q.host.offers++
			if q.host.wary() {
				offer.Suspects++
				s.tally.LastResort++
			}
		}
		p.news = nil
		s.out(offer)
	}
	s.toTell = s.toTell[:0]
}

// share lets a peer be offered from now on, and offers it to who waits.
func (s *Swarm) share(p *peer) {
	if p.shared || p.group == nil {
		return
	}
	p.shared = true
	p.group.count(p)
	if p.withdrawn() {
		return
	}
	for i := range p.links {
		s.tellBack(p, p.links[i].to)
	}
	s.touch(p)
	s.wakeHungry(p.group)
	if p.holdsAny() {
		s.dirty(p.group)
	}
}

// wakeHungry has the peers looked at again, before the step ends, that could use another neighbour.
func (s *Swarm) wakeHungry(g *group) {
	if !g.woken {
		g.woken = true
		s.wakened = append(s.wakened, g)
	}
}

func (s *Swarm) wakeThem() {
	for _, g := range s.wakened {
		g.woken = false
		for _, q := range g.work.list {
			if q != nil && (q.awaiting || (q.native() && (q.lacking || q.friends() < s.cfg.MinLinks))) {
				s.touch(q)
			}
		}
	}
	s.wakened = s.wakened[:0]
}
