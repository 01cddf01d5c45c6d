package swarm

import (
	"iter"
	"time"

	"github.com/darter-p2p/darter"
)

// inventory takes a page of what a host says that it holds, or no longer holds. Where a stream of the host is
// open for a task, the stream knows better.
func (s *Swarm) inventory(e InventoryPage) {
	h := s.hosts[e.Host]
	if h == nil || (e.Epoch != 0 && h.facts.Epoch != 0 && e.Epoch != h.facts.Epoch) {
		return
	}
	h.heard(s.now)
	took := InventoryTaken{Host: e.Host}
	for _, l := range e.Add {
		if took.Added+took.Removed+took.Refused < s.cfg.PageItems && s.holds(h, l) {
			took.Added++
		} else {
			took.Refused++
		}
	}
	for _, id := range e.Remove {
		if took.Added+took.Removed+took.Refused >= s.cfg.PageItems {
			took.Refused++
		} else if t := s.tasks[id]; t != nil {
			s.withdrawTask(h, t, false)
			took.Removed++
		}
	}
	if e.Complete && !h.agreed {
		h.agreed = true
		s.reviewHost(h)
	}
	s.evict()
	if s.resume.Before(s.now) {
		s.resume = s.now
	}
	s.resume = s.resume.Add(time.Duration(len(e.Add)+len(e.Remove)) * time.Second / time.Duration(s.cfg.InventoryRate))
	took.Known, took.Resume = h.copies, s.resume
	s.out(took)
}

// holds notes one location of a host. It reports false for one that makes no sense.
func (s *Swarm) holds(h *host, l darter.Location) bool {
	count := l.Layout.Count()
	if l.Task == "" || count == 0 || count > maxPieces || (!l.Complete && l.Pieces.Empty()) {
		return false
	}
	t := s.taskFor(l.Task)
	g := s.groupOf(t, l.Layout)
	var held *darter.PieceSet
	if !l.Complete {
		set := l.Pieces.Intersect(g.all)
		if set.Empty() {
			s.emptied(g)
			return false
		}
		if !set.Contains(g.all) {
			held = &set
		}
	}
	for _, p := range s.partsOf(h, t) {
		if p.open {
			s.emptied(g)
			return true
		}
		if p.group == g && p.full && held == nil {
			p.run, p.updated = h.run, s.now
			s.recount(p)
			return true
		}
		g.size++ // the group must outlive the peer
		s.drop(p)
		g.size--
	}
	if r := s.index[place{h.slot, t.slot}]; r != 0 && held == nil && s.at(r).group == g.slot && s.at(r).complete() {
		s.confirm(r)
	} else {
		g.size++
		s.keep(h, g, held, h.run)
		g.size--
	}
	if g.work.live > 0 {
		s.dirty(g)
		s.wakeHungry(g)
	}
	return true
}

// maxPieces bounds the pieces of a content that somebody may make us reckon with.
const maxPieces = 1 << 20

// withdrawTask takes back what a host said of a task. Streams end only on the host's own word about the task.
func (s *Swarm) withdrawTask(h *host, t *task, streams bool) {
	for _, p := range s.partsOf(h, t) {
		if streams || !p.open {
			s.withdraw(p)
		}
	}
	if r := s.index[place{h.slot, t.slot}]; r != 0 {
		if g := s.shelves.list[s.at(r).group]; g.work.live > 0 {
			s.dirty(g)
		}
		s.forgetKept(r)
	}
}

// Holdings yields what a host is known to hold, with what is known of each; peers with open streams are among them. It goes through
// all of it at once: NextHoldings is for hosts that hold much.
func (s *Swarm) Holdings(id darter.HostID) iter.Seq[HoldingView] {
	return func(yield func(HoldingView) bool) {
		h := s.hosts[id]
		if h == nil {
			return
		}
		for p := h.first; p != nil; p = p.next {
			if p.group != nil && p.holdsAny() && !yield(s.holdingOf(p)) {
				return
			}
		}
		for r := h.kept; r != 0; r = s.at(r).next {
			l := s.at(r)
			g := s.shelves.list[l.group]
			v := HoldingView{Location: darter.Location{Task: g.task.id, Layout: g.layout, Complete: l.complete()}, Peer: keptID(h, g.task),
				Seen: s.began.Add(time.Duration(l.seen) * time.Second), Verified: h.vouches(l.run), Counts: int(l.at) < g.known && s.counts(l)}
			if v.Pieces = s.partial[r].Clone(); !yield(v) {
				return
			}
		}
	}
}

func (s *Swarm) holdingOf(p *peer) HoldingView {
	v := HoldingView{Location: darter.Location{Task: p.task.id, Layout: p.group.layout, Complete: p.full}, Peer: p.id, Open: p.open,
		Seen: p.updated, Verified: p.open || p.host.vouches(p.run), Counts: p.counted && p.shares()}
	if !p.full {
		v.Pieces = p.held.Clone()
	}
	return v
}
