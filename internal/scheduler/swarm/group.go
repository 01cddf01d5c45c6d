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
	loose   lane[peer] // peers without a group
	created time.Time
	updated time.Time
	idle    uint64 // counts the times it fell idle: a registration that comes between makes an entry of the idle queue stale
	slot    uint32

	older, newer *task // by when they were last touched
}

func (t *task) empty() bool { return len(t.groups) == 0 && t.loose.live == 0 }

// group is the peers of a task that agree on its layout.
type group struct {
	task   *task
	layout darter.Layout
	all    darter.PieceSet // every piece; never changed
	slot   uint32
	size   int        // peers, parked ones too
	peers  lane[peer] // in order of registration; without parked ones
	work   lane[peer] // those that were at work when last looked at
	zones  map[string]*lane[peer]
	kept   []ref // locations; the first known of them count
	known  int

	whole int             // sharing peers, and locations that count, that hold everything
	have  []uint32        // how many others hold a piece; as long as the highest piece held
	here  darter.PieceSet // pieces with have > 0

	lackers  []*peer   // peers for some of whose pieces there is no way yet
	goers    []*peer   // peers with assigned pieces
	pending  []pending // triggered seeds that did not register yet
	tried    []darter.HostID
	attempts int // failures at the source since the last piece from it
	verdict  Fault
	refused  time.Time // until when the verdict stands
	queued   bool      // its sources are to be looked at
	woken    bool      // its hungry peers are to be looked at
	putOff   bool      // its sources wait for the end of relearning
	resumed  bool      // somebody registered with pieces in hand
	holders  int       // of those that hold something, the ones on ordinary hosts
}

// pending is a seed that was triggered and has not registered.
type pending struct {
	host     *host
	pieces   darter.PieceSet
	deadline time.Time
	repeats  int
}

func newGroup(t *task, layout darter.Layout) *group {
	g := &group{task: t, layout: layout}
	g.all = layout.Covering(nil)
	return g
}

// add puts a peer into the lanes.
func (g *group) add(p *peer) {
	p.atGroup = g.peers.add(p)
	key := p.host.zone.Key()
	z := g.zones[key]
	if z == nil {
		if g.zones == nil {
			g.zones = map[string]*lane[peer]{}
		}
		z = &lane[peer]{}
		g.zones[key] = z
	}
	p.atZone, p.zone = z.add(p), z
	if p.active() {
		p.working, p.atWork = true, g.work.add(p)
	}
	g.count(p)
}

// remove takes a peer out of the lanes.
func (g *group) remove(p *peer) {
	g.uncount(p)
	g.rest(p)
	g.peers.remove(p.atGroup, func(o *peer, at int32) { o.atGroup = at })
	if p.zone.remove(p.atZone, func(o *peer, at int32) { o.atZone = at }); p.zone.live == 0 {
		delete(g.zones, p.host.zone.Key())
	}
	p.zone = nil
	if len(g.goers) > 0 {
		g.goers = slices.DeleteFunc(g.goers, func(q *peer) bool { return q == p })
	}
	g.sate(p)
}

// rest takes a peer from those at work.
func (g *group) rest(p *peer) {
	if p.working {
		p.working = false
		g.work.remove(p.atWork, func(o *peer, at int32) { o.atWork = at })
	}
}

// sate takes a peer from those that lack something.
func (g *group) sate(p *peer) {
	if p.hungry {
		p.hungry = false
		g.lackers = slices.DeleteFunc(g.lackers, func(q *peer) bool { return q == p })
	}
}

// count enters what p holds, when p may be offered.
func (g *group) count(p *peer) {
	if p.counted || p.parked || !p.shares() || !p.holdsAny() {
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
		g.dec(n)
	}
}

func (g *group) dec(n uint32) {
	if g.have[n]--; g.have[n] == 0 {
		g.here.Remove(n)
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
func (s *Swarm) heldFor(p *peer) darter.PieceSet {
	g := p.group
	if s.ordinary(p) {
		return g.held()
	}
	var set darter.PieceSet
	for _, q := range g.peers.list {
		if q != nil && q.counted && offerable(p, q, p.wanted) {
			if q.full {
				return g.all
			}
			set.Union(q.held)
		}
	}
	for _, r := range g.kept[:g.known] {
		if s.usable(p, r, p.wanted) {
			if s.at(r).complete() {
				return g.all
			}
			set.Union(s.partial[r])
		}
	}
	return set
}

// coming returns what p may count on: assigned to source-goers, or expected of triggered seeds. A goer
// that does not share fetches for itself only.
func (g *group) coming(p *peer) darter.PieceSet {
	var set darter.PieceSet
	for _, r := range g.goers {
		if r == p || r.host.gives() {
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
		if r.host.gives() {
			set.Union(r.assigned)
		}
	}
	for _, w := range g.pending {
		set.Union(w.pieces)
	}
	return set
}

// uncovered returns the pieces that p misses and that nobody holds for it nor fetches.
func (s *Swarm) uncovered(p *peer) darter.PieceSet {
	g := p.group
	rest := p.missing().Minus(s.heldFor(p))
	if rest.Empty() {
		return rest
	}
	rest = rest.Minus(g.coming(p))
	if !rest.Empty() && !rest.Intersect(g.held()).Empty() {
		rest = rest.Minus(s.relayed(p))
	}
	return rest
}

// relayed returns what p itself cannot get from its holders, but others at work can, and will pass on.
func (s *Swarm) relayed(p *peer) darter.PieceSet {
	var set darter.PieceSet
	for _, r := range p.group.work.list {
		if r != nil && r.relays(p) {
			set.Union(r.missing().Intersect(s.heldFor(r)))
		}
	}
	return set
}

func (g *group) waitsFor(h *host) bool {
	return slices.ContainsFunc(g.pending, func(w pending) bool { return w.host == h })
}

func (g *group) dropPending(h *host) bool {
	return g.unwait(func(w pending) bool { return w.host == h })
}

// unwait ends the waits that match, and reports whether there were any.
func (g *group) unwait(match func(pending) bool) bool {
	before := len(g.pending)
	g.pending = slices.DeleteFunc(g.pending, func(w pending) bool {
		if !match(w) {
			return false
		}
		w.host.waits--
		return true
	})
	return len(g.pending) < before
}
