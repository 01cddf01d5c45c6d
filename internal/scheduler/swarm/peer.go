package swarm

import (
	"slices"
	"time"

	"github.com/darter-p2p/darter"
)

// link joins two peers that are neighbours. Both sides keep one.
type link struct {
	to     *peer
	told   bool // this side was offered the other
	offers int  // how often, to a plain client
}

// peer is one host's part in one task.
type peer struct {
	id      darter.PeerID
	host    *host
	task    *task
	group   *group // nil while the layout is unknown, or the content empty
	seq     uint64 // order of registration; older peers never wait for younger ones alone
	created time.Time
	updated time.Time

	wanted darter.PieceSet
	held   darter.PieceSet
	full   bool   // holds the whole content; held is then empty
	open   bool   // its stream is open
	run    uint32 // of its host, when its stream ended
	done   bool   // has all it wants

	started  bool // fetches from parents
	sourcing bool // was seen to fetch from the source
	shared   bool // may be offered: started or holds something
	counted  bool // its pieces are in the group's count

	mayNot     bool // must not go to the source
	selfSource bool // asked to go to the source itself
	awaiting   bool // a plain client that waits for an answer
	responses  int  // answers a plain client was given
	complaints int  // reschedules since the last piece
	lacking    bool // some missing piece is not reachable yet
	dirty      bool // on the list of this step
	news       []*peer

	assigned  darter.PieceSet // to fetch from the source
	bad       darter.PieceSet // the source failed it
	faulted   bool            // its failure was counted
	fault     Fault
	progress  time.Time // last sign of work as a source-goer
	links     []link
	blocked   map[darter.PeerID]struct{}
	children  int // active peers that were told of it
	priority  darter.Priority
	rangeOnly bool // wants a part only

	working bool        // is among the group's workers
	parked  bool        // is out of its group's lanes, because its host counts as dead
	going   bool        // is watched as a source-goer
	hungry  bool        // is among the group's lackers
	zone    *lane[peer] // the group's lane of its zone

	slot                             uint32
	atGroup, atZone, atWork, atGoing int32 // places in lanes
	atLoose                          int32
	prev, next                       *peer // of the same host
	twin, heir                       *peer // of the same host in the same task: the next older, the next younger
	struck                           bool  // is in no index any more
}

func (p *peer) native() bool { return p.host.facts.Native }
func (p *peer) seed() bool   { return p.host.facts.Kind == darter.Seed }

// active reports whether the peer is at work, as far as anybody knows.
func (p *peer) active() bool { return p.open && !p.done && p.group != nil && p.host.works() }

// alone reports whether no other peer of its host takes part in its task.
func (p *peer) alone() bool { return p.twin == nil && p.heir == nil }

// ordinary reports whether whatever sharing peers hold is good for p: it blocks nobody, is alone on its
// host, and need not have every piece of a parent.
func (s *Swarm) ordinary(p *peer) bool {
	return len(p.blocked) == 0 && p.alone() && (p.native() || p.group.whole > 0)
}

// shares reports whether the peer may be offered at all.
func (p *peer) shares() bool { return p.shared && !p.withdrawn() }

// withdrawn reports whether what the peer holds is not to be had, whatever it is: its host does not share, is
// hidden, or has begun another run since and did not say yet that it is still there.
func (p *peer) withdrawn() bool { return !p.host.gives() || !p.open && !p.host.vouches(p.run) }

func (p *peer) has(n uint32) bool { return p.full || p.held.Has(n) }

// holding returns what the peer holds. The set must not be changed.
func (p *peer) holding() darter.PieceSet {
	if p.full {
		return p.group.all
	}
	return p.held
}

// sure returns what the peer holds, or fetches from the source. The set must not be changed.
func (p *peer) sure() darter.PieceSet {
	if p.assigned.Empty() {
		return p.holding()
	}
	set := p.holding().Clone()
	set.Union(p.assigned)
	return set
}

func (p *peer) holdsAny() bool { return p.full || !p.held.Empty() }

// missing returns what the peer wants and does not hold.
func (p *peer) missing() darter.PieceSet {
	if p.full {
		return darter.PieceSet{}
	}
	return p.wanted.Minus(p.held)
}

// provides returns the pieces of which q can be sure when p is its neighbour: p holds them, fetches
// them from the source, or wants them itself and is the older one. The last rule has no circle in it,
// so a chain of such peers ends at a holder, a source-goer, or an uncovered piece, and uncovered
// pieces are assigned.
func (p *peer) provides(q *peer) darter.PieceSet {
	if p.full {
		return p.group.all
	}
	set := p.held.Clone()
	set.Union(p.assigned)
	switch {
	case !p.active():
	case p.seq < q.seq:
		set.Union(p.wanted)
	default:
		for _, l := range p.links {
			if l.told && l.to.counted {
				set.Union(p.wanted.Intersect(l.to.holding()))
			}
		}
	}
	return set
}

// relays reports whether q may wait for what p is to get from others. Plain clients are not counted on: they
// are answered seldom.
func (p *peer) relays(q *peer) bool {
	return p != q && p.active() && p.native() && p.shares() && p.host != q.host && !q.blocks(p)
}

func (p *peer) linkTo(q *peer) *link {
	for i := range p.links {
		if p.links[i].to == q {
			return &p.links[i]
		}
	}
	return nil
}

func (p *peer) dropLink(q *peer) {
	p.links = slices.DeleteFunc(p.links, func(l link) bool { return l.to == q })
}

// block keeps a parent away from p for good, also under the name it will have once only its location is left.
func (s *Swarm) block(p *peer, id darter.PeerID) {
	if p.blocked == nil {
		p.blocked = map[darter.PeerID]struct{}{}
	}
	p.blocked[id] = struct{}{}
	if q := s.peers[id]; q != nil {
		if later := keptID(q.host, q.task); s.peers[later] == nil {
			p.blocked[later] = struct{}{}
		}
	}
}

// led and unled count a child that was told of p, and one that no longer counts on it.
func (p *peer) led()   { p.children++; p.host.children++ }
func (p *peer) unled() { p.children--; p.host.children-- }

// friends is the number of neighbours that p was told of and that it may rely on.
func (p *peer) friends() int {
	n := 0
	for i := range p.links {
		if !p.links[i].to.host.wary() {
			n++
		}
	}
	return n
}

func (p *peer) blocks(q *peer) bool {
	_, yes := p.blocked[q.id]
	return yes
}

// state names the peer's state as Dragonfly does.
func (p *peer) state() string {
	switch {
	case p.done:
		return "Succeeded"
	case p.sourcing:
		return "BackToSource"
	case p.started || p.shared:
		return "Running"
	}
	return "ReceivedNormal"
}
