package pick

import (
	"time"

	"github.com/darter-p2p/darter"
)

// Next decides what to start and what to cancel at now. What it starts counts as in flight from then on,
// until Ended is called for it; what it cancels stays in flight until then, too.
func (p *Picker) Next(now time.Time) Decision {
	var d Decision
	cancelled := p.cancels(now, &d)
	p.fill(now, &d)
	p.fillSource(now, &d)
	p.race(now, cancelled, &d)
	p.hedge(now, cancelled, &d)
	p.wake(now, &d)
	return d
}

// cancels ends asks whose piece came from elsewhere, and those that stalled.
func (p *Picker) cancels(now time.Time, d *Decision) map[uint64]bool {
	out := map[uint64]bool{}
	for _, f := range p.flights {
		switch {
		case !f.Source() && p.held.Has(f.Piece):
			d.Cancel = append(d.Cancel, Cancel{Ask: f.Ask})
		case f.Source() && p.runDone(f):
			d.Cancel = append(d.Cancel, Cancel{Ask: f.Ask})
		case p.beaten(f):
			d.Cancel = append(d.Cancel, Cancel{Ask: f.Ask})
		case now.Sub(f.moved) >= p.patience(f):
			d.Cancel = append(d.Cancel, Cancel{Ask: f.Ask, Stall: p.gaveUp(f, now)})
		default:
			continue
		}
		out[f.ID] = true
	}
	return out
}

// runDone reports whether the piece that a source run fetches now is here already: its bytes would be
// fetched twice. A run whose last piece was just taken ends by itself.
func (p *Picker) runDone(f *flight) bool {
	return f.at < f.Piece+f.Run && p.held.Has(f.at)
}

// gaveUp tells an ask that stalled from one that only waits in a long queue. The parent of the latter is left alone
// for a moment, and counts as failed only when nothing at all came from it for many such waits.
func (p *Picker) gaveUp(f *flight, now time.Time) bool {
	if f.parent == nil || f.bytes > 0 {
		return true
	}
	q := f.parent
	if !f.started.Before(q.waited) { // waits beside each other count once
		q.waits++
		q.waited = now
	}
	q.resting = now.Add(p.cfg.Penalty)
	return q.waits >= p.cfg.Waits
}

func (p *Picker) patience(f *flight) time.Duration {
	if f.bytes == 0 && !f.Source() {
		return p.cfg.Queue
	}
	if f.Source() {
		return max(p.cfg.Queue, p.cfg.Stall)
	}
	return p.cfg.Stall
}

// fill starts asks at parents: the rarest piece of the window first.
func (p *Picker) fill(now time.Time, d *Decision) {
	busy := p.busy()
	free := p.cfg.Total - p.peerPieces()
	if free <= 0 {
		return
	}
	window := p.window(busy)
	for free > 0 {
		best, from := -1, (*parent)(nil)
		rarity := 0
		for i, n := range window {
			if busy.Has(n) {
				continue
			}
			q, holders := p.server(n, now)
			if q == nil {
				continue
			}
			if best < 0 || p.before(n, holders, window[best], rarity) {
				best, from, rarity = i, q, holders
			}
		}
		if best < 0 {
			return
		}
		n := window[best]
		p.start(Ask{Piece: n, Run: 1, From: from.id, Relay: !from.has.Has(n), Sole: rarity == 1 && p.Parents() > 1}, now, d)
		busy.Add(n)
		free--
	}
}

// before reports whether piece a should be asked before piece b.
func (p *Picker) before(a uint32, holdersA int, b uint32, holdersB int) bool {
	if urgent := p.urgent; int64(a) == urgent || int64(b) == urgent {
		return int64(a) == urgent
	}
	if holdersA != holdersB {
		return holdersA < holdersB
	}
	return p.order[a] < p.order[b]
}

// window returns the first missing pieces that nobody is asked for, in ascending order.
func (p *Picker) window(busy darter.PieceSet) []uint32 {
	var out []uint32
	for n := range p.Missing().All() {
		if busy.Has(n) || (p.urgent >= 0 && int64(n) < p.urgent && len(out) == 0 && p.later(uint32(p.urgent), busy)) {
			continue
		}
		if out = append(out, n); len(out) == p.cfg.Window {
			break
		}
	}
	return out
}

// later reports whether anything at or after n is missing and not asked for: a reader that jumped ahead is served first.
func (p *Picker) later(n uint32, busy darter.PieceSet) bool {
	for m := range p.Missing().All() {
		if m >= n && !busy.Has(m) {
			return true
		}
	}
	return false
}

// server chooses the parent to ask for n, nil when none can take it now, and counts who holds it.
func (p *Picker) server(n uint32, now time.Time) (best *parent, holders int) {
	limit := p.perParent()
	var bestCost float64
	for _, q := range p.parents {
		if q.gone || !q.offers(n) {
			continue
		}
		holders++
		if q.load >= limit || now.Before(q.resting) {
			continue
		}
		cost := p.cost(q, q.load)
		if q.refused[n] { // once more only when nobody else has it
			cost *= 1e6
		}
		if best == nil || cost < bestCost {
			best, bestCost = q, cost
		}
	}
	return best, holders
}

// cost estimates the seconds until a parent would have delivered one more piece. A parent of unknown rate
// counts as fast, so that everyone is tried; a seed counts double, because its uplink is what the
// whole swarm waits for.
func (p *Picker) cost(q *parent, load int) float64 {
	rate := q.rate
	if rate == 0 {
		rate = 1 << 30
	}
	cost := float64(load+1) * float64(p.layout.PieceLength) / rate
	if q.seed {
		cost *= 2
	}
	return cost * float64(1+q.strikes)
}

func (p *Picker) perParent() int {
	useful := p.Parents()
	if useful <= 1 {
		return p.cfg.LonelyParent
	}
	return max(p.cfg.PerParent, min(p.cfg.LonelyParent, p.cfg.Total/useful/2))
}

// hedge doubles an ask that is slow when nothing else is left to start and an idle parent has the piece.
func (p *Picker) hedge(now time.Time, cancelled map[uint64]bool, d *Decision) {
	if len(p.flights) == 0 || p.rescues() >= 2 || !p.endgame() {
		return
	}
	for _, f := range p.flights {
		if f.Source() || f.rescue || cancelled[f.ID] || p.rescued(f) || !p.slow(f, now) {
			continue
		}
		if q := p.rescuer(f, now); q != nil && p.remaining(f, now) > 2*p.cost(q, 0) {
			p.start(Ask{Piece: f.Piece, Run: 1, From: q.id, Hedge: true}, now, d)
			p.flights[len(p.flights)-1].rescue = true
			return
		}
	}
}

// endgame reports whether every missing piece is asked for already.
func (p *Picker) endgame() bool { return p.Missing().Minus(p.busy()).Empty() }

// slow reports whether an ask will take twice as long again as its bytes took so far. One without a byte races.
func (p *Picker) slow(f *flight, now time.Time) bool {
	age := now.Sub(f.first)
	return f.bytes > 0 && age >= 2*p.cfg.HedgeAfter && p.remaining(f, now) > 2*age.Seconds()
}

// remaining estimates the seconds that an ask with bytes still takes.
func (p *Picker) remaining(f *flight, now time.Time) float64 {
	left := p.layout.Span(f.Piece).Length - f.bytes
	return float64(left) / float64(f.bytes) * now.Sub(f.first).Seconds()
}

func (p *Picker) rescuer(f *flight, now time.Time) *parent {
	var best *parent
	for _, q := range p.parents {
		if q.gone || q == f.parent || q.load > 0 || !q.gives(f.Piece) || now.Before(q.resting) {
			continue
		}
		if best == nil || p.cost(q, 0) < p.cost(best, 0) {
			best = q
		}
	}
	return best
}

func (p *Picker) rescues() int {
	n := 0
	for _, f := range p.flights {
		if f.rescue {
			n++
		}
	}
	return n
}

func (p *Picker) rescued(f *flight) bool {
	for _, g := range p.flights {
		if g.rescue && g.Piece == f.Piece {
			return true
		}
	}
	return false
}

func (p *Picker) start(a Ask, now time.Time, d *Decision) {
	p.lastID++
	a.ID = p.lastID
	f := &flight{Ask: a, parent: p.parent(a.From), started: now, moved: now, at: a.Piece}
	if f.parent != nil {
		f.parent.load++
	}
	p.flights = append(p.flights, f)
	d.Start = append(d.Start, a)
}

// busy returns the pieces that some ask in flight will bring.
func (p *Picker) busy() darter.PieceSet {
	var out darter.PieceSet
	for _, f := range p.flights {
		out.AddRange(f.at, f.Piece+f.Run)
	}
	return out
}

// sourceFlights returns how many requests to the source are in flight.
func (p *Picker) sourceFlights() int {
	n := 0
	for _, f := range p.flights {
		if f.Source() {
			n++
		}
	}
	return n
}

// peerPieces returns how many pieces are asked of parents.
func (p *Picker) peerPieces() int {
	var set darter.PieceSet
	for _, f := range p.flights {
		if !f.Source() {
			set.Add(f.Piece)
		}
	}
	return set.Len()
}

// wake asks to be called again when a limit of an ask in flight, a rest or a probe is due.
func (p *Picker) wake(now time.Time, d *Decision) {
	soonest := func(t time.Time) {
		if t.After(now) && (d.Wake.IsZero() || t.Before(d.Wake)) {
			d.Wake = t
		}
	}
	for _, f := range p.flights {
		soonest(f.moved.Add(p.patience(f)))
		if !f.Source() {
			soonest(f.started.Add(p.cfg.RaceAfter))
			if f.bytes > 0 {
				soonest(f.first.Add(2 * p.cfg.HedgeAfter))
			}
		}
		if f.Source() && p.streams.due.After(now) {
			soonest(p.streams.due)
		}
	}
	for _, q := range p.parents {
		soonest(q.broke.Add(p.cfg.Spare))
		if !q.gone {
			soonest(q.resting)
		}
	}
}
