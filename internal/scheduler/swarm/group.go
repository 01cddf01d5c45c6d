package swarm

import (
	"slices"
	"time"

	"github.com/darter-p2p/darter"
)

// task is one content. Its groups are in order of appearance, one per layout: when the origin's
// content changed, those who saw the new length never meet those who saw the old one.
type task struct {
	id      darter.TaskID
	url     string
	tag     string
	app     string
	groups  []*group
	loose   []*peer // peers without a group
	created time.Time
	updated time.Time
	idle    uint64 // counts the times it fell idle, so that a stale entry of the idle queue is known
}

func (t *task) empty() bool { return len(t.groups) == 0 && len(t.loose) == 0 }

// group is the peers of a task that agree on its layout.
type group struct {
	task   *task
	layout darter.Layout
	all    darter.PieceSet // every piece; never changed
	peers  []*peer         // in order of registration
	zones  map[string][]*peer

	whole int             // sharing peers that hold everything
	have  []uint32        // how many other sharing peers hold a piece; as long as the highest piece held
	here  darter.PieceSet // pieces with have > 0

	lackers  []*peer   // peers for some of whose pieces there is no way yet
	goers    []*peer   // peers with assigned pieces
	pending  []pending // triggered seeds that did not register yet
	tried    []darter.HostID
	attempts int // failures at the source since the last piece from it
	verdict  Fault
	refused  time.Time // until when the verdict stands
	active   int       // active peers
	resumed  bool      // somebody registered with pieces in hand
	holders  int       // sharing peers on ordinary hosts that hold something
}

// pending is a seed that was triggered and has not registered.
type pending struct {
	host     *host
	pieces   darter.PieceSet
	deadline time.Time
	repeats  int
}

func newGroup(t *task, layout darter.Layout) *group {
	g := &group{task: t, layout: layout, zones: map[string][]*peer{}}
	g.all = layout.Covering(nil)
	return g
}

func (g *group) add(p *peer) {
	g.peers = append(g.peers, p)
	key := p.host.zone.Key()
	g.zones[key] = append(g.zones[key], p)
	if p.active() {
		g.active++
	}
	g.count(p)
}

func (g *group) remove(p *peer) {
	g.uncount(p)
	same := func(q *peer) bool { return q == p }
	g.peers = slices.DeleteFunc(g.peers, same)
	key := p.host.zone.Key()
	if rest := slices.DeleteFunc(g.zones[key], same); len(rest) > 0 {
		g.zones[key] = rest
	} else {
		delete(g.zones, key)
	}
	g.goers = slices.DeleteFunc(g.goers, same)
	g.lackers = slices.DeleteFunc(g.lackers, same)
}

// count enters what p holds, when p may be offered.
func (g *group) count(p *peer) {
	if p.counted || !p.shares() || !p.holdsAny() {
		return
	}
	p.counted = true
	if !p.seed() {
		g.holders++
	}
	if p.full {
		g.whole++
		return
	}
	for n := range p.held.All() {
		g.inc(n)
	}
}

func (g *group) uncount(p *peer) {
	if !p.counted {
		return
	}
	p.counted = false
	if !p.seed() {
		g.holders--
	}
	if p.full {
		g.whole--
		return
	}
	for n := range p.held.All() {
		if g.have[n]--; g.have[n] == 0 {
			g.here.Remove(n)
		}
	}
}

func (g *group) inc(n uint32) {
	for uint32(len(g.have)) <= n {
		g.have = append(g.have, 0)
	}
	if g.have[n]++; g.have[n] == 1 {
		g.here.Add(n)
	}
}

// gain gives p one piece.
func (g *group) gain(p *peer, n uint32) bool {
	if p.has(n) || n >= g.layout.Count() {
		return false
	}
	p.held.Add(n)
	if p.counted {
		g.inc(n)
	} else {
		g.count(p)
	}
	return true
}

// fill makes p hold all it wants, and shortens the record of who holds everything.
func (g *group) fill(p *peer) {
	if p.full {
		return
	}
	g.uncount(p)
	p.held.Union(p.wanted)
	if p.held.Contains(g.all) && g.layout.Count() > 0 {
		p.full, p.held = true, darter.PieceSet{}
	}
	g.count(p)
}

// held returns what sharing peers hold. The set must not be changed.
func (g *group) held() darter.PieceSet {
	if g.whole > 0 {
		return g.all
	}
	return g.here
}

// heldFor returns what p could get from sharing peers: those on other hosts that it did not block, and, for
// a plain client, that do not leave it waiting for what they will never have.
func (g *group) heldFor(p *peer) darter.PieceSet {
	if p.ordinary() {
		return g.held()
	}
	var set darter.PieceSet
	for _, q := range g.peers {
		if q.counted && offerable(p, q, p.wanted) {
			if q.full {
				return g.all
			}
			set.Union(q.held)
		}
	}
	return set
}

// coming returns what p may count on: assigned to source-goers, or expected of triggered seeds. A goer
// that does not share fetches for itself only.
func (g *group) coming(p *peer) darter.PieceSet {
	var set darter.PieceSet
	for _, r := range g.goers {
		if r == p || !r.host.facts.NoSharing {
			set.Union(r.assigned)
		}
	}
	for _, w := range g.pending {
		set.Union(w.pieces)
	}
	return set
}

// sure returns what everybody without peculiarities can count on: held by sharing peers, or coming.
func (g *group) sure() darter.PieceSet {
	if g.whole > 0 {
		return g.all
	}
	set := g.here.Clone()
	for _, r := range g.goers {
		if !r.host.facts.NoSharing {
			set.Union(r.assigned)
		}
	}
	for _, w := range g.pending {
		set.Union(w.pieces)
	}
	return set
}

// uncovered returns the pieces that p misses and that nobody holds for it nor fetches.
func (g *group) uncovered(p *peer) darter.PieceSet {
	rest := p.missing().Minus(g.heldFor(p))
	if rest.Empty() {
		return rest
	}
	rest = rest.Minus(g.coming(p))
	if !rest.Empty() && !rest.Intersect(g.held()).Empty() {
		rest = rest.Minus(g.relayed(p))
	}
	return rest
}

// relayed returns what p itself cannot get from its holders, but others at work can, and will pass on.
func (g *group) relayed(p *peer) darter.PieceSet {
	var set darter.PieceSet
	for _, r := range g.peers {
		if r.relays(p) {
			set.Union(r.missing().Intersect(g.heldFor(r)))
		}
	}
	return set
}

func (g *group) waitsFor(h *host) bool {
	return slices.ContainsFunc(g.pending, func(w pending) bool { return w.host == h })
}

func (g *group) dropPending(h *host) bool {
	before := len(g.pending)
	g.pending = slices.DeleteFunc(g.pending, func(w pending) bool { return w.host == h })
	return len(g.pending) < before
}
