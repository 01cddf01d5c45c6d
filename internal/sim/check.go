package sim

import (
	"fmt"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/scheduler/swarm"
)

// check holds a world against what the cores promise. It knows what a bystander sees: events and effects.
type check struct {
	w      *World
	broken []string
	peers  map[darter.PeerID]*record // looked up only
	roll   []*record

	copies  []int // per piece, how often it came from the origin
	allowed []int // per piece, how often it may
	clipped int64 // bytes of pieces that the origin began and nobody took
}

// record is what is known of a peer.
type record struct {
	id       darter.PeerID
	host     darter.HostID
	gone     bool
	done     bool
	open     bool
	blocked  map[darter.PeerID]bool
	assigned darter.PieceSet
	moved    time.Duration // last sign of work at the source
	hidden   bool          // its host counts as dead
	suspect  bool          // its host may be dead
}

func newCheck(w *World) *check {
	c := &check{w: w, copies: make([]int, w.cfg.Layout.Count()), allowed: make([]int, w.cfg.Layout.Count())}
	for n := range c.allowed {
		c.allowed[n] = 1
	}
	return c
}

func (c *check) fail(format string, args ...any) {
	if len(c.broken) < 5 {
		c.broken = append(c.broken, fmt.Sprintf("%s: ", c.w.clock.now)+fmt.Sprintf(format, args...))
	}
}

// restarted forgets what an earlier run of the scheduler knew.
func (c *check) restarted() { c.peers, c.roll = map[darter.PeerID]*record{}, nil }

// event follows what the scheduler is told.
func (c *check) event(ev swarm.Event) {
	if _, often := ev.(swarm.PieceDone); !often {
		c.w.trace("%s", told(ev))
	}
	switch e := ev.(type) {
	case swarm.Registered:
		r := &record{id: e.Peer, host: e.Host, open: true, blocked: map[darter.PeerID]bool{}}
		c.peers[e.Peer] = r
		c.roll = append(c.roll, r)
		c.covered(e.Held)
	case swarm.HostVerdict:
		for _, r := range c.roll {
			if r.host == e.Host {
				r.hidden, r.suspect = e.Verdict.Hidden(), e.Verdict == darter.Suspect
			}
			if r.hidden {
				r.assigned = darter.PieceSet{}
			}
		}
	case swarm.PieceDone:
		c.covered(darter.Pieces(e.Piece))
		if r := c.peers[e.Peer]; r != nil && e.Traffic == darter.FromSource {
			r.moved = c.w.clock.now
		}
	case swarm.PieceFailed:
		if r := c.peers[e.Peer]; r != nil && e.Temporary {
			r.blocked[e.Parent] = true
		}
	case swarm.Rescheduled:
		for _, id := range e.Lost {
			if r := c.peers[e.Peer]; r != nil {
				r.blocked[id] = true
			}
		}
	case swarm.PeerFinished:
		c.finished(e.Peer)
	case swarm.SourceFinished:
		c.finished(e.Peer)
	case swarm.StreamEnded:
		if r := c.peers[e.Peer]; r != nil {
			r.open, r.assigned, r.gone = false, darter.PieceSet{}, r.gone || !r.done
		}
	}
}

// told prints an event in short.
func told(ev swarm.Event) string {
	switch e := ev.(type) {
	case swarm.Registered:
		return fmt.Sprintf("register %s, holds %s", e.Peer, e.Held)
	case swarm.HostAnnounced:
		return fmt.Sprintf("announce %s, epoch %d", e.Host.ID, e.Host.Epoch)
	}
	return fmt.Sprintf("%T %+v", ev, ev)
}

func (c *check) finished(id darter.PeerID) {
	if r := c.peers[id]; r != nil {
		r.done, r.assigned = true, darter.PieceSet{}
	}
}

// covered notes pieces that somebody holds: whoever was sent for them may be relieved.
func (c *check) covered(set darter.PieceSet) {
	for _, r := range c.roll {
		if !r.assigned.Empty() {
			r.assigned = r.assigned.Minus(set)
		}
	}
}

// effect checks what the scheduler says.
func (c *check) effect(e swarm.Effect) {
	c.w.trace("    %s", e)
	switch e := e.(type) {
	case swarm.Offer:
		for _, n := range e.Parents {
			c.offered(e.Peer, n)
		}
	case swarm.GoToSource:
		c.assigned(e)
	case swarm.CloseStream:
		if r := c.peers[e.Peer]; r != nil {
			r.gone, r.open, r.assigned = true, false, darter.PieceSet{}
		}
	case swarm.Forgot:
		for _, r := range c.roll {
			if r.host == e.Host {
				r.gone, r.open, r.assigned = true, false, darter.PieceSet{}
			}
		}
	}
}

func (c *check) offered(to darter.PeerID, n swarm.Neighbour) {
	p, q := c.peers[to], c.peers[n.Peer]
	switch {
	case p == nil || p.gone || !p.open:
		c.fail("offer to %s, which is not there", to)
	case q == nil || q.gone:
		c.fail("%s was offered %s, which is gone", to, n.Peer)
	case q.hidden:
		c.fail("%s was offered %s, whose host counts as dead", to, n.Peer)
	case p.host == q.host:
		c.fail("%s was offered %s of its own host", to, n.Peer)
	case p.blocked[n.Peer]:
		c.fail("%s was offered %s, which it blocked", to, n.Peer)
	}
}

func (c *check) assigned(e swarm.GoToSource) {
	p := c.peers[e.Peer]
	if p == nil || p.gone || p.done {
		c.fail("%s was sent to the source and is not at work", e.Peer)
		return
	}
	for _, r := range c.roll {
		idle := c.w.clock.now - r.moved // after a while the swarm passes its pieces on
		stalled := idle > c.w.cfg.Swarm.SourceStall || (r.suspect && idle >= c.w.cfg.Swarm.SuspectStall)
		if r == p || r.gone || r.done || !r.open || stalled {
			continue
		}
		if twice := r.assigned.Intersect(e.Pieces); !twice.Empty() {
			c.fail("pieces %s were given to %s while %s fetches them", twice, p.id, r.id)
		}
	}
	p.assigned.Union(e.Pieces)
	p.moved = c.w.clock.now
}

// copied counts a piece that came whole from the origin.
func (c *check) copied(n uint32) { c.copies[n]++ }

// crashed allows another copy of the pieces that only the dead held. A host that came back is a stranger to the
// scheduler until it registers: what it holds does not count.
func (c *check) crashed(dead *host) {
	for n := range dead.held.All() {
		last := true
		for _, h := range c.w.hosts {
			known := h.alive && (h.facts.Epoch == 1 || h.d != nil)
			last = last && !(known && h.held.Has(n))
		}
		if last {
			c.allowed[n]++
		}
	}
}

// cut counts the bytes of a piece that the origin began in vain.
func (c *check) cut(bytes int64, _ bool) { c.clipped += bytes }

// atEnd checks what the origin sent.
func (c *check) atEnd() {
	cfg := c.w.cfg
	if len(c.broken) > 0 || cfg.Loss > 0 || !c.coordinated() {
		return
	}
	for n, times := range c.copies {
		if times > c.allowed[n] {
			c.fail("piece %d came %d times from the origin, %d are justified", n, times, c.allowed[n])
		}
	}
	// Each request to the origin that breaks wastes less than a piece; a host has only one, but where more of them
	// bring more.
	if deaths := int64(len(cfg.Faults)); c.clipped > deaths*int64(cfg.Pick.SourceStreams)*cfg.Layout.PieceLength {
		c.fail("the origin sent %d bytes of pieces that nobody took, with %d crashes", c.clipped, deaths)
	}
	if len(cfg.Faults) == 0 && c.w.bytes != cfg.Layout.Length {
		c.fail("the origin sent %d bytes of a content of %d", c.w.bytes, cfg.Layout.Length)
	}
}

// coordinated reports whether nothing happened that lets hosts go to the source by themselves: a scheduler
// that was away, or parents that failed without being dead.
func (c *check) coordinated() bool {
	for _, f := range c.w.cfg.Faults {
		if f.Host == Scheduler {
			return false
		}
	}
	for _, h := range c.w.cfg.Hosts {
		if h.Liar {
			return false
		}
	}
	return true
}
