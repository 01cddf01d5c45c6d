package swarm

import (
	"fmt"
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
	h.heard(s.now)
	if old := s.peers[e.Peer]; old != nil {
		s.drop(old)
	}
	if !s.room() {
		s.out(CloseStream{Peer: e.Peer, Kind: darter.Unavailable, Reason: fmt.Sprintf("this scheduler has room for %d peers and no more", s.cfg.MaxPeers),
			Hint: "the download goes on without the scheduler; raise its limit of peers, or add schedulers"})
		return
	}
	t := s.taskFor(e.Task)
	t.url, t.tag, t.app = e.Want.URL, e.Want.Tag, e.Want.Application
	s.freshen(t)
	s.seq++
	p := &peer{id: e.Peer, host: h, task: t, seq: s.seq, created: s.now, updated: s.now, open: true, priority: e.Want.Priority,
		mayNot: e.Want.DisableSource, selfSource: e.Want.NeedSource, awaiting: !h.facts.Native, rangeOnly: e.Want.Range != nil}
	s.enrol(p)
	switch {
	case e.Want.LayoutKnown && e.Want.Layout.Count() == 0:
		p.atLoose = t.loose.add(p)
		if e.Want.MetadataOnly {
			s.out(Recorded{Peer: p.id})
			return
		}
		s.out(Empty{Peer: p.id})
	case !e.Want.LayoutKnown && len(t.groups) == 0:
		p.atLoose = t.loose.add(p)
		s.out(GoToSource{Task: t.id, Peer: p.id, Kind: h.facts.Kind, All: true, Reason: "its layout is not known"})
	default:
		s.join(p, e)
	}
}

func (s *Swarm) taskFor(id darter.TaskID) *task {
	t := s.tasks[id]
	if t == nil {
		t = &task{id: id, created: s.now, updated: s.now}
		t.slot = s.contents.add(t)
		s.tasks[id] = t
		s.freshen(t)
	}
	return t
}

// freshen puts a task at the head of the order of touch.
func (s *Swarm) freshen(t *task) {
	t.updated = s.now
	if s.freshest == t {
		return
	}
	s.unorder(t)
	t.older = s.freshest
	if t.older != nil {
		t.older.newer = t
	}
	s.freshest = t
}

func (s *Swarm) unorder(t *task) {
	if t.older != nil {
		t.older.newer = t.newer
	}
	if t.newer != nil {
		t.newer.older = t.older
	} else if s.freshest == t {
		s.freshest = t.older
	}
	t.older, t.newer = nil, nil
}

// join puts a peer into the group of its layout.
func (s *Swarm) join(p *peer, e Registered) {
	g := s.groupFor(p.task, e.Want)
	p.group = g
	g.size++
	p.wanted = g.layout.Covering(e.Want.Range)
	p.held = e.Held.Intersect(g.all)
	s.supersede(p)
	if p.held.Contains(g.all) {
		p.full, p.held = true, darter.PieceSet{}
	}
	p.shared = p.holdsAny()
	g.resumed = g.resumed || p.shared
	if e.Want.MetadataOnly {
		p.done, p.shared = true, true
	}
	if p.parked = !p.host.works(); p.parked { // liveness has not heard of it yet
		return
	}
	g.add(p)
	s.focus = p
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

// supersede ends what was known of the host's part in the task. One of ours says now all that it holds; a plain
// client asks for a part at a time, and earlier parts stay.
func (s *Swarm) supersede(p *peer) {
	r := s.index[place{p.host.slot, p.task.slot}]
	if r != 0 && p.native() {
		s.forgetKept(r)
	} else if r != 0 {
		s.summon(r)
	}
	for _, old := range s.partsOf(p.host, p.task) {
		if p.native() && old != p && !old.open {
			s.drop(old)
		}
	}
}

func (s *Swarm) groupFor(t *task, w darter.Want) *group {
	if !w.LayoutKnown {
		return t.groups[len(t.groups)-1]
	}
	return s.groupOf(t, w.Layout)
}

func (s *Swarm) groupOf(t *task, layout darter.Layout) *group {
	for _, g := range t.groups {
		if g.layout == layout {
			return g
		}
	}
	g := newGroup(t, layout)
	g.slot = s.shelves.add(g)
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
	if missing.Empty() || !s.uncovered(p).Equal(missing) {
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
		q.host.heard(s.now)
		q.host.failures = 0
	}
	for _, q := range g.lackers {
		if q.lacking && q.wanted.Has(e.Piece) {
			s.touch(q)
			s.dirty(g) // it may be one that q blocks
		}
	}
}

func (s *Swarm) pieceFailed(p *peer, e PieceFailed) {
	if p.group == nil || !(e.Temporary || e.Missing) {
		return
	}
	s.block(p, e.Parent)
	if e.Missing {
		s.disproved(p, e.Parent)
	}
	if q := s.peers[e.Parent]; q != nil {
		q.host.failures = min(q.host.failures+1, 10)
		s.unlink(p, q)
	}
	s.dirty(p.group)
	s.touch(p)
}

// disproved takes out what a host was believed to hold and does not: its children need not find out one by one.
// A download under way is left alone, because its own stream tells what it holds.
func (s *Swarm) disproved(p *peer, id darter.PeerID) {
	q := s.peers[id]
	if q == nil || q.group != p.group || q.open {
		return
	}
	s.tally.Disproved++
	s.out(Disproved{Host: q.host.facts.ID, Task: q.task.id, By: p.host.facts.ID})
	s.drop(q)
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
			s.block(p, l.to.id)
			s.unlink(p, l.to)
		}
	}
	if p.native() {
		for _, id := range lost {
			s.block(p, id)
		}
	}
	s.dirty(g)
	s.touch(p)
}

// finished makes a holder of a peer.
func (s *Swarm) finished(p *peer) {
	if g := p.group; g != nil && !p.done {
		s.unassign(p, p.assigned)
		g.rest(p)
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
			p.links[i].to.unled()
		}
	}
	p.links = slices.DeleteFunc(p.links, func(l link) bool {
		if l.to.active() {
			return false
		}
		if l.to.linkTo(p).told { // its host counts as dead, and nobody has come to it yet
			p.unled()
		}
		l.to.dropLink(p)
		return true
	})
	p.news, p.blocked, p.bad, p.awaiting, p.sourcing = nil, nil, darter.PieceSet{}, false, false
}

func (s *Swarm) closed(p *peer) {
	if p.open {
		p.open, p.run = false, p.host.run
		p.host.open--
		s.aging.push(aging{peer: p, due: s.now.Add(s.cfg.Linger)})
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
	h.heard(s.now)
	if t := s.tasks[e.Task]; t != nil {
		s.withdrawTask(h, t, true)
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
			if l.told {
				side[1].unled()
			}
			side[0].dropLink(side[1])
			side[0].news = slices.DeleteFunc(side[0].news, func(o *peer) bool { return o == side[1] })
			s.touchAround(side[0])
		}
	}
}

// touchAround has a peer looked at, and its neighbours, who may have counted on what came by way of it.
func (s *Swarm) touchAround(p *peer) {
	for i := range p.links {
		s.touch(p.links[i].to)
	}
	s.touch(p)
}

// drop takes a peer out altogether; who counted on it is looked at again.
func (s *Swarm) drop(p *peer) {
	if p.struck {
		return
	}
	g := p.group
	if g != nil {
		s.unassign(p, p.assigned)
		for len(p.links) > 0 {
			s.unlink(p.links[len(p.links)-1].to, p)
		}
		if !p.parked {
			g.remove(p)
		}
		s.dirty(g)
	} else {
		p.task.loose.remove(p.atLoose, func(o *peer, at int32) { o.atLoose = at })
	}
	if p.open {
		p.open = false
		p.host.open--
	}
	p.news = nil
	s.unwatch(p)
	s.strike(p)
	if g != nil {
		g.size--
		s.emptied(g)
	} else {
		s.idled(p.task)
	}
}

// emptied takes out a group of which nothing is left.
func (s *Swarm) emptied(g *group) {
	if g.size > 0 || len(g.kept) > 0 {
		return
	}
	g.unwait(func(pending) bool { return true })
	t := g.task
	t.groups = slices.DeleteFunc(t.groups, func(o *group) bool { return o == g })
	s.shelves.remove(g.slot)
	s.idled(t)
}

// idled has a task without peers and locations forgotten after a while, unless somebody registers before.
func (s *Swarm) idled(t *task) {
	if t.empty() {
		t.idle++
		s.idle.push(idling{task: t, count: t.idle, due: s.now.Add(s.cfg.TaskIdle)})
	}
}
