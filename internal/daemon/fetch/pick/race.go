package pick

import "time"

// race asks idle parents for pieces that wait in queues elsewhere. The first byte decides, and the other asks are
// withdrawn before their turn comes. Without it a swarm that starts all at once queues at the few first
// holders, while those who got a piece a moment later find nobody to give it to.
func (p *Picker) race(now time.Time, cancelled map[uint64]bool, d *Decision) {
	for _, q := range p.parents {
		if q.gone || q.load > 0 || now.Before(q.resting) {
			continue
		}
		var best *flight
		fewest := 0
		for _, f := range p.flights {
			if f.Source() || f.bytes > 0 || cancelled[f.ID] || now.Sub(f.started) < p.cfg.RaceAfter || !q.offers(f.Piece) || q.refused[f.Piece] {
				continue
			}
			n, moving := p.asked(f.Piece)
			if moving || n >= p.cfg.Racers {
				continue
			}
			if best == nil || n < fewest || (n == fewest && p.before(f.Piece, 0, best.Piece, 0)) {
				best, fewest = f, n
			}
		}
		if best != nil {
			p.start(Ask{Piece: best.Piece, Run: 1, From: q.id, Hedge: true, Relay: !q.has.Has(best.Piece)}, now, d)
		}
	}
}

// offers reports whether the parent holds a piece or is receiving it.
func (q *parent) offers(n uint32) bool { return q.has.Has(n) || q.coming.Has(n) }

// gives reports whether the parent holds a piece and did not fail to give it.
func (q *parent) gives(n uint32) bool { return q.has.Has(n) && !q.refused[n] }

// asked returns how many asks for a piece are in flight at parents, and whether bytes of one of them came.
func (p *Picker) asked(n uint32) (asks int, moving bool) {
	for _, f := range p.flights {
		if !f.Source() && f.Piece == n {
			asks++
			moving = moving || f.bytes > 0
		}
	}
	return asks, moving
}

// beaten reports whether a race that f runs in is decided for another. An ask that was started because the
// other one is slow does not race.
func (p *Picker) beaten(f *flight) bool {
	if f.Source() || f.rescue {
		return false
	}
	for _, g := range p.flights {
		if g == f || g.Source() || g.rescue || g.Piece != f.Piece || g.bytes == 0 {
			continue
		}
		if g.bytes > f.bytes || (g.bytes == f.bytes && g.ID < f.ID) {
			return true
		}
	}
	return false
}
