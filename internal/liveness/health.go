package liveness

import "time"

// fault is a way in which this process can be unwell.
type fault uint8

const (
	faultLag fault = 1 << iota
	faultJump
	faultPause
	faultThrottle
	faultRenewals
)

func (f fault) String() string {
	switch f {
	case faultLag:
		return "the event loop is late"
	case faultJump:
		return "the clock jumped"
	case faultPause:
		return "this process stood still"
	case faultThrottle:
		return "this process is throttled"
	}
	return "far fewer renewals than expected"
}

// health is how far this process trusts itself: each kind of fault adds one per window, a window without takes one off.
type health struct {
	multiplier int
	seen       fault // in this window
	since      time.Duration
	renewals   uint64 // in this window
	pace       time.Duration
}

// blame counts a fault, once per window and kind.
func (r *Roster) blame(f fault) {
	h := &r.health
	if h.seen&f != 0 {
		return
	}
	h.seen |= f
	r.trust(min(h.multiplier+1, r.policy.Health.Most), f.String())
}

func (r *Roster) trust(multiplier int, why string) {
	was := r.health.multiplier
	if multiplier == was {
		return
	}
	r.health.multiplier = multiplier
	r.out(HealthChanged{From: was, To: multiplier, Why: why})
}

func (r *Roster) onHealth(e Health) {
	if e.Lag > r.policy.Health.Lag.Std() {
		r.blame(faultLag)
	}
	if e.Jumped {
		r.blame(faultJump)
	}
	if e.Throttled {
		r.blame(faultThrottle)
	}
}

// fewest is how many renewals must be expected in a window for their absence to tell something.
const fewest = 20

// healthWindow closes a window when its time is over.
func (r *Roster) healthWindow() {
	h, now := &r.health, r.clock.awake
	window := r.policy.Health.Window.Std()
	if now-h.since < window {
		return
	}
	// Hosts that were granted longer intervals than are granted now renew more seldom for a while.
	h.pace = max(r.pace(), h.pace-h.pace/10)
	expected := float64(r.leased) * float64(now-h.since) / float64(h.pace)
	if expected >= fewest && float64(h.renewals) < r.policy.Health.Share*expected && !r.clock.frozen {
		r.blame(faultRenewals)
	}
	if h.seen == 0 || h.multiplier > r.policy.Health.Most {
		r.trust(max(min(h.multiplier, r.policy.Health.Most+1)-1, 1), "a window without faults")
	}
	h.seen, h.since, h.renewals = 0, now, 0
}
