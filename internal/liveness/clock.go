package liveness

import "time"

// clock makes the time that deadlines run on out of the time that the caller gives. Hours in which this process did not
// run, or heard nobody at all, did not pass for others either: all that is written down on it stays
// right, and nothing has to be shifted one by one.
//
//	now    ───────────┤ SIGSTOP 30 s ├──────────┤ self-fault ├────────▶
//	awake  ───────────┤├────────────────────────┤ self-fault ├────────▶   guards, tombstones, overrides
//	inner  ───────────┤├────────────────────────┤├────────────────────▶   evidence and deadlines of hosts
type clock struct {
	base   time.Time
	real   time.Duration // of the last step, since base
	awake  time.Duration
	inner  time.Duration
	maxGap time.Duration
	frozen bool
}

// advance lets time pass. It returns how much of it is left out, and whether the clock went back.
func (c *clock) advance(now time.Time) (lost time.Duration, back bool) {
	if c.base.IsZero() {
		c.base = now
		return 0, false
	}
	real := now.Sub(c.base)
	step := real - c.real
	c.real = real
	if step < 0 {
		return 0, true
	}
	if step > c.maxGap {
		step, lost = c.maxGap, step-c.maxGap
	}
	c.awake += step
	if !c.frozen {
		c.inner += step
	}
	return lost, false
}

// peek returns what inner would be at now, without letting time pass.
func (c *clock) peek(now time.Time) time.Duration {
	step := now.Sub(c.base) - c.real
	if step <= 0 || c.frozen {
		return c.inner
	}
	return c.inner + min(step, c.maxGap)
}

// time returns the caller's time of a moment on the inner clock, as far as that can be told.
func (c *clock) time(inner time.Duration) time.Time { return c.base.Add(c.real - (c.inner - inner)) }
