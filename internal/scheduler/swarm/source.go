package swarm

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/darter-p2p/darter"
)

// assign finds somebody for every uncovered piece of the group.
func (s *Swarm) assign(g *group) {
	if g.work.live == 0 {
		g.attempts, g.tried = 0, nil
		return
	}
	s.release(g)
	if s.now.Before(s.relearn) && g.resumed {
		if !g.putOff {
			g.putOff = true
			s.held = append(s.held, g)
		}
		return
	}
	sure := g.sure()
	for _, p := range g.work.list {
		if p == nil || !p.active() || (s.ordinary(p) && sure.Contains(p.wanted)) {
			continue
		}
		if rest := s.uncovered(p); !rest.Empty() {
			s.cover(g, p, rest)
			sure = g.sure()
		}
	}
}

// release takes from source-goers what everybody who wants it can get from a peer by now.
func (s *Swarm) release(g *group) {
	held := g.held()
	if !slices.ContainsFunc(g.goers, func(r *peer) bool { return r.assigned.Overlaps(held) }) {
		return
	}
	var needed darter.PieceSet
	for _, p := range g.work.list {
		if p != nil && p.active() {
			needed.Union(p.missing().Minus(s.heldFor(p)))
		}
	}
	for _, r := range slices.Clone(g.goers) {
		if idle := r.assigned.Minus(needed); !idle.Empty() {
			s.unassign(r, idle)
		}
	}
}

// cover gives the uncovered pieces of p to who fetches them, or ends p's stream when nobody can.
func (s *Swarm) cover(g *group, p *peer, rest darter.PieceSet) {
	if s.now.Before(g.refused) {
		s.refuse(g, p, g.verdict)
		return
	}
	if p.selfSource && !p.mayNot && p.canAnswer() {
		if own := rest.Minus(p.bad); !own.Empty() {
			s.give(p, own, "asked to")
			rest = rest.Minus(own)
		}
	}
	if !p.native() && p.awaiting && !p.mayNot && !rest.Intersect(g.held()).Empty() {
		s.give(p, rest.Minus(p.bad), "nobody can serve it")
		rest = rest.Intersect(p.bad)
	}
	for !rest.Empty() {
		r, part := s.goer(g, p, rest, true)
		if r == nil {
			break
		}
		s.give(r, part, "seed")
		rest = rest.Minus(part)
	}
	if rest.Empty() || s.trigger(g, p, rest) {
		return
	}
	for !rest.Empty() {
		r, part := s.goer(g, p, rest, false)
		if r == nil {
			break
		}
		s.give(r, part, s.reason(g))
		rest = rest.Minus(part)
	}
	if rest.Empty() || (!p.native() && !p.awaiting && !p.mayNot) {
		return // a plain client at work: it asks when its parents are exhausted
	}
	s.refuse(g, p, p.fault)
}

func (s *Swarm) reason(g *group) string {
	switch {
	case g.attempts > 0:
		return "another one failed"
	case len(g.tried) > 0:
		return "no seed could"
	}
	return "nobody holds it"
}

// canAnswer reports whether the peer can be told something now.
func (p *peer) canAnswer() bool { return p.native() || p.awaiting }

// goer picks the active peer that is to fetch some of the pieces: our own before plain clients, then
// who holds most, then who registered first.
func (s *Swarm) goer(g *group, asker *peer, rest darter.PieceSet, seeds bool) (*peer, darter.PieceSet) {
	var best *peer
	var part darter.PieceSet
	for _, r := range g.work.list {
		if r == nil || !r.active() || r.seed() != seeds || r.mayNot || !r.canAnswer() || !rest.Overlaps(r.wanted) {
			continue
		}
		can := rest.Intersect(r.missing()).Minus(r.bad)
		if r != asker {
			if !r.host.gives() || asker.blocks(r) || r.host == asker.host {
				continue // the asker would have nothing of it
			}
			can = can.Minus(s.heldFor(r)) // what it can get from a peer it does not fetch from the source
		}
		if !can.Empty() && (best == nil || better(r, best)) {
			best, part = r, can
		}
	}
	return best, part
}

func better(a, b *peer) bool {
	if a.host.wary() != b.host.wary() {
		return b.host.wary()
	}
	if a.native() != b.native() {
		return a.native()
	}
	return cmp.Or(cmp.Compare(b.held.Len(), a.held.Len()), cmp.Compare(a.seq, b.seq)) < 0
}

// give assigns pieces to a source-goer and tells it.
func (s *Swarm) give(r *peer, part darter.PieceSet, reason string) {
	if r.assigned.Empty() && !part.Empty() && !slices.Contains(r.group.goers, r) {
		r.group.goers = append(r.group.goers, r)
	}
	r.assigned.Union(part)
	r.progress = s.now
	s.sourcing(r)
	if !r.native() {
		r.awaiting = false
		r.responses++
	}
	s.out(GoToSource{Task: r.task.id, Peer: r.id, Kind: r.host.facts.Kind, Pieces: part, All: !r.native(), Reason: reason})
	for _, q := range r.group.work.list {
		s.touch(q) // assignments are rare, and any of them may count on this one from now on
	}
}

// unassign takes pieces from a source-goer; who counted on it is looked at again.
func (s *Swarm) unassign(r *peer, part darter.PieceSet) {
	if r.assigned.Empty() {
		return
	}
	r.assigned = r.assigned.Minus(part)
	if r.assigned.Empty() {
		r.group.goers = slices.DeleteFunc(r.group.goers, func(q *peer) bool { return q == r })
	}
	for i := range r.links {
		s.touch(r.links[i].to)
	}
	s.touch(r)
	s.dirty(r.group)
}

// trigger has a seed fetch on behalf of p. It reports false when no seed may.
func (s *Swarm) trigger(g *group, p *peer, rest darter.PieceSet) bool {
	if p.seed() || (p.priority >= 1 && p.priority <= 3) || len(g.tried) >= s.cfg.SeedTries {
		return false
	}
	seed := s.seedFor(g, p)
	if seed == nil {
		return false
	}
	g.tried = append(g.tried, seed.facts.ID)
	seed.waits++
	w := pending{host: seed, pieces: p.wanted.Clone(), deadline: s.now.Add(s.cfg.SeedDeadline)}
	w.pieces.Union(rest)
	g.pending = append(g.pending, w)
	s.deadlines.push(deadline{group: g, due: w.deadline})
	why := "nobody holds it"
	if len(g.tried) > 1 {
		why = "another seed failed"
	}
	s.out(TriggerSeed{Task: g.task.id, Host: seed.facts, For: p.id, Reason: why})
	return true
}

// seedFor chooses among healthy seeds by rendezvous hashing, so that a task keeps its seed while seeds
// come and go; equal hashes go to the nearer seed. A suspect is chosen for want of another.
func (s *Swarm) seedFor(g *group, p *peer) *host {
	var best *host
	var high uint64
	name := hash(string(g.task.id))
	for _, h := range s.seeds.list {
		if h == nil || h.unwell || s.now.Before(h.restTill) || !h.gives() || h == p.host ||
			slices.Contains(g.tried, h.facts.ID) || g.waitsFor(h) || s.busy(h, g) {
			continue
		}
		score := mix(name, h.mark)
		nearer := best != nil && score == high && h.zone.Key() == p.host.zone.Key() && best.zone.Key() != h.zone.Key()
		switch {
		case best == nil || (best.wary() && !h.wary()):
			best, high = h, score
		case best.wary() == h.wary() && (score > high || nearer):
			best, high = h, score
		}
	}
	return best
}

// busy reports whether the host is at work in the group.
func (s *Swarm) busy(h *host, g *group) bool {
	for q := s.parts[place{h.slot, g.task.slot}]; q != nil; q = q.twin {
		if q.group == g && q.active() {
			return true
		}
	}
	return false
}

// refuse ends the stream of a peer for which there is no way left.
func (s *Swarm) refuse(g *group, p *peer, f Fault) {
	c := CloseStream{Peer: p.id, Kind: darter.Unavailable, Status: f.Status}
	switch {
	case f.Status != 0:
		c.Kind = kindOf(f.Status)
		c.Reason = strings.TrimSpace(fmt.Sprintf("the origin answered %d %s", f.Status, f.Text))
		c.Hint = "check the URL and the request headers; the origin's answer is passed on as it is"
	case f.Text != "":
		c.Reason = "the origin could not be reached: " + f.Text
		c.Hint = "check that the hosts of this cluster reach the origin"
	default:
		c.Reason = "no peer holds the missing pieces and nobody may fetch them from the origin"
		c.Hint = "allow back to source, or start a seed"
	}
	s.out(c)
	s.drop(p)
}

// settled reports whether an answer of the origin is its last word for everybody: a refusal for lack
// of credentials or of patience is not.
func settled(status int) bool {
	switch status {
	case 401, 403, 407, 408, 425, 429:
		return false
	}
	return status >= 400 && status < 500
}

func kindOf(status int) darter.Kind {
	switch {
	case status == 404 || status == 410:
		return darter.NotFound
	case status == 401 || status == 403 || status == 407:
		return darter.Denied
	case settled(status):
		return darter.Invalid
	}
	return darter.Unavailable
}

// originFailed counts a failure at the source.
func (s *Swarm) originFailed(g *group, f Fault) {
	g.attempts++
	g.verdict = f
	if settled(f.Status) || g.attempts >= s.cfg.SourceAttempts {
		if g.verdict == (Fault{}) {
			g.verdict.Text = fmt.Sprintf("%d attempts failed", g.attempts)
		}
		g.refused, g.attempts = s.now.Add(s.cfg.VerdictTTL), 0
	}
	s.dirty(g)
}
