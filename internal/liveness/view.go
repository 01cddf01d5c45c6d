package liveness

import (
	"time"

	"github.com/darter-p2p/darter"
)

// HostState is what a roster knows of a host, for people.
type HostState struct {
	ID        darter.HostID
	Epoch     darter.Epoch
	Zone      Zone
	Verdict   darter.Verdict
	Sign      Sign // what the verdict rests upon
	Since     time.Time
	LastHeard time.Time // zero when it was not heard since this process started
	Interval  time.Duration
	Leased    bool  // renews a lease
	Native    bool  // one of our own
	Held      bool  // suspect only because it comes and goes
	Drain     bool  // an operator wants it drained
	Shared    bool  // two machines use this id
	Waiting   bool  // is forgotten as soon as Guard allows
	Guard     Guard // of its zone
	Against   int   // independent signs against it
	Tombstone bool  // it is gone; what is said is what was known last
	Reason    Reason
	Exit      darter.Exit
}

// Host returns what is known of a host, or what its tombstone says.
func (r *Roster) Host(id darter.HostID) (HostState, bool) {
	if h := r.hosts[id]; h != nil {
		return r.state(h), true
	}
	if s := r.tombs.byID[id]; s != nil {
		return HostState{ID: s.id, Epoch: s.epoch, Zone: s.zone, Verdict: s.state, LastHeard: s.heard, Drain: s.drain, Tombstone: true,
			Since: r.clock.base.Add(r.clock.real - (r.clock.awake - s.at)), Reason: s.reason, Exit: s.exit}, true
	}
	return HostState{}, false
}

// Hosts returns known hosts from a position on, at most limit, in no order that means anything. A page at a time keeps the
// lock short; a host that leaves between two pages may hide another from the second.
func (r *Roster) Hosts(from, limit int) []HostState {
	from = min(max(from, 0), len(r.roll))
	to := min(from+max(limit, 0), len(r.roll))
	out := make([]HostState, 0, to-from)
	for _, h := range r.roll[from:to] {
		out = append(out, r.state(h))
	}
	return out
}

func (r *Roster) state(h *host) HostState {
	s := HostState{ID: h.id, Epoch: h.epoch, Zone: h.zone.name, Verdict: h.state, Sign: h.word, Since: r.clock.time(h.since), Interval: h.interval,
		Leased: h.leased, Native: h.native, Held: h.held, Drain: h.drain, Shared: h.shared, Waiting: h.waiting, Guard: r.effective(h.zone),
		Against: r.against(h)}
	if !h.unknown {
		s.LastHeard = r.clock.time(h.heard)
	}
	return s
}

// ZoneState is what a roster knows of a zone.
type ZoneState struct {
	Zone          Zone
	Guard         Guard
	Since         time.Time // of the guard
	Hosts, Down   int       // draining ones do not count
	Overdue       int       // not down yet, but a word of theirs is overdue
	Waiting       int       // to be forgotten
	OverrideUntil time.Time // zero when no operator took the guard off
}

// Zones returns every zone that a host names, in no order that means anything.
func (r *Roster) Zones() []ZoneState {
	at := func(awake time.Duration) time.Time { return r.clock.base.Add(r.clock.real - (r.clock.awake - awake)) }
	out := make([]ZoneState, 0, len(r.order))
	for _, z := range r.order {
		s := ZoneState{Zone: z.name, Guard: z.guard.level, Since: at(z.guard.since), Hosts: z.hosts, Down: z.down, Overdue: z.overdue, Waiting: z.forget.len()}
		if z.guard.off > r.clock.awake {
			s.OverrideUntil = at(z.guard.off)
		}
		out = append(out, s)
	}
	return out
}

// Stats are counts since New, and gauges of this moment.
type Stats struct {
	Hosts      [darter.Left + 1]int // now, by verdict
	Total      int                  // now
	Leased     int                  // now, alive or late
	Tombstones int                  // now
	Zones      int                  // now
	Guarded    int                  // now: zones whose guard is not open
	SelfFault  bool                 // now: the fault is sought here
	Multiplier int                  // now: of suspicion, by our own health
	Interval   time.Duration        // now: of a lease, before jitter
	Queue      int                  // now: hosts to be probed

	Notes          [lastOfReasons]uint64        // by Reason
	Exits          [darter.ExitAdmin + 1]uint64 // by exit, of runs that ended
	Probes         uint64                       // asked
	ProbesAnswered uint64                       // well
	ProbesFailed   uint64
	Pauses         uint64        // times in which this process stood still, or the clock went back
	Audits         uint64        // rounds
	Repairs        uint64        // hosts that had no timer: a bug, mended
	Items          int           // looked at by the last step
	Lateness       time.Duration // of the latest tick: how long the first timer had been due
}

// Stats returns what is counted.
func (r *Roster) Stats() Stats {
	s := r.stats
	s.Total, s.Leased, s.Tombstones = len(r.roll), r.leased, len(r.tombs.byID)
	s.Zones, s.Guarded, s.SelfFault = len(r.order), len(r.tripped), r.clock.frozen
	s.Multiplier, s.Interval, s.Queue = r.health.multiplier, r.pace(), r.probes.len()
	return s
}

// Policy returns the policy in force.
func (r *Roster) Policy() Policy { return r.policy }
