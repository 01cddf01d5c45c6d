package swarm

import (
	"slices"

	"github.com/darter-p2p/darter"
)

// registered takes a new peer in.
func (s *Swarm) registered(e Registered) {
	h := s.hosts[e.Host]
	if h == nil {
		s.out(CloseStream{Peer: e.Peer, Kind: darter.NotFound, Reason: "host " + string(e.Host) + " is not known", Hint: "announce the host before registering"})
		return
	}
	h.evidence = s.now
	if old := s.peers[e.Peer]; old != nil {
		s.drop(old)
	}
	t := s.taskFor(e)
	s.seq++
	p := &peer{id: e.Peer, host: h, task: t, seq: s.seq, created: s.now, updated: s.now, open: true, priority: e.Want.Priority,
		mayNot: e.Want.DisableSource, selfSource: e.Want.NeedSource, awaiting: !h.facts.Native, rangeOnly: e.Want.Range != nil}
	s.peers[p.id] = p
	h.peers = append(h.peers, p)
	switch {
	case e.Want.LayoutKnown && e.Want.Layout.Count() == 0:
		t.loose = append(t.loose, p)
		if e.Want.MetadataOnly {
			s.out(Recorded{Peer: p.id})
			return
		}
		s.out(Empty{Peer: p.id})
	case !e.Want.LayoutKnown && len(t.groups) == 0:
		t.loose = append(t.loose, p)
		s.out(GoToSource{Task: t.id, Peer: p.id, Kind: h.facts.Kind, All: true, Reason: "its layout is not known"})
	default:
		s.join(p, e)
	}
}

func (s *Swarm) taskFor(e Registered) *task {
	t := s.tasks[e.Task]
	if t == nil {
		t = &task{id: e.Task, created: s.now}
		s.tasks[e.Task] = t
	}
	t.url, t.tag, t.app, t.updated = e.Want.URL, e.Want.Tag, e.Want.Application, s.now
	return t
}

// join puts a peer into the group of its layout.
func (s *Swarm) join(p *peer, e Registered) {
	g := p.task.groupFor(e.Want)
	p.group = g
	p.wanted = g.layout.Covering(e.Want.Range)
	p.held = e.Held.Intersect(g.all)
	if p.native() { // what it holds now is what it said now
		for _, old := range slices.Clone(p.host.peers) {
			if old != p && old.task == p.task && !old.open {
				s.drop(old)
			}
		}
	}
	if p.held.Contains(g.all) {
		p.full, p.held = true, darter.PieceSet{}
	}
	p.shared = p.holdsAny()
	g.resumed = g.resumed || p.shared
	if e.Want.MetadataOnly {
		p.done, p.shared = true, true
	}
	g.add(p)
	for _, w := range p.task.groups {
		if w.dropPending(p.host) {
			s.dirty(w)
		}
	}
	if e.Want.MetadataOnly {
		g.fill(p)
		s.out(Recorded{Peer: p.id})
	} else if s.forbidden(p) {
		return
	}
	if p.missing().Empty() && !p.done && !p.native() { // a range past the end: nothing to do, but it waits for a word
		p.awaiting = false
		s.out(GoToSource{Task: p.task.id, Peer: p.id, Kind: p.host.facts.Kind, All: true, Reason: "it wants nothing that is missing"})
	}
	s.touch(p)
	s.dirty(g)
	if p.shared {
		s.wakeHungry(g)
	}
}

func (t *task) groupFor(w darter.Want) *group {
	if !w.LayoutKnown {
		return t.groups[len(t.groups)-1]
	}
	for _, g := range t.groups {
		if g.layout == w.Layout {
			return g
		}
	}
	g := newGroup(t, w.Layout)
	t.groups = append(t.groups, g)
	return g
}

// forbidden applies the priorities that have no say over the source: 1 is refused, 2 lives on what others
// hold. Both only matter when nobody holds anything for them.
func (s *Swarm) forbidden(p *peer) bool {
	if p.priority != 1 && p.priority != 2 {
		return false
	}
	p.mayNot = true
	missing := p.missing()
	if missing.Empty() || !p.group.uncovered(p).Equal(missing) {
		return false
	}
	c := CloseStream{Peer: p.id, Kind: darter.NotFound, Reason: "no peer holds the content, and its priority 2 does not fetch it from the origin"}
	if p.priority == 1 {
		c.Kind, c.Reason = darter.Conflict, "its priority 1 forbids the download of content that no peer holds"
	}
	s.out(c)
	s.drop(p)
	return true
}

func (s *Swarm) pieceDone(p *peer, e PieceDone) {
	g := p.group
	if g == nil || !g.gain(p, e.Piece) {
		return
	}
	p.complaints = 0
	s.share(p)
	for _, r := range slices.Clone(g.goers) {
		if r != p && r.assigned.Has(e.Piece) {
			s.touch(r)
			s.dirty(g)
		}
		if (r == p || p.shares()) && r.assigned.Remove(e.Piece) && r.assigned.Empty() {
			g.goers = slices.DeleteFunc(g.goers, func(q *peer) bool { return q == r })
		}
	}
	if e.Traffic == darter.FromSource {
		p.progress = s.now
		g.attempts, g.tried, p.faulted = 0, nil, false
	}
	if q := s.peers[e.Parent]; q != nil && e.Parent != "" {
		q.host.evidence, q.host.failures = s.now, 0
	}
	for _, q := range g.lackers {
		if q.lacking && q.wanted.Has(e.Piece) {
			s.touch(q)
			s.dirty(g) // it may be one that q blocks
		}
	}
}

func (s *Swarm) pieceFailed(p *peer, e PieceFailed) {
	if !e.Temporary || p.group == nil {
		return
	}
	p.block(e.Parent)
	if q := s.peers[e.Parent]; q != nil {
		q.host.failures = min(q.host.failures+1, 10)
		s.unlink(p, q)
	}
	s.dirty(p.group)
	s.touch(p)
}

func (s *Swarm) pieceSourceFailed(p *peer, e PieceSourceFailed) {
	g := p.group
	if p.fault = e.Fault; g == nil || e.Piece >= g.layout.Count() {
		return
	}
	p.bad.Add(e.Piece)
	if !p.faulted {
		p.faulted = true
		s.originFailed(g, e.Fault)
	}
	s.unassign(p, darter.Pieces(e.Piece))
	s.dirty(g)
}

func (s *Swarm) sourceFailed(p *peer, f Fault) {
	if f == (Fault{}) {
		f = p.fault
	}
	if p.group != nil && !p.faulted && p.sourcing {
		s.originFailed(p.group, f)
	}
	s.drop(p)
}

// rescheduled answers a peer whose parents do not suffice. One of ours blocks those it names. A plain
// client names all it was given, so only those are blocked that failed, that are gone, or that
// were offered twice without avail.
func (s *Swarm) rescheduled(p *peer, lost []darter.PeerID) {
	g := p.group
	if g == nil || p.done {
		return
	}
	p.awaiting = !p.native()
	p.complaints++
	for _, l := range slices.Clone(p.links) {
		named := slices.Contains(lost, l.to.id)
		useless := p.complaints >= 2 && len(lost) == 0 && !l.to.holding().Intersect(p.missing()).Empty()
		if l.told && ((p.native() && (named || useless)) || (!p.native() && l.offers >= 2)) {
			p.block(l.to.id)
			s.unlink(p, l.to)
		}
	}
	if p.native() {
		for _, id := range lost {
			p.block(id)
		}
	}
	s.dirty(g)
	s.touch(p)
}

// finished makes a holder of a peer.
func (s *Swarm) finished(p *peer) {
	if g := p.group; g != nil && !p.done {
		s.unassign(p, p.assigned)
		if p.active() {
			g.active--
		}
		p.done, p.shared = true, true
		g.fill(p)
		s.quieten(p)
		s.dirty(g)
		s.wakeHungry(g)
	}
	p.done = true
	s.closed(p)
}

// quieten forgets what only a fetching peer needs.
func (s *Swarm) quieten(p *peer) {
	for i := range p.links {
		if p.links[i].told {
			p.links[i].told = false
			p.links[i].to.children--
		}
	}
	p.links = slices.DeleteFunc(p.links, func(l link) bool {
		if l.to.active() {
			return false
		}
		l.to.dropLink(p)
		return true
	})
	p.news, p.blocked, p.bad, p.awaiting, p.sourcing = nil, nil, darter.PieceSet{}, false, false
}

func (s *Swarm) closed(p *peer) {
	if p.open {
		p.open = false
		s.aging = append(s.aging, aging{peer: p, due: s.now.Add(s.cfg.PeerTTL)})
	}
}

// streamEnded drops a peer that left without a terminal message: what it holds is no longer vouched for.
func (s *Swarm) streamEnded(p *peer) {
	switch {
	case p.done:
		s.closed(p)
	case p.open:
		if p.seed() && !p.assigned.Empty() {
			p.host.restTill = s.now.Add(s.cfg.SeedRest)
			p.group.tried = append(p.group.tried, p.host.facts.ID)
		}
		s.drop(p)
	}
}

func (s *Swarm) taskDeleted(e TaskDeleted) {
	h := s.hosts[e.Host]
	if h == nil {
		return
	}
	h.evidence = s.now
	for _, p := range slices.Clone(h.peers) {
		if p.task.id == e.Task {
			s.withdraw(p)
		}
	}
}

// withdraw takes a peer out on its host's word.
func (s *Swarm) withdraw(p *peer) {
	if p.open {
		s.out(CloseStream{Peer: p.id, Kind: darter.NotFound, Reason: "its host deleted the task"})
	}
	s.drop(p)
}

// unlink ends the neighbourhood of p and q.
func (s *Swarm) unlink(p, q *peer) {
	for _, side := range [2][2]*peer{{p, q}, {q, p}} {
		if l := side[0].linkTo(side[1]); l != nil {
			if l.told && side[0].active() {
				side[1].children--
			}
			side[0].dropLink(side[1])
			for i := range side[0].links {
				s.touch(side[0].links[i].to) // they may have counted on what came this way
			}
			side[0].news = slices.DeleteFunc(side[0].news, func(o *peer) bool { return o == side[1] })
			s.touch(side[0])
		}
	}
}

// drop takes a peer out altogether; who counted on it is looked at again.
func (s *Swarm) drop(p *peer) {
	if s.peers[p.id] != p {
		return
	}
	if g := p.group; g != nil {
		s.unassign(p, p.assigned)
		for _, l := range slices.Clone(p.links) {
			s.unlink(l.to, p)
		}
		if p.active() {
			g.active--
		}
		p.open = false
		g.remove(p)
		s.dirty(g)
		if len(g.peers) == 0 {
			p.task.groups = slices.DeleteFunc(p.task.groups, func(o *group) bool { return o == g })
			g.pending = nil
		}
	}
	same := func(q *peer) bool { return q == p }
	p.open, p.news = false, nil
	p.task.loose = slices.DeleteFunc(p.task.loose, same)
	p.host.peers = slices.DeleteFunc(p.host.peers, same)
	s.going = slices.DeleteFunc(s.going, same)
	delete(s.peers, p.id)
	if p.task.empty() {
		p.task.idle++
		s.idle = append(s.idle, idling{task: p.task, count: p.task.idle, due: s.now.Add(s.cfg.TaskIdle)})
	}
}
