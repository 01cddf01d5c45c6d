package liveness

import (
	"time"

	"github.com/darter-p2p/darter"
)

// Step takes one piece of evidence and returns what is to be done, in order. Bad input is counted and bounded, never an
// error: it comes from the network. The effects belong to the caller.
func (r *Roster) Step(now time.Time, ev Evidence) []Effect {
	r.effects = nil
	r.stats.Items = 0
	lost, back := r.clock.advance(now)
	if lost > 0 || back {
		r.stood(lost)
	}
	more := r.handle(ev)
	r.settle()
	r.askProbes()
	if more {
		r.out(Wake{At: now})
	}
	return r.effects
}

// longPause is how many times the largest step of the clock this process may stand still before everybody's silence
// starts anew: connections broke meanwhile, and come back one by one.
const longPause = 5

// stood takes note of time in which this process did not run.
func (r *Roster) stood(lost time.Duration) {
	r.stats.Pauses++
	r.blame(faultPause)
	if lost > (longPause-1)*r.clock.maxGap {
		r.baseline = r.clock.inner
	}
}

func (r *Roster) handle(ev Evidence) (more bool) {
	switch e := ev.(type) {
	case Tick:
		return r.ticked()
	case Announced:
		r.onAnnounced(e)
	case Renewed:
		r.onRenewed(e)
	case Heard:
		r.onHeard(e.Host, Word)
	case Served:
		r.onHeard(e.By, Word)
		if e.By != e.Host && r.hosts[e.By] != nil { // nobody vouches for himself, and a stranger for nobody
			r.onHeard(e.Host, Child)
		}
	case Leave:
		r.onLeave(e)
	case StreamReset:
		r.onStreamReset(e)
	case ChildFailed:
		r.onChildFailed(e)
	case Hinted:
		r.onHinted(e)
	case Probed:
		r.onProbed(e)
	case Restored:
		r.onRestored(e)
	case Buried:
		r.onBuried(e.Tombstone)
	case Restarted:
		r.started, r.baseline, r.begun = r.clock.inner, r.clock.inner, true
	case Health:
		r.onHealth(e)
	default:
		r.command(ev)
	}
	return false
}

// command takes what people want.
func (r *Roster) command(ev Evidence) {
	switch e := ev.(type) {
	case PolicyChanged:
		err := e.Policy.Validate()
		if err == nil {
			r.adopt(e.Policy)
		}
		r.out(PolicyApplied{Number: e.Policy.Number, Err: err})
	case Drain:
		r.onDrain(e)
	case Forget:
		r.onForget(e)
	case Confirm:
		r.onConfirm(e)
	case Override:
		r.onOverride(e)
	}
}

// ticked does a slice of what is due.
func (r *Roster) ticked() (more bool) {
	limit := r.policy.Limit.Items
	if due, any := r.wheel.Next(); any {
		r.stats.Lateness = max(0, r.clock.inner-due)
	}
	r.stats.Items, more = r.wheel.Advance(r.clock.inner, limit, r.fire)
	r.stats.Items += r.checkGuards(limit / 4)
	more = r.forget() || more
	r.stats.Items += r.dropTombstones(limit / 4)
	r.stats.Items += r.auditSlice(limit / 4)
	r.healthWindow()
	r.sampleHosts()
	return more
}

// set gives a host another word. It is the only place that does.
func (r *Roster) set(h *host, to darter.Verdict, why Reason, sign Sign, exit darter.Exit) {
	now := r.clock.inner
	v := Verdict{Host: h.id, Epoch: h.epoch, Zone: h.zone.name, From: h.state, To: to, Reason: why, Sign: sign, Exit: exit,
		Policy: r.policy.Number}
	if !h.unknown {
		v.LastHeard = r.clock.time(h.heard)
	}
	if to == darter.Late || to == darter.Suspect || to == darter.Offline || to == darter.Forgotten {
		v.Detect = now - h.heard
	}
	if wasDown := h.state == darter.Suspect || h.state == darter.Offline; wasDown {
		v.Down = now - h.downAt
	} else if to == darter.Suspect || to == darter.Offline {
		h.downAt = now
	}
	if h.state != 0 {
		r.stats.Hosts[h.state]--
	}
	if h.state != to {
		h.since = now
	}
	h.state, h.word, h.overdue = to, sign, false
	r.stats.Hosts[to]++
	if exit != darter.Running {
		r.stats.Exits[exit]++
	}
	r.tally(h)
	r.record(h, v)
	r.out(v)
}

// tally keeps what is counted about a host's zone, and about leases, in step with its word.
func (r *Roster) tally(h *host) {
	leased := h.leased && !h.gone && (h.state == darter.Alive || h.state == darter.Late)
	if leased != h.isLeased {
		h.isLeased = leased
		if leased {
			r.leased++
		} else {
			r.leased--
		}
	}
	counts := !h.gone && h.state >= darter.Alive && h.state <= darter.Offline
	down := counts && (h.state == darter.Offline || h.state == darter.Suspect && !h.held)
	over := counts && !h.unknown && (h.state == darter.Late || h.overdue)
	if counts == h.counted && down == h.isDown && over == h.isOver {
		return
	}
	z, up := h.zone, h.zone.hosts-h.zone.down
	z.hosts += delta(h.counted, counts)
	z.overdue += delta(h.isOver, over)
	z.down += delta(h.isDown, down)
	r.total += delta(h.counted, counts)
	r.down += delta(h.isDown, down)
	if z.isTripped {
		r.guardedUp += z.hosts - z.down - up
	}
	switch {
	case down && !h.isDown:
		z.entered(r.clock.awake, r.windowOf(z))
		h.downAwake = r.clock.awake
	case h.isDown && !down:
		z.recovered(h.downAwake, r.clock.awake, r.windowOf(z))
	}
	h.counted, h.isDown, h.isOver = counts, down, over
	r.touch(z)
}

// delta is how a count changes with one host, of which what is counted was true or not, and is or is not.
func delta(was, is bool) int {
	switch {
	case is && !was:
		return 1
	case was && !is:
		return -1
	}
	return 0
}
