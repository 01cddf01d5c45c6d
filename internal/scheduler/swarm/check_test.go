package swarm

import (
	"slices"
	"testing"

	"github.com/darter-p2p/darter"
)

// check holds a swarm against what the package promises, and its counts against a recount.
func check(t testing.TB, s *Swarm) {
	t.Helper()
	for _, task := range s.tasks {
		for _, g := range task.groups {
			checkGroup(t, s, g)
		}
	}
	for _, h := range s.roll {
		for _, p := range h.peers {
			if s.peers[p.id] != p {
				t.Fatalf("host %s lists the dropped peer %s", h.facts.ID, p.id)
			}
		}
	}
	for _, e := range s.effects {
		if o, is := e.(Offer); is {
			checkOffer(t, s, o)
		}
	}
}

func checkOffer(t testing.TB, s *Swarm, o Offer) {
	p := s.peers[o.Peer]
	if p == nil || !p.open {
		t.Fatalf("offer to %s, which is gone", o.Peer)
	}
	if !p.native() && len(o.Parents) > s.cfg.LegacyParents {
		t.Fatalf("plain client %s was offered %d parents", p.id, len(o.Parents))
	}
	for _, n := range o.Parents {
		q := s.peers[n.Peer]
		switch {
		case q == nil:
			t.Fatalf("%s was offered %s, which is gone", p.id, n.Peer)
		case q.host == p.host:
			t.Fatalf("%s was offered %s of its own host", p.id, q.id)
		case !q.shares():
			t.Fatalf("%s was offered %s, which does not share", p.id, q.id)
		case p.blocks(q):
			t.Fatalf("%s was offered %s, which it blocks", p.id, q.id)
		case q.group != p.group:
			t.Fatalf("%s was offered %s of another layout", p.id, q.id)
		}
	}
}

func checkGroup(t testing.TB, s *Swarm, g *group) {
	var assigned, here darter.PieceSet
	active, whole := 0, 0
	for _, p := range g.peers {
		if p.active() {
			active++
		}
		if p.counted != (p.shares() && p.holdsAny()) {
			t.Fatalf("%s is counted %v, shares %v, holds %v", p.id, p.counted, p.shares(), p.holding())
		}
		if p.counted && p.full {
			whole++
		} else if p.counted {
			here.Union(p.held)
		}
		if p.assigned.Empty() {
			continue
		}
		if !p.active() {
			t.Fatalf("%s has assigned pieces %v and is not active", p.id, p.assigned)
		}
		if !p.host.facts.NoSharing {
			if twice := assigned.Intersect(p.assigned); !twice.Empty() {
				t.Fatalf("pieces %v are assigned twice", twice)
			}
			assigned.Union(p.assigned)
		}
		if !p.missing().Contains(p.assigned) {
			t.Fatalf("%s is assigned %v and misses only %v", p.id, p.assigned, p.missing())
		}
	}
	if active != g.active || whole != g.whole || !here.Equal(g.here) {
		t.Fatalf("counts: active %d/%d whole %d/%d here %v/%v", g.active, active, g.whole, whole, g.here, here)
	}
	var needed darter.PieceSet
	for _, p := range g.peers {
		if p.active() {
			needed.Union(p.missing().Minus(g.heldFor(p)))
			checkReach(t, s, g, p)
		}
		checkLinks(t, p)
	}
	if idle := assigned.Minus(needed); !idle.Empty() {
		t.Fatalf("pieces %v are assigned although peers share them with all who want them", idle)
	}
}

// checkReach: no waiting peer is forgotten.
func checkReach(t testing.TB, s *Swarm, g *group, p *peer) {
	if slices.Contains(s.held, g) {
		return // put off, with a deadline
	}
	lack := p.missing().Minus(p.assigned)
	if lack.Empty() || (!p.native() && !p.awaiting) {
		if lack.Empty() || p.sourcing || p.responses > 0 {
			return
		}
		t.Fatalf("plain client %s was told nothing and waits for nothing", p.id)
	}
	for _, l := range p.links {
		if l.told && l.to.shares() {
			if p.blocks(l.to) {
				t.Fatalf("%s keeps the blocked neighbour %s", p.id, l.to.id)
			}
			lack = lack.Minus(l.to.provides(p))
		}
	}
	for _, w := range g.pending {
		if !w.deadline.After(s.now) {
			t.Fatalf("the wait for seed %s is overdue", w.host.facts.ID)
		}
		lack = lack.Minus(w.pieces)
	}
	for _, r := range g.goers {
		if r.host == p.host || p.blocks(r) || !r.shared {
			lack = lack.Minus(r.assigned) // comes to it by way of others, or once the goer started
		}
	}
	if !lack.Empty() {
		t.Fatalf("%s (native %v) misses %v and is forgotten: links %d, assigned %v, held %v, coming %v",
			p.id, p.native(), lack, len(p.links), p.assigned, g.held(), g.coming(p))
	}
}

func checkLinks(t testing.TB, p *peer) {
	children := 0
	for _, l := range p.links {
		back := l.to.linkTo(p)
		if back == nil {
			t.Fatalf("%s is linked to %s, but not back", p.id, l.to.id)
		}
		if back.told && l.to.active() {
			children++
		}
	}
	if children != p.children {
		t.Fatalf("%s counts %d children, has %d", p.id, p.children, children)
	}
}
