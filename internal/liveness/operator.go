package liveness

import (
	"time"

	"github.com/darter-p2p/darter"
)

func (r *Roster) decline(kind darter.Kind, op, what, hint string) {
	r.out(Declined{Err: &darter.Error{Kind: kind, Op: op, Hint: hint, Err: textError(what)}})
}

func (r *Roster) onDrain(e Drain) {
	op := "drain host " + string(e.Host)
	h := r.hosts[e.Host]
	if h == nil {
		r.decline(darter.NotFound, op, "no such host is known", "list the known ones with: darter host ls")
		return
	}
	h.drain = !e.Undo
	switch {
	case !e.Undo && h.state != darter.Offline: // that one is drained when it returns
		r.toDraining(h, Operator)
	case e.Undo && h.state == darter.Draining:
		r.set(h, darter.Alive, DrainUndone, Operator, darter.Running)
		r.plan(h, r.due(h))
	}
}

func (r *Roster) onForget(e Forget) {
	op := "forget host " + string(e.Host)
	h := r.hosts[e.Host]
	switch {
	case h == nil:
		r.decline(darter.NotFound, op, "no such host is known", "list the known ones with: darter host ls")
	case !e.Force && h.state != darter.Offline:
		r.decline(darter.Conflict, op, "it is "+h.state.String()+", not offline", "wait until it is offline, or force it")
	case !e.Force && (r.allowance(h.zone) < 1 || !r.mayForget()):
		r.decline(darter.Conflict, op, "forgetting is held back in zone "+h.zone.name.String()+": "+r.effective(h.zone).String(),
			"confirm that the zone is gone, or force it")
	default:
		if !e.Force {
			h.zone.spend()
		}
		r.bury(h, darter.Forgotten, AdminForgot, Operator, darter.ExitAdmin)
	}
}

// effective is what holds forgetting back in a zone.
func (r *Roster) effective(z *zone) Guard {
	if r.clock.frozen {
		return GuardSelf
	}
	return z.guard.level
}

func (r *Roster) onConfirm(e Confirm) {
	r.takeOff(e.Zone, e.All, r.policy.Guard.Confirm.Std(), true)
}

func (r *Roster) onOverride(e Override) {
	if e.Until.IsZero() {
		r.takeOff(e.Zone, e.All, 0, false)
		return
	}
	now := r.clock.base.Add(r.clock.real)
	d := e.Until.Sub(now)
	if d <= 0 {
		r.decline(darter.Invalid, "override the guard", "its end "+e.Until.Format(time.RFC3339)+" is in the past", "name a time to come")
		return
	}
	r.takeOff(e.Zone, e.All, d, false)
}

// longestOverride bounds how long a word of an operator holds.
const longestOverride = 7 * day

// takeOff takes the guard off a zone that is guarded, or off all.
func (r *Roster) takeOff(name Zone, all bool, d time.Duration, confirm bool) {
	until := r.clock.awake + min(d, longestOverride)
	if all {
		if r.self.level == GuardSelf || r.self.level == GuardOverridden {
			r.self.off, r.self.confirm = until, confirm
		}
		for _, z := range r.tripped {
			z.guard.off, z.guard.confirm = until, confirm
			r.touch(z)
		}
		return
	}
	z := r.zones[ZoneOf(name.Cluster, name.IDC, name.Location)]
	switch {
	case z == nil:
		r.decline(darter.NotFound, "take the guard off zone "+name.String(), "no host names this zone", "write it as darter host ls shows it")
	case z.guard.level == GuardOpen:
		r.decline(darter.Conflict, "take the guard off zone "+name.String(), "it is not guarded", "nothing has to be done")
	default:
		z.guard.off, z.guard.confirm = until, confirm
		r.touch(z)
	}
}
