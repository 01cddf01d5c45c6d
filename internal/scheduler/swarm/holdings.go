package swarm

import "github.com/darter-p2p/darter"

// HoldingWalk goes through what a host is known to hold at rest, a part at a time: hosts with a hundred thousand tasks are
// compared while downloads go on. What comes or becomes a peer meanwhile may be missing, and what was seen may come twice; what
// stays as it is is not missing. Set Host to begin.
type HoldingWalk struct {
	Host darter.HostID

	host  *host
	stage walkStage
	peer  *peer
	kept  ref
	again int // how often it had to begin anew
	left  int // records that may still be looked at, so that it ends whatever comes
}

type walkStage uint8

const (
	walkBegins walkStage = iota
	walkPeers
	walkKept
)

const (
	// walkAgain bounds how often a walk begins anew because the record at which it stood is gone.
	walkAgain = 8
	// walkSpare is how many records more than twice those of the host a walk may look at.
	walkSpare = 4096
)

// NextHoldings looks at up to limit records and returns those to tell of. more is false at the end.
func (s *Swarm) NextHoldings(w *HoldingWalk, limit int) (out []darter.Location, more bool) {
	if w.stage == walkBegins {
		if w.host = s.hosts[w.Host]; w.host == nil {
			return nil, false
		}
		w.stage, w.peer, w.left = walkPeers, w.host.first, 2*(w.host.peers+w.host.copies)+walkSpare
	}
	if w.left -= limit; w.host.gone || w.left < 0 {
		return nil, false
	}
	for ; w.stage == walkPeers && limit > 0; limit-- {
		p := w.peer
		if p == nil {
			w.stage, w.kept = walkKept, w.host.kept
			break
		}
		if !p.struck && !p.open && p.group != nil && p.holdsAny() { // what an open peer holds changes, and its stream tells
			out = append(out, s.holdingOf(p).Location)
		}
		w.peer = p.next // a peer that is struck still leads to those behind it
	}
	if w.stage == walkKept && w.kept != 0 && !s.keptBy(w.kept, w.host) {
		if w.again++; w.again > walkAgain {
			return out, false
		}
		w.kept = w.host.kept
	}
	for ; w.stage == walkKept && w.kept != 0 && limit > 0; limit-- {
		l := s.at(w.kept)
		g := s.shelves.list[l.group]
		found := darter.Location{Task: g.task.id, Layout: g.layout, Complete: l.complete()}
		if !found.Complete {
			found.Pieces = s.partial[w.kept].Clone()
		}
		out = append(out, found)
		w.kept = l.next
	}
	return out, w.stage == walkPeers || w.kept != 0
}

// keptBy reports whether a place among the records is, still or again, one of a host.
func (s *Swarm) keptBy(r ref, h *host) bool {
	l := s.at(r)
	return l.pieces != unused && l.host == h.slot
}
