package pick

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/darter-p2p/darter"
)

// Ask is one request in flight: a piece from a parent, or a run of pieces from the source.
type Ask struct {
	ID    uint64
	Piece uint32
	Run   uint32        // consecutive pieces; 1 except for the source
	From  darter.PeerID // empty for the source
	Relay bool          // the parent is still receiving the piece itself
	Sole  bool          // of several parents, no other has or receives the piece
	Hedge bool          // a second ask for a piece that another ask is slow to bring
}

// Source reports whether the ask goes to the source.
func (a Ask) Source() bool { return a.From == "" }

// Decision is what to do now.
type Decision struct {
	Start  []Ask
	Cancel []Cancel
	Wake   time.Time // look again then at the latest; zero when only events matter
}

// Cancel names an ask to end, and whether it was given up because the parent stalled.
type Cancel struct {
	Ask   Ask
	Stall bool
}

// Picker holds the state of one download. It is not safe for concurrent use.
type Picker struct {
	cfg    Config
	layout darter.Layout
	rnd    *rand.Rand
	order  []uint32 // order[n] is the shuffled rank of piece n, to break ties

	wanted  darter.PieceSet
	held    darter.PieceSet
	granted darter.PieceSet // may be asked at the source
	urgent  int64           // the piece a reader waits for; -1 when none
	scatter bool            // the source is asked for single pieces in shuffled order

	parents []*parent // in order of arrival
	flights []*flight // in order of start
	lastID  uint64
	streams streams
}

type parent struct {
	id      darter.PeerID
	seed    bool
	has     darter.PieceSet
	coming  darter.PieceSet // it is receiving them, and passes on what it has
	rate    float64         // bytes per second, smoothed; 0 when unknown
	strikes int
	resting time.Time // not asked before
	broke   time.Time // when it was lost, or an ask failed there
	gone    bool
	refused map[uint32]bool // pieces it failed to give
	load    int             // asks in flight
	waits   int             // asks withdrawn from its queue, one after the other, since it last gave bytes
	waited  time.Time       // when the last of them was
}

type flight struct {
	Ask
	parent  *parent // nil for the source
	started time.Time
	first   time.Time // its first bytes were seen
	moved   time.Time // last progress
	bytes   int64
	at      uint32 // next piece of the run
	rescue  bool   // started because another ask is slow; others started beside one race
}

// New returns the picker of one download. The seed makes its choices repeatable and different from its equals'.
func New(cfg Config, layout darter.Layout, seed uint64) *Picker {
	p := &Picker{cfg: cfg, layout: layout, rnd: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)), urgent: -1}
	p.order = make([]uint32, layout.Count())
	for i, r := range p.rnd.Perm(len(p.order)) {
		p.order[i] = uint32(r)
	}
	p.streams.allowed = min(cfg.FirstStreams, cfg.SourceStreams)
	return p
}

// Want says which pieces to fetch, instead of what was said before; asks in flight go on.
func (p *Picker) Want(set darter.PieceSet) { p.wanted = set.Clone() }

// Have records pieces that are here.
func (p *Picker) Have(set darter.PieceSet) { p.held.Union(set) }

// Forget records pieces that are no longer here, and what was thought of who holds them.
func (p *Picker) Forget(set darter.PieceSet) { p.held = p.held.Minus(set) }

// Missing returns the wanted pieces that are not here.
func (p *Picker) Missing() darter.PieceSet { return p.wanted.Minus(p.held) }

// Grant allows the source for the pieces given.
func (p *Picker) Grant(set darter.PieceSet) { p.granted.Union(set) }

// Scatter makes requests to the source take single pieces in shuffled order, for a grant that nobody coordinates.
func (p *Picker) Scatter() { p.scatter = true }

// Granted returns the missing pieces that may be asked at the source.
func (p *Picker) Granted() darter.PieceSet { return p.granted.Intersect(p.Missing()) }

// Revoke takes back every grant.
func (p *Picker) Revoke() { p.granted = darter.PieceSet{} }

// Urgent names the piece that a reader waits for; negative for none.
func (p *Picker) Urgent(n int64) { p.urgent = n }

// Join makes a parent known. Joining again forgives a parent that had gone.
func (p *Picker) Join(id darter.PeerID, seed bool) {
	if q := p.parent(id); q != nil {
		q.gone, q.strikes = false, 0
		return
	}
	p.parents = append(p.parents, &parent{id: id, seed: seed, refused: map[uint32]bool{}})
}

// Holds records that a parent has a piece.
func (p *Picker) Holds(id darter.PeerID, n uint32) {
	if q := p.parent(id); q != nil && n < p.layout.Count() {
		q.has.Add(n)
		q.coming.Remove(n)
		delete(q.refused, n)
	}
}

// Receives records that a parent is about to have a piece, and passes on what it has of it.
func (p *Picker) Receives(id darter.PeerID, n uint32) {
	if q := p.parent(id); q != nil && n < p.layout.Count() && !q.has.Has(n) {
		q.coming.Add(n)
		delete(q.refused, n)
	}
}

// Gone records that a parent can no longer be asked. Its asks in flight fail by themselves.
func (p *Picker) Gone(id darter.PeerID) {
	if q := p.parent(id); q != nil {
		q.gone = true
	}
}

// Lost is Gone for a parent that broke off. What it had sent, others may be about to pass on.
func (p *Picker) Lost(id darter.PeerID, now time.Time) {
	if q := p.parent(id); q != nil {
		q.gone, q.broke = true, now
	}
}

// Struck reports whether a parent failed so often that it is asked no more.
func (p *Picker) Struck(id darter.PeerID) bool {
	q := p.parent(id)
	return q != nil && q.gone
}

// Parents returns how many parents are usable.
func (p *Picker) Parents() int {
	n := 0
	for _, q := range p.parents {
		if !q.gone {
			n++
		}
	}
	return n
}

// Progress records that an ask has received bytes in all so far.
func (p *Picker) Progress(id uint64, bytes int64, now time.Time) {
	if f := p.flight(id); f != nil && bytes > f.bytes {
		if f.Source() {
			p.streams.bytes += bytes - f.bytes
		}
		if f.bytes == 0 {
			f.first = now
		}
		if f.bytes, f.moved = bytes, now; f.parent != nil {
			f.parent.waits = 0
		}
	}
}

// Got records that a piece of an ask arrived and was committed. Other asks for the same piece come back in the next Decision's Cancel.
func (p *Picker) Got(id uint64, n uint32, now time.Time) {
	p.held.Add(n)
	f := p.flight(id)
	if f == nil {
		return
	}
	f.moved = now
	f.at = n + 1
	if q := f.parent; q != nil {
		q.measure(p.layout.Span(n).Length, now.Sub(f.started))
	}
}

// Ended records that an ask is over. failed means that the parent or the source did not deliver, missing
// that a parent said it does not hold the piece.
func (p *Picker) Ended(id uint64, failed, missing bool, now time.Time) {
	i := slices.IndexFunc(p.flights, func(f *flight) bool { return f.ID == id })
	if i < 0 {
		return
	}
	f := p.flights[i]
	p.flights = slices.Delete(p.flights, i, i+1)
	if q := f.parent; q != nil {
		q.load--
		q.ended(p.cfg, f.Piece, failed, missing, now)
	}
}

// Outbid records that a parent broke an ask off because it has pieces to send that nobody else has: it is asked for this
// one again only when nobody else has it.
func (p *Picker) Outbid(id uint64) {
	i := slices.IndexFunc(p.flights, func(f *flight) bool { return f.ID == id })
	if i < 0 {
		return
	}
	if q := p.flights[i].parent; q != nil {
		q.load--
		q.refused[p.flights[i].Piece] = true
	}
	p.flights = slices.Delete(p.flights, i, i+1)
}

// Idle reports whether pieces are missing while nothing is in flight.
func (p *Picker) Idle() bool { return len(p.flights) == 0 && !p.Missing().Empty() }

func (p *Picker) parent(id darter.PeerID) *parent {
	if id == "" {
		return nil
	}
	for _, q := range p.parents {
		if q.id == id {
			return q
		}
	}
	return nil
}

func (p *Picker) flight(id uint64) *flight {
	for _, f := range p.flights {
		if f.ID == id {
			return f
		}
	}
	return nil
}

// measure smooths the goodput of a parent: new samples count for three tenths.
func (q *parent) measure(bytes int64, took time.Duration) {
	q.strikes, q.waits = 0, 0
	if took <= 0 {
		took = time.Microsecond
	}
	rate := float64(bytes) / took.Seconds()
	if q.rate == 0 {
		q.rate = rate
		return
	}
	q.rate = 0.7*q.rate + 0.3*rate
}

func (q *parent) ended(cfg Config, n uint32, failed, missing bool, now time.Time) {
	if missing {
		q.has.Remove(n)
		q.coming.Remove(n)
		return
	}
	if !failed {
		return
	}
	q.strikes++
	q.refused[n], q.broke = true, now
	q.resting = now.Add(time.Duration(q.strikes) * cfg.Penalty)
	if q.strikes >= cfg.Strikes {
		q.gone = true
	}
}
