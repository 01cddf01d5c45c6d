package swarm

import "slices"

// tick looks at what is due.
func (s *Swarm) tick() {
	s.overdueSeeds()
	s.relearned()
	s.stalledGoers()
	for _, h := range slices.Clone(s.roll) {
		if Gone(s.now, h.evidence, h.facts.Interval, s.cfg.DefaultInterval) {
			s.dropHost(h, "silent for two announce intervals")
		}
	}
	s.expirePeers()
	s.expireTasks()
}

// overdueSeeds gives up on seeds that did not register in time.
func (s *Swarm) overdueSeeds() {
	s.waiting = slices.DeleteFunc(s.waiting, func(g *group) bool { return len(g.pending) == 0 })
	for _, g := range s.waiting {
		before := len(g.pending)
		g.pending = slices.DeleteFunc(g.pending, func(w pending) bool { return !w.deadline.After(s.now) })
		if len(g.pending) < before {
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
		s.dirty(g)
	}
	s.held = nil
}

// stalledGoers passes on the pieces of source-goers that are silent: their streams live, but nothing comes.
func (s *Swarm) stalledGoers() {
	for _, p := range slices.Clone(s.going) {
		switch {
		case p.assigned.Empty():
			s.going = slices.DeleteFunc(s.going, func(q *peer) bool { return q == p })
		case s.now.Sub(p.progress) > s.cfg.SourceStall:
			part := p.assigned
			p.bad.Union(part)
			s.unassign(p, part)
			s.dirty(p.group)
		}
	}
}

func (s *Swarm) expirePeers() {
	for len(s.aging) > 0 && !s.aging[0].due.After(s.now) {
		p := s.aging[0].peer
		s.aging = s.aging[1:]
		if s.peers[p.id] != p {
			continue
		}
		if due := p.updated.Add(s.cfg.PeerTTL); due.After(s.now) {
			s.aging = append(s.aging, aging{peer: p, due: s.now.Add(s.cfg.PeerTTL)})
			continue
		}
		s.drop(p)
	}
}

func (s *Swarm) expireTasks() {
	for len(s.idle) > 0 && !s.idle[0].due.After(s.now) {
		entry := s.idle[0]
		s.idle = s.idle[1:]
		if t := entry.task; t.empty() && t.idle == entry.count && s.tasks[t.id] == t {
			delete(s.tasks, t.id)
		}
	}
}
