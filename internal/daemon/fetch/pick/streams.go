package pick

import (
	"time"

	"github.com/darter-p2p/darter"
)

// streams finds how many parallel requests the source rewards: it starts with two, because a single one is slow where the
// answers to it queue behind what this host sends; it tries one more, and keeps it only when the source then gives half a
// stream's share more. Few streams mean that little is lost when the host that reads them dies.
type streams struct {
	allowed int       // streams now
	bytes   int64     // received since the last look
	since   time.Time // of the last look
	due     time.Time // of the next
	before  float64   // bytes per second before the last change
	last    float64   // bytes per second at the last look
	trying  bool      // the last change was an increase
}

const (
	fairGain     = 0.5 // a further stream must bring half of what it would if each brought the same
	steadyWithin = 1.1 // the rate counts as steady when it grew by less than a tenth
)

func (s *streams) look(cfg Config, now time.Time) {
	if s.since.IsZero() {
		s.since, s.due = now, now.Add(cfg.ProbeEvery)
		return
	}
	if now.Before(s.due) {
		return
	}
	rate := float64(s.bytes) / now.Sub(s.since).Seconds()
	wait := cfg.ProbeEvery
	steady := rate <= s.last*steadyWithin
	s.last = rate
	switch {
	case s.trying && rate < s.before*(1+fairGain/float64(s.allowed-1)):
		s.allowed, s.trying = s.allowed-1, false
		wait = 10 * cfg.ProbeEvery
	case s.allowed < cfg.SourceStreams && rate > 0 && steady: // while it grows by itself, a trial would prove nothing
		s.before, s.trying = rate, true
		s.allowed++
	default:
		s.before, s.trying = rate, false
	}
	s.bytes, s.since, s.due = 0, now, now.Add(wait)
}

// fillSource starts requests to the source for granted pieces that no usable parent holds.
func (p *Picker) fillSource(now time.Time, d *Decision) {
	open := p.Granted().Minus(p.busy())
	if open.Empty() {
		return
	}
	p.streams.look(p.cfg, now)
	for p.sourceFlights() < p.streams.allowed {
		open = p.atSource(open, now)
		first, run := p.run(open)
		if run == 0 {
			return
		}
		p.start(Ask{Piece: first, Run: run}, now, d)
		for n := first; n < first+run; n++ {
			open.Remove(n)
		}
	}
}

// atSource keeps the pieces that must come from the source: those that no parent could give now or soon. What a parent
// offered that broke off a moment ago may have reached others, who did not say so yet.
func (p *Picker) atSource(open darter.PieceSet, now time.Time) darter.PieceSet {
	out := open.Clone()
	for _, q := range p.parents {
		spared := now.Before(q.broke.Add(p.cfg.Spare)) && p.others(q)
		if !spared && (q.gone || now.Before(q.resting)) {
			continue
		}
		for n := range open.All() {
			if q.offers(n) && (spared || !q.refused[n]) {
				out.Remove(n)
			}
		}
	}
	return out
}

// others reports whether anybody but q can be asked.
func (p *Picker) others(q *parent) bool {
	return p.Parents() > 1 || (p.Parents() == 1 && q.gone)
}

// run returns the first stretch of consecutive pieces, the urgent one's first. Stretches are shared out
// between the streams, so that the last one is not long.
func (p *Picker) run(open darter.PieceSet) (first, length uint32) {
	most := uint32(p.cfg.SourceRun)
	if left := uint32(open.Len()); p.streams.allowed > 1 {
		most = max(1, min(most, left/uint32(p.streams.allowed)))
	}
	if p.streams.trying { // short, so that the source is soon left with one request if two bring no more
		most = 1
	}
	if p.scatter {
		return p.scattered(open)
	}
	started := false
	if p.urgent >= 0 && open.Has(uint32(p.urgent)) {
		first, started = uint32(p.urgent), true
	}
	for n := range open.All() {
		switch {
		case started && n < first:
			continue
		case !started:
			first, length, started = n, 1, true
		case n == first+length && length < most:
			length++
		default:
			return first, length
		}
	}
	return first, length
}

// scattered returns one piece in shuffled order: hosts that all went to the source by themselves then take
// different pieces and can exchange them.
func (p *Picker) scattered(open darter.PieceSet) (first, length uint32) {
	for n := range open.All() {
		if int64(n) == p.urgent {
			return n, 1
		}
		if length == 0 || p.order[n] < p.order[first] {
			first, length = n, 1
		}
	}
	return first, length
}
