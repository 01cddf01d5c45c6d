package liveness

import "github.com/darter-p2p/darter"

// onAnnounced takes a host's record: of one that is not known, of the run that is known, of a new one, or of an old one.
func (r *Roster) onAnnounced(e Announced) {
	h := r.hosts[e.Host]
	if h == nil {
		r.join(e)
		return
	}
	switch {
	case e.Epoch == h.epoch:
		r.refresh(h, e)
		r.sign(h, Announce)
	case e.Epoch > h.epoch || e.Epoch == 0:
		r.restart(h, e)
	case h.state == darter.Offline: // a clock that was set back, and a run that is over: better a new friend than a dead one
		r.note(h, EpochBack)
		r.restart(h, e)
	default:
		r.oldRun(h)
	}
}

func (e *Announced) addr() uint64 {
	if !e.Addr.IsValid() {
		return 0
	}
	a := e.Addr.Addr().As16()
	h := uint64(14695981039346656037)
	for _, b := range a {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return max((h^uint64(e.Addr.Port()))*1099511628211, 1)
}

// oldRun ignores a word of an older run than the one that is known.
func (r *Roster) oldRun(h *host) {
	r.note(h, StaleEpoch)
	r.twice(h)
	r.out(Grant{Host: h.id, Epoch: h.epoch, Superseded: true})
}

// twice counts signs of two machines with one id: the words of two runs, or of two addresses, in turn.
func (r *Roster) twice(h *host) {
	p := &r.policy.Lease
	if h.epochs.again(r.clock.inner, p.TellAgain.Std()) >= p.Duplicates {
		h.epochs.n = 0
		h.shared = true
		r.note(h, Duplicate)
	}
}

// refresh takes over what a known run says of itself.
func (r *Roster) refresh(h *host, e Announced) {
	now, p := r.clock.inner, &r.policy
	if h.announced > 0 && now-h.announced < p.Lease.HastyBelow.Std() {
		r.note(h, Hasty)
	}
	h.announced = now
	told, corrected := p.Plain.interval(e.Interval)
	if corrected && told != h.told {
		r.note(h, BadInterval)
	}
	h.told = told
	if !e.Native && (r.briefest == 0 || told < r.briefest) {
		r.briefest = told
		r.setGap()
	}
	if h.leased && now-h.renewed > scaled(h.interval, p.Lease.SuspectAfter) { // it announces itself and renews no more
		h.leased = false
		r.tally(h)
	}
	if !h.leased {
		h.interval = told
	}
	r.longest = max(r.longest, h.interval)
	if addr := e.addr(); addr != h.addr && addr != 0 {
		if addr == h.before {
			r.twice(h)
		}
		h.before, h.addr = h.addr, addr
	}
	if e.Storage != "" {
		h.store = fingerprint(e.Storage)
	}
	h.native = e.Native
	h.conn = max(h.conn, e.Conn)
	if z := r.zone(e.Zone); z != h.zone {
		r.rezone(h, z)
	}
	if !h.native {
		h.zone.slowest = max(h.zone.slowest, h.interval)
	}
}

// rezone moves a host that says that it is elsewhere.
func (r *Roster) rezone(h *host, z *zone) {
	h.gone = true
	r.tally(h)
	r.unuse(h.zone)
	h.gone, h.zone = false, z
	z.members++
	r.tally(h)
}

// join takes in a host that is not known, or that left a tombstone.
func (r *Roster) join(e Announced) {
	old := r.tombs.byID[e.Host]
	if old != nil && r.late(old, e) {
		r.count(StaleEpoch)
		r.out(Noted{Host: e.Host, Epoch: e.Epoch, Reason: StaleEpoch, Times: 1})
		r.out(Grant{Host: e.Host, Epoch: old.epoch, Superseded: true})
		return
	}
	h := r.admit(e)
	if h == nil {
		return
	}
	why, exit, same := Joined, darter.Running, false
	if old != nil {
		h.state = old.state
		r.stats.Hosts[h.state]++ // set takes it off again
		same = h.store == old.store || h.store == 0 || old.store == 0
		switch {
		case e.Epoch == old.epoch && old.state == darter.Forgotten:
			why, exit = Returned, darter.ExitPartition
		case !same:
			why = Replacement
		case e.Epoch != old.epoch:
			why = Restart
		default:
			why = Returned
		}
		h.drain = old.drain
		r.tombs.drop(old)
	}
	r.enter(h, why, Announce, exit)
	r.askInventory(h, why, same)
}

// late reports whether an announcement is one of the run that left: said before the leave, and here after it.
func (r *Roster) late(old *tombstone, e Announced) bool {
	if old.state != darter.Left || r.clock.awake-old.at > r.policy.Lease.StaleGrace.Std() {
		return false
	}
	if e.Epoch != 0 && old.epoch != 0 {
		return e.Epoch <= old.epoch
	}
	return e.Conn != 0 && old.conn != 0 && e.Conn < old.conn
}

// admit makes a record, unless there are too many.
func (r *Roster) admit(e Announced) *host {
	if len(r.roll) >= r.policy.Limit.Hosts {
		r.count(TooManyHosts)
		r.out(Noted{Host: e.Host, Epoch: e.Epoch, Reason: TooManyHosts, Times: int(min(r.stats.Notes[TooManyHosts], 1<<30))})
		return nil
	}
	h := &host{id: e.Host, epoch: e.Epoch, heard: r.clock.inner, since: r.clock.inner}
	if old := r.tombs.byID[e.Host]; old != nil {
		h.line = old.line
	}
	h.zone = r.zone(e.Zone)
	h.zone.members++
	r.add(h)
	r.refresh(h, e)
	return h
}

// enter gives a host that was just heard its first word in this run.
func (r *Roster) enter(h *host, why Reason, sign Sign, exit darter.Exit) {
	to := darter.Alive
	if h.drain {
		to = darter.Draining
	}
	h.heard, h.unknown, h.doubt, h.held, h.waiting = r.clock.inner, false, nil, false, false
	r.heardSomebody()
	r.set(h, to, why, sign, exit)
	r.plan(h, r.due(h))
}

// restart begins a new run of a known host. What is asked of the earlier one is void.
func (r *Roster) restart(h *host, e Announced) {
	now := r.clock.inner
	if e.Epoch == 0 || h.epoch == 0 { // one of ours and a plain daemon, in turn
		r.twice(h)
	}
	store := fingerprint(e.Storage)
	same := store == h.store || store == 0 || h.store == 0
	why, exit := Restart, darter.ExitRestart
	if !same {
		why, exit = Replacement, darter.ExitReplaced
	}
	if (h.state == darter.Suspect || h.state == darter.Offline) && now-h.since <= r.policy.Flap.Within.Std() {
		r.flapped(h)
	}
	h.epoch, h.conn, h.leased, h.announced, h.renewed = e.Epoch, e.Conn, false, 0, 0
	h.unknown = false
	r.refresh(h, e)
	r.enter(h, why, Announce, exit)
	r.askInventory(h, why, same)
}

// onRestored takes in a host from an earlier life of this process: late, until it says something.
func (r *Roster) onRestored(e Restored) {
	if r.hosts[e.Host] != nil || r.tombs.byID[e.Host] != nil { // what happened since is newer
		return
	}
	h := r.admit(e.Announced)
	if h == nil {
		return
	}
	h.unknown, h.announced = true, 0
	if h.native { // it renews as soon as it finds this process
		h.leased, h.renewed, h.interval = true, r.clock.inner, r.pace()
	}
	r.set(h, darter.Late, Recalled, NoSign, darter.Running)
	r.plan(h, r.due(h))
	if h.drain = e.Drained; h.drain {
		r.toDraining(h, Operator)
	}
}

// onLeave hides and frees a host that said goodbye, if it was the run that is known.
func (r *Roster) onLeave(e Leave) {
	h := r.hosts[e.Host]
	if h == nil {
		r.count(UnknownLeave)
		return
	}
	older := e.Conn != 0 && h.conn != 0 && e.Conn < h.conn
	if e.Epoch != h.epoch && e.Epoch != 0 || e.Epoch == 0 && older {
		r.note(h, StaleLeave)
		return
	}
	r.heardSomebody()
	if e.Draining {
		h.heard = r.clock.inner
		r.toDraining(h, Goodbye)
		return
	}
	exit := darter.ExitGraceful
	if h.state == darter.Draining {
		exit = darter.ExitDrain
	}
	r.bury(h, darter.Left, TookLeave, Goodbye, exit)
}

func (r *Roster) toDraining(h *host, sign Sign) {
	if h.state == darter.Draining {
		return
	}
	h.doubt, h.held, h.waiting = nil, false, false
	r.set(h, darter.Draining, DrainAsked, sign, darter.Running)
	r.plan(h, r.due(h))
}

func (r *Roster) askInventory(h *host, why Reason, same bool) {
	if h.native {
		r.out(AskInventory{Host: h.id, Epoch: h.epoch, Reason: why, Same: same})
	}
}

// heardSomebody is what ends a self-fault.
func (r *Roster) heardSomebody() {
	r.lastSign = r.clock.awake
	r.signs++
}

// note counts something odd about a known host, and tells it now and then.
func (r *Roster) note(h *host, why Reason) {
	r.count(why)
	if times, tell := r.oddEvent(h, why); tell {
		r.out(Noted{Host: h.id, Epoch: h.epoch, Reason: why, Times: times})
	}
}

func (r *Roster) count(why Reason) { r.stats.Notes[why]++ }
