package gc

import "time"

// Bounds limits batches.
type Bounds struct {
	Start, Min, Max int           // rows of a batch
	Target          time.Duration // how long a batch should take: between 2/3 and 4/3 of it is well
	Pause           time.Duration // least rest after a batch
	Busy            float64       // most part of the time that batches may take, above 0 and up to 1
	Rate            int64         // most rows per second; 0 is no limit
}

// Pacer adapts the size of batches: up step by step while they are quick, down by half when they are
// slow, down to a tenth after three failures in a row, and up again from there.
type Pacer struct {
	bounds Bounds
	size   int
	failed int // in a row
}

// NewPacer returns a pacer that begins with bounds.Start.
func NewPacer(b Bounds) *Pacer {
	p := &Pacer{bounds: b}
	p.resize(b.Start)
	return p
}

// Size is how many rows the next batch may have.
func (p *Pacer) Size() int { return p.size }

// Done takes what a batch did and returns how long to rest.
func (p *Pacer) Done(rows int, took time.Duration) time.Duration {
	p.failed = 0
	full := rows >= p.size
	switch {
	case took > p.bounds.Target*4/3:
		p.resize(p.size / 2)
	case full && took < p.bounds.Target/3:
		p.resize(p.size * 2) // far below: no need to creep
	case full && took < p.bounds.Target*2/3:
		p.resize(p.size + max(p.bounds.Start, 1))
	}
	rest := max(p.bounds.Pause, time.Duration(float64(took)*(1/p.bounds.Busy-1)))
	if p.bounds.Rate > 0 {
		rest = max(rest, time.Duration(float64(rows)/float64(p.bounds.Rate)*float64(time.Second))-took)
	}
	return min(rest, time.Minute)
}

// Failed takes that a batch ran into a lock or a limit on time, and returns how long to rest.
func (p *Pacer) Failed(took time.Duration) time.Duration {
	p.failed++
	if p.failed%3 == 0 {
		p.resize(p.size / 10)
	} else {
		p.resize(p.size / 2)
	}
	rest := max(p.bounds.Pause, 100*time.Millisecond<<min(p.failed-1, 7))
	return min(max(rest, time.Duration(float64(took)*(1/p.bounds.Busy-1))), time.Minute)
}

func (p *Pacer) resize(to int) { p.size = min(max(to, p.bounds.Min, 1), p.bounds.Max) }
