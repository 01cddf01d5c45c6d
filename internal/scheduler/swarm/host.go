package swarm

import (
	"slices"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/scheduler/rank"
)

// host is a machine with a daemon. Its peers and its locations hang on it in two lists.
type host struct {
	facts    *darter.Host // replaced, never changed
	zone     rank.Zone
	mark     uint64    // hash of its id
	evidence time.Time // last sign of life that came this way
	unwell   bool      // a seed whose health check fails
	restTill time.Time // a seed that failed is not triggered before
	failures int       // reported by children since the last good piece
	offers   int       // of its peers to children, since the last sign of life
	waits    int       // groups that wait for it as a triggered seed

	verdict darter.Verdict
	since   time.Time // of the verdict
	gone    bool      // left or forgotten: no longer found, its records are being freed

	// What peers and locations say was said in a run of the host. Runs before void no longer count, and
	// those before the present one only when the host agreed to them.
	run, void uint32
	agreed    bool
	asked     time.Time // since when it has not agreed

	slot          uint32
	atSeeds       int32 // place among the seeds; -1 for an ordinary host
	before, after *host // in order of first announce
	first, last   *peer
	peers         int
	open          int    // peers with open streams
	children      int    // active peers that were told of one of its peers
	kept          ref    // its first location
	copies        int    // its locations
	freed         [2]int // peers and locations taken from it since it is gone

	review  bool  // is in the queue of reviews
	atPeer  *peer // where the review stands
	atKept  ref
	visited bool // the review is past the seeds' deadlines
}

// chain is the known hosts in order of first announce. Of a lane, closing the holes that a great death leaves would be
// too much for one step.
type chain struct {
	first, last *host
	live        int
}

func (c *chain) add(h *host) {
	if h.before = c.last; c.last != nil {
		c.last.after = h
	} else {
		c.first = h
	}
	c.last = h
	c.live++
}

func (c *chain) remove(h *host) {
	if h.before != nil {
		h.before.after = h.after
	} else {
		c.first = h.after
	}
	if h.after != nil {
		h.after.before = h.before
	} else {
		c.last = h.before
	}
	h.before, h.after = nil, nil
	c.live--
}

// gives reports whether the host's peers may be offered and its copies count.
func (h *host) gives() bool { return !h.facts.NoSharing && !h.verdict.Hidden() }

// works reports whether the host takes part: it is not counted as dead. One that drains finishes what runs.
func (h *host) works() bool { return !h.verdict.Hidden() || h.verdict == darter.Draining }

// wary reports whether the host is a parent only for want of another.
func (h *host) wary() bool { return h.verdict == darter.Suspect }

// vouches reports whether what was said in a run of the host still counts.
func (h *host) vouches(run uint32) bool { return run == h.run || (h.agreed && run >= h.void) }

// heard notes a sign of life.
func (h *host) heard(now time.Time) { h.evidence, h.offers = now, 0 }

// enrol enters a peer into the indexes.
func (s *Swarm) enrol(p *peer) {
	h := p.host
	s.peers[p.id] = p
	p.slot = s.roster.add(p)
	p.prev = h.last
	if h.last != nil {
		h.last.next = p
	} else {
		h.first = p
	}
	h.last = p
	h.peers++
	if p.open {
		h.open++
	}
	at := place{h.slot, p.task.slot}
	if p.twin = s.parts[at]; p.twin != nil {
		p.twin.heir = p
	}
	s.parts[at] = p
}

// strike takes a peer out of the indexes.
func (s *Swarm) strike(p *peer) {
	h := p.host
	if h.atPeer == p {
		h.atPeer = p.next
	}
	if p.prev != nil {
		p.prev.next = p.next
	} else {
		h.first = p.next
	}
	if p.next != nil {
		p.next.prev = p.prev
	} else {
		h.last = p.prev
	}
	p.prev = nil // next stays, for a walk that stands here
	h.peers--
	h.freed[0]++
	s.untwin(p)
	p.struck = true
	s.roster.remove(p.slot)
	delete(s.peers, p.id)
}

func (s *Swarm) untwin(p *peer) {
	at := place{p.host.slot, p.task.slot}
	if p.twin != nil {
		p.twin.heir = p.heir
	}
	switch {
	case p.heir != nil:
		p.heir.twin = p.twin
	case p.twin != nil:
		s.parts[at] = p.twin
	default:
		delete(s.parts, at)
	}
	p.twin, p.heir = nil, nil
}

// partsOf returns the host's peers in a task, the latest first.
func (s *Swarm) partsOf(h *host, t *task) []*peer {
	var out []*peer
	for p := s.parts[place{h.slot, t.slot}]; p != nil; p = p.twin {
		out = append(out, p)
	}
	return out
}

func (s *Swarm) hostAnnounced(facts darter.Host) {
	h := s.hosts[facts.ID]
	if h == nil {
		h = &host{facts: &facts, mark: hash(string(facts.ID)), verdict: darter.Alive, since: s.now, agreed: true, atSeeds: -1}
		h.zone = rank.ZoneOf(facts.IDC, facts.Location)
		h.slot = s.machines.add(h)
		s.hosts[facts.ID] = h
		s.roll.add(h)
	} else if was := h.facts; was.Epoch != facts.Epoch && was.Epoch != 0 && facts.Epoch != 0 {
		s.newRun(h, was.Storage != 0 && was.Storage == facts.Storage)
	}
	was := h.facts
	h.facts, h.restTill = &facts, time.Time{}
	h.heard(s.now)
	if seed := facts.Kind == darter.Seed; seed && h.atSeeds < 0 {
		h.atSeeds = s.seeds.add(h)
	} else if !seed && h.atSeeds >= 0 {
		s.unseed(h)
	}
	if was.NoSharing != facts.NoSharing {
		s.reviewHost(h)
	}
}

func (s *Swarm) unseed(h *host) {
	s.seeds.remove(h.atSeeds, func(o *host, at int32) { o.atSeeds = at })
	h.atSeeds = -1
}

// newRun begins another run of a host. Peers with an open stream belong to it. With the same store the host
// may still hold what it held, which does not count before its inventory says so.
func (s *Swarm) newRun(h *host, same bool) {
	h.run++
	if same {
		h.agreed, h.asked = false, s.now
	} else {
		h.void, h.agreed = h.run, true
	}
	s.reviewHost(h)
}

func (s *Swarm) seedHealth(e SeedHealth) {
	h := s.hosts[e.Host]
	if h == nil {
		return
	}
	h.unwell = !e.OK
	if e.OK {
		h.heard(s.now)
		h.restTill = time.Time{}
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
		asker := slices.IndexFunc(g.work.list, func(p *peer) bool { return p != nil && p.active() && !p.seed() })
		if asker < 0 || g.pending[i].repeats > 0 {
			g.dropPending(h)
			s.dirty(g)
			continue
		}
		g.pending[i].repeats++
		g.pending[i].deadline = s.now.Add(s.cfg.SeedDeadline)
		s.deadlines.push(deadline{group: g, due: g.pending[i].deadline})
		s.out(TriggerSeed{Task: t.id, Host: h.facts, For: g.work.list[asker].id, Reason: "it finished without registering"})
	}
}
