package swarm

import (
	"slices"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/scheduler/rank"
)

// Gone reports whether a host that was last heard of at evidence and announces itself every interval
// counts as gone: after two intervals of silence. An interval of 0 stands for fallback.
func Gone(now, evidence time.Time, interval, fallback time.Duration) bool {
	if interval <= 0 {
		interval = fallback
	}
	return now.Sub(evidence) > 2*interval
}

func (s *Swarm) hostAnnounced(facts darter.Host) {
	h := s.hosts[facts.ID]
	if h == nil {
		h = &host{}
		s.hosts[facts.ID] = h
		s.roll = append(s.roll, h)
	} else if was := h.facts; was.Epoch != facts.Epoch && was.Epoch != 0 && facts.Epoch != 0 {
		s.forgetRun(h)
	}
	was := h.facts
	h.facts, h.evidence, h.restTill = &facts, s.now, time.Time{}
	if was == nil {
		h.zone = rank.ZoneOf(facts.IDC, facts.Location)
	}
	known := slices.Contains(s.seeds, h)
	if seed := facts.Kind == darter.Seed; seed && !known {
		s.seeds = append(s.seeds, h)
	} else if !seed && known {
		s.seeds = slices.DeleteFunc(s.seeds, func(o *host) bool { return o == h })
	}
	if was != nil && was.NoSharing != facts.NoSharing {
		s.recount(h)
	}
}

// forgetRun drops what an earlier run of the host said. Peers with an open stream belong to the new one.
func (s *Swarm) forgetRun(h *host) {
	for _, p := range slices.Clone(h.peers) {
		if !p.open {
			s.drop(p)
		}
	}
}

// recount follows a host that began or ceased to share.
func (s *Swarm) recount(h *host) {
	for _, p := range h.peers {
		if p.group == nil {
			continue
		}
		if p.shares() {
			p.group.count(p)
			s.wakeHungry(p.group)
			continue
		}
		p.group.uncount(p)
		for _, l := range slices.Clone(p.links) {
			s.unlink(l.to, p)
		}
		s.dirty(p.group)
	}
}

func (s *Swarm) hostLeft(e HostLeft) {
	h := s.hosts[e.Host]
	if h == nil || (e.Epoch != 0 && h.facts.Epoch != 0 && e.Epoch != h.facts.Epoch) {
		return
	}
	s.dropHost(h, "left")
}

func (s *Swarm) dropHost(h *host, why string) {
	if h == nil {
		return
	}
	for _, p := range slices.Clone(h.peers) {
		if p.open {
			s.out(CloseStream{Peer: p.id, Kind: darter.NotFound, Reason: "host " + string(h.facts.ID) + " is " + why, Hint: "announce the host again"})
		}
		s.drop(p)
	}
	for _, g := range slices.Clone(s.waiting) {
		if g.dropPending(h) {
			s.dirty(g)
		}
	}
	same := func(o *host) bool { return o == h }
	s.roll = slices.DeleteFunc(s.roll, same)
	s.seeds = slices.DeleteFunc(s.seeds, same)
	delete(s.hosts, h.facts.ID)
	s.out(Forgot{Host: h.facts.ID, Reason: why})
}

func (s *Swarm) seedHealth(e SeedHealth) {
	h := s.hosts[e.Host]
	if h == nil {
		return
	}
	h.unwell = !e.OK
	if e.OK {
		h.evidence, h.restTill = s.now, time.Time{}
	}
}

// seedFailed ends the wait for a triggered seed. After the seed registered, its own stream tells.
func (s *Swarm) seedFailed(id darter.TaskID, seed darter.HostID, f Fault) {
	h, t := s.hosts[seed], s.tasks[id]
	if h != nil && f.Status == 0 {
		h.restTill = s.now.Add(s.cfg.SeedRest)
	}
	if t == nil || h == nil {
		return
	}
	for _, g := range t.groups {
		if !g.dropPending(h) {
			continue
		}
		if f.Status != 0 {
			s.originFailed(g, f)
		}
		s.dirty(g)
	}
}

// seedDone ends a trigger that went well. A seed that never registered fetched without a word, as plain
// Dragonfly seeds do with little content; triggered once more, it announces what it holds.
func (s *Swarm) seedDone(e SeedDone) {
	h, t := s.hosts[e.Host], s.tasks[e.Task]
	if h == nil || t == nil {
		return
	}
	for _, g := range t.groups {
		i := slices.IndexFunc(g.pending, func(w pending) bool { return w.host == h })
		if i < 0 {
			continue
		}
		asker := slices.IndexFunc(g.peers, func(p *peer) bool { return p.active() && !p.seed() })
		if asker < 0 || g.pending[i].repeats > 0 {
			g.dropPending(h)
			s.dirty(g)
			continue
		}
		g.pending[i].repeats++
		g.pending[i].deadline = s.now.Add(s.cfg.SeedDeadline)
		s.out(TriggerSeed{Task: t.id, Host: h.facts, For: g.peers[asker].id, Reason: "it finished without registering"})
	}
}
