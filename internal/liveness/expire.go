package liveness

import (
	"time"

	"github.com/darter-p2p/darter"
)

// fresh is the moment from which a host's silence counts.
func (r *Roster) fresh(h *host) time.Duration { return max(h.heard, r.baseline) }

// silence is how long a host may be silent until it is suspect.
func (r *Roster) silence(h *host) time.Duration {
	switch {
	case !h.leased:
		return scaled(h.interval, r.policy.Plain.SuspectAfter)
	case h.unknown: // it was granted an interval by an earlier process, no longer than this one would grant now that all are back
		return scaled(max(h.interval, r.pace()), r.policy.Lease.SuspectAfter)
	}
	return scaled(h.interval, r.policy.Lease.SuspectAfter)
}

// overdue is how long a plain host may be silent until its next announcement counts as overdue: a fifth of the way from
// the interval to suspicion, and no less than the clock can tell. The guard asks; nothing else follows.
func (r *Roster) overdue(h *host) time.Duration {
	grace := scaled(h.interval, (r.policy.Plain.SuspectAfter-1)/5)
	return min(h.interval+max(grace, 2*r.tick), r.silence(h))
}

// due is when a host has to be looked at again, if it stays as it is.
func (r *Roster) due(h *host) time.Duration {
	fresh := r.fresh(h)
	switch h.state {
	case darter.Alive:
		if h.leased {
			return fresh + scaled(h.interval, r.policy.Lease.LateAfter)
		}
		if !h.overdue {
			return fresh + r.overdue(h)
		}
		return fresh + r.silence(h)
	case darter.Late:
		return fresh + r.silence(h)
	case darter.Suspect:
		if h.held {
			return min(h.until, fresh+r.silence(h))
		}
		due := r.refutable(h)
		if h.doubt != nil {
			due = min(due, h.next)
		}
		if counts := fresh + r.silence(h); counts > r.clock.inner { // then silence is one more sign against it
			due = min(due, counts)
		}
		return due
	case darter.Offline:
		after := max(h.since, r.baseline) + r.policy.Forget.After.Std()
		if h.zone.mayWorsen() { // as may show when those that died with this host are suspect, too
			after = max(after, max(h.downAt, r.baseline)+r.spread(h))
		}
		return after
	default: // draining
		return fresh + r.silence(h) + r.policy.Suspicion.Longest.Std()
	}
}

// refutable is until when a suspect may refute: the less the more speaks against it, the more the worse we are ourselves. A
// plain host is offline after two of its intervals at the latest, as Dragonfly's users expect.
func (r *Roster) refutable(h *host) time.Duration {
	fresh := r.fresh(h)
	wait := r.waits[min(max(r.against(h)-1, 0), maxConfirmations)]
	until := max(h.since, fresh) + wait*time.Duration(r.health.multiplier)
	if !h.leased {
		until = min(until, fresh+scaled(h.interval, r.policy.Plain.OfflineAfter))
	}
	return until
}

// spread is how much later others that died with a host are found out, when their intervals are like its own.
func (r *Roster) spread(h *host) time.Duration {
	if h.leased {
		return r.policy.Lease.spread(h.interval)
	}
	return h.interval
}

// expire looks at a host whose timer fired. What it heard meanwhile did not move the timer.
func (r *Roster) expire(h *host) {
	h.timer = 0
	due := r.due(h)
	if due > r.clock.inner {
		r.plan(h, due)
		return
	}
	switch h.state {
	case darter.Alive:
		if h.leased && r.clock.inner < r.fresh(h)+r.silence(h) {
			r.set(h, darter.Late, Silent, Silence, darter.Running)
			r.plan(h, r.due(h))
			return
		}
		if !h.leased && r.clock.inner < r.fresh(h)+r.silence(h) {
			r.setOverdue(h, true)
			r.plan(h, r.due(h))
			return
		}
		r.suspect(h, Silent, Silence)
	case darter.Late:
		r.suspect(h, Silent, Silence)
	case darter.Suspect:
		r.expireSuspect(h)
	case darter.Offline:
		r.await(h)
	default:
		r.bury(h, darter.Left, Drained, Silence, darter.ExitDrain)
	}
}

// setOverdue notes whether a plain host's announcement is overdue.
func (r *Roster) setOverdue(h *host, is bool) {
	if h.overdue != is {
		h.overdue = is
		r.tally(h)
	}
}

func (r *Roster) expireSuspect(h *host) {
	now := r.clock.inner
	if h.held {
		if now < r.fresh(h)+r.silence(h) {
			h.held = false
			r.set(h, darter.Alive, Steady, h.word, darter.Running)
			r.plan(h, r.due(h))
			return
		}
		h.held, h.since = false, now // it is not heard at all: an ordinary suspect from here on
		h.doubts(Silence)
		r.set(h, darter.Suspect, Silent, Silence, darter.Running)
	}
	if r.refutable(h) <= now {
		r.set(h, darter.Offline, Unrefuted, h.word, darter.Running)
		h.doubt = nil
		r.plan(h, r.due(h))
		return
	}
	r.probe(h)
	h.next = max(h.next, now+r.policy.Probe.Every.Std())
	r.plan(h, r.due(h))
}

// auditSlice goes round the hosts, a few at a time, and sees to it that each has a timer that is not late. A policy
// that shortens deadlines comes into force this way.
func (r *Roster) auditSlice(limit int) int {
	const rounds = 2400 // of the default tick make ten minutes
	n := len(r.roll)/rounds + 16
	if r.hurry > 0 {
		n = limit
		r.hurry = max(0, r.hurry-n)
	}
	n = min(n, limit, len(r.roll))
	for range n {
		if r.audit >= len(r.roll) {
			r.audit = 0
			r.stats.Audits++
		}
		h := r.roll[r.audit]
		r.audit++
		if h.waiting {
			continue
		}
		at, has := r.wheel.Due(h.timer)
		due := r.due(h)
		switch {
		case !has:
			r.stats.Repairs++
			r.plan(h, due)
		case at > due+r.tick:
			r.plan(h, due)
		}
	}
	return n
}
