package swarm

// perTick bounds how many entries of each queue one tick looks at.
const perTick = 4096

// tick looks at what is due.
func (s *Swarm) tick() {
	s.overdueSeeds()
	s.relearned()
	s.stalledGoers()
	s.lingerers()
	s.expireTasks()
	s.auditSome()
}

// overdueSeeds gives up on seeds that did not register in time.
func (s *Swarm) overdueSeeds() {
	for s.deadlines.len() > 0 && !s.deadlines.front().due.After(s.now) {
		g := s.deadlines.pop().group
		if g.unwait(func(w pending) bool { return !w.deadline.After(s.now) }) {
			s.dirty(g)
		}
	}
}

// relearned looks for sources where that was put off after a restart.
func (s *Swarm) relearned() {
	if s.now.Before(s.relearn) {
		return
	}
	for _, g := range s.held {
		g.putOff = false
		s.dirty(g)
	}
	s.held = nil
}

// goersPerTick bounds the watch on source-goers: with more of them it goes around.
const goersPerTick = 1024

// stalledGoers passes on the pieces of source-goers that are silent: their streams live, but nothing comes.
func (s *Swarm) stalledGoers() {
	list := s.going.list
	for range min(len(list), goersPerTick) {
		if s.goAt++; s.goAt >= len(list) {
			s.goAt = 0
		}
		p := list[s.goAt]
		switch {
		case p == nil || !p.going:
		case p.assigned.Empty():
			s.unwatch(p)
		case s.now.Sub(p.progress) > s.cfg.SourceStall:
			part := p.assigned
			p.bad.Union(part)
			s.unassign(p, part)
			s.dirty(p.group)
		default:
			s.passOn(p)
		}
	}
}

// lingerers shrinks finished peers to locations, once nobody has had to do with them for a while.
func (s *Swarm) lingerers() {
	for range min(s.aging.len(), perTick) {
		if s.aging.front().due.After(s.now) {
			return
		}
		p := s.aging.pop().peer
		if p.struck || p.open {
			continue
		}
		if p.updated.Add(s.cfg.Linger).After(s.now) || !s.shelve(p) {
			s.aging.push(aging{peer: p, due: s.now.Add(s.cfg.Linger)})
		}
	}
	s.evict()
}

// room makes room for one more peer. Finished ones shrink first, the oldest before the others.
func (s *Swarm) room() bool {
	for range min(s.aging.len(), 64) {
		if len(s.peers) < s.cfg.MaxPeers {
			return true
		}
		p := s.aging.pop().peer
		if p.struck || p.open {
			continue
		}
		if s.shelve(p) {
			s.tally.Shrunk++
		} else {
			s.aging.push(aging{peer: p, due: s.now.Add(s.cfg.Linger)})
		}
	}
	s.evict()
	if len(s.peers) < s.cfg.MaxPeers {
		return true
	}
	s.tally.Refused++
	return false
}

// expireTasks forgets tasks of which nothing is left, unless somebody came back to them meanwhile.
func (s *Swarm) expireTasks() {
	for range min(s.idle.len(), perTick) {
		if s.idle.front().due.After(s.now) {
			return
		}
		entry := s.idle.pop()
		if t := entry.task; t.empty() && t.idle == entry.count && s.tasks[t.id] == t {
			delete(s.tasks, t.id)
			s.contents.remove(t.slot)
			s.unorder(t)
		}
	}
}
