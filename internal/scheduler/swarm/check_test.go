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
	checkIndexes(t, s)
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
		case q.host.verdict.Hidden():
			t.Fatalf("%s was offered %s of a host that is %s", p.id, q.id, q.host.verdict)
		case p.blocks(q):
			t.Fatalf("%s was offered %s, which it blocks", p.id, q.id)
		case q.host.wary() && needless(s, p, q):
			t.Fatalf("%s was offered the suspect %s although others have what it holds", p.id, q.id)
		case q.group != p.group:
			t.Fatalf("%s was offered %s of another layout", p.id, q.id)
		}
	}
}

// needless: p can do without the suspect q, because hosts above suspicion hold or fetch all that q leads to.
func needless(s *Swarm, p, q *peer) bool {
	if !p.native() || len(s.effects) > 1 { // by now the group may be another than when the offer was decided
		return false
	}
	need := q.provides(p).Intersect(p.missing().Minus(p.assigned))
	for _, r := range p.group.peers.list {
		if r != nil && !r.host.wary() && offerable(p, r, need) {
			need = need.Minus(r.holding()).Minus(r.assigned)
		}
	}
	return need.Empty()
}

func checkGroup(t testing.TB, s *Swarm, g *group) {
	var assigned, here darter.PieceSet
	working, whole := 0, 0
	for _, p := range g.peers.list {
		if p == nil {
			continue
		}
		if p.working {
			working++
		}
		if p.active() && !p.working {
			t.Fatalf("%s is active and not among the workers", p.id)
		}
		if !p.host.review && p.counted != (p.shares() && p.holdsAny()) {
			t.Fatalf("%s is counted %v, shares %v, holds %v", p.id, p.counted, p.shares(), p.holding())
		}
		if p.counted && p.full {
			whole++
		} else if p.counted {
			here.Union(p.held)
		}
		if p.assigned.Empty() || p.host.review {
			continue
		}
		if !p.active() {
			t.Fatalf("%s has assigned pieces %v and is not active", p.id, p.assigned)
		}
		if p.host.gives() {
			if twice := assigned.Intersect(p.assigned); !twice.Empty() {
				t.Fatalf("pieces %v are assigned twice", twice)
			}
			assigned.Union(p.assigned)
		}
		if !p.missing().Contains(p.assigned) {
			t.Fatalf("%s is assigned %v and misses only %v", p.id, p.assigned, p.missing())
		}
	}
	for _, r := range g.kept[:g.known] {
		if s.at(r).complete() {
			whole++
		} else {
			here.Union(s.partial[r])
		}
	}
	if working != g.work.live || whole != g.whole || !here.Equal(g.here) {
		t.Fatalf("counts: working %d/%d whole %d/%d here %v/%v", g.work.live, working, g.whole, whole, g.here, here)
	}
	behind := s.urgent.len()+s.reviews.len()+s.later.len()+len(s.groups) > 0
	var needed darter.PieceSet
	for _, p := range g.peers.list {
		if p == nil {
			continue
		}
		if p.active() && !behind {
			needed.Union(p.missing().Minus(s.heldFor(p)))
			checkReach(t, s, g, p)
			checkWary(t, s, p)
		}
		checkLinks(t, p)
	}
	if idle := assigned.Minus(needed); !behind && !idle.Empty() {
		t.Fatalf("pieces %v are assigned although peers share them with all who want them", idle)
	}
}

// checkWary: nobody has to rely on a suspect for pieces to which somebody else leads.
func checkWary(t testing.TB, s *Swarm, p *peer) {
	if !p.native() {
		return
	}
	lack := p.missing().Minus(p.assigned)
	for _, l := range p.links {
		if l.told && l.to.shares() && !l.to.host.wary() {
			lack = lack.Minus(l.to.provides(p))
		}
	}
	for _, q := range p.group.peers.list {
		if q == nil || q.host.wary() || !offerable(p, q, lack) {
			continue
		}
		if l := p.linkTo(q); (l == nil || !l.told) && lack.Overlaps(q.provides(p)) {
			t.Fatalf("%s relies on suspects for %v although %s leads to some of it", p.id, lack, q.id)
		}
	}
	for _, r := range p.group.kept[:p.group.known] {
		if h := s.machines.list[s.at(r).host]; !h.wary() && s.usable(p, r, lack) && !lack.Empty() {
			t.Fatalf("%s relies on suspects for %v although %s holds it", p.id, lack, h.facts.ID)
		}
	}
}

// checkIndexes: host, task and peer lead to one another, and nothing else leads anywhere.
func checkIndexes(t testing.TB, s *Swarm) {
	t.Helper()
	peers, kept, counted := 0, 0, 0
	for _, h := range s.machines.list {
		if h == nil {
			continue
		}
		if counted++; !h.gone && s.hosts[h.facts.ID] != h {
			t.Fatalf("host %s is not found", h.facts.ID)
		}
		if h.gone && !h.review {
			t.Fatalf("host %s is gone, and nobody frees it", h.facts.ID)
		}
		n, open, children, waits := 0, 0, 0, 0
		for p := h.first; p != nil; p = p.next {
			n++
			children += p.children
			if p.open {
				open++
			}
			if s.peers[p.id] != p || p.host != h || s.tasks[p.task.id] != p.task {
				t.Fatalf("host %s lists %s, which is not found, not its own, or has no task", h.facts.ID, p.id)
			}
			if !slices.Contains(s.partsOf(h, p.task), p) {
				t.Fatalf("%s is not found by host and task", p.id)
			}
		}
		for _, task := range s.tasks {
			for _, g := range task.groups {
				for _, w := range g.pending {
					if w.host == h {
						waits++
					}
				}
			}
		}
		if n != h.peers || open != h.open || children != h.children || waits != h.waits {
			t.Fatalf("host %s counts %d peers, %d open, %d children, %d waits; it has %d, %d, %d, %d", h.facts.ID, h.peers, h.open, h.children, h.waits, n, open, children, waits)
		}
		peers += n
		for r := h.kept; r != 0; r = s.at(r).next {
			l := s.at(r)
			g := s.shelves.list[l.group]
			if kept++; s.index[place{h.slot, g.task.slot}] != r || g.kept[l.at] != r || s.machines.list[l.host] != h || s.tasks[g.task.id] != g.task {
				t.Fatalf("host %s lists location %d, which is not found", h.facts.ID, r)
			}
			if inFront := int(l.at) < g.known; !h.review && inFront != s.counts(l) {
				t.Fatalf("location of %s at %s counts: %v, should: %v", g.task.id, h.facts.ID, inFront, s.counts(l))
			}
			if len(s.partsOf(h, g.task)) > 0 && s.parts[place{h.slot, g.task.slot}].native() {
				t.Fatalf("%s has a peer and a location of %s", h.facts.ID, g.task.id)
			}
		}
	}
	parts := 0
	for at := range s.parts {
		for p := s.parts[at]; p != nil; p = p.twin {
			parts++
		}
	}
	if peers != len(s.peers) || parts != peers || kept != s.records.live || kept != len(s.index) || s.roll.live != len(s.hosts) {
		t.Fatalf("%d peers of hosts, %d by host and task, %d by id; %d locations of hosts, %d records, %d in the index; %d hosts of %d in the roll",
			peers, parts, len(s.peers), kept, s.records.live, len(s.index), s.roll.live, len(s.hosts))
	}
	order := 0
	for r := s.records.oldest; r != 0; r = s.at(r).newer {
		order++
	}
	if order != kept {
		t.Fatalf("%d locations are in the order of age, of %d", order, kept)
	}
	for _, task := range s.tasks {
		for _, g := range task.groups {
			if g.size == 0 && len(g.kept) == 0 {
				t.Fatalf("task %s has an empty group", task.id)
			}
		}
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
		if back.told {
			children++
		}
	}
	if children != p.children {
		t.Fatalf("%s counts %d children, has %d", p.id, p.children, children)
	}
}
