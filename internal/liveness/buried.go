package liveness

import (
	"slices"
	"time"

	"github.com/darter-p2p/darter"
)

// Tombstone is what remains of a host, in a form that outlives this process. Its timeline is not in it.
type Tombstone struct {
	Host    darter.HostID
	Epoch   darter.Epoch
	Verdict darter.Verdict // forgotten or left
	At      time.Time      // when it was given
	Heard   time.Time      // zero when it was never heard
	Reason  string
	Exit    darter.Exit
	Storage uint64 // fingerprint of its store's name; 0 when it did not say
	Zone    Zone
	Drained bool // an operator wanted it drained
	Policy  uint64
}

// Tombstones returns those that stand, the oldest first, from a place in that order on, at most limit; next is the place to go
// on with, or -1 at the end. Places hold as long as no step is made in between; a step may let one be missed.
func (r *Roster) Tombstones(from, limit int) (out []Tombstone, next int) {
	line := r.tombs.order[r.tombs.head:]
	for i := max(from, 0); i < len(line); i++ {
		if len(out) == limit {
			return out, i
		}
		if s := line[i]; !s.dropped {
			out = append(out, Tombstone{Host: s.id, Epoch: s.epoch, Verdict: s.state, At: r.clock.base.Add(r.clock.real - (r.clock.awake - s.at)),
				Heard: s.heard, Reason: s.reason.String(), Exit: s.exit, Storage: s.store, Zone: s.zone, Drained: s.drain, Policy: s.policy})
		}
	}
	return out, -1
}

// onBuried takes up a tombstone of an earlier life of this process. Time in which this process did not run counts for it:
// an announcement that was under way then is here by now, or lost.
func (r *Roster) onBuried(e Tombstone) {
	if r.hosts[e.Host] != nil || r.tombs.byID[e.Host] != nil || e.Host == "" || e.Verdict != darter.Forgotten && e.Verdict != darter.Left {
		return
	}
	age := max(r.clock.base.Add(r.clock.real).Sub(e.At), 0)
	if age >= r.policy.Forget.Tombstone.Std() {
		return
	}
	s := &tombstone{id: e.Host, epoch: e.Epoch, state: e.Verdict, at: r.clock.awake - age, heard: e.Heard, reason: reasonOf(e.Reason), exit: e.Exit,
		store: e.Storage, zone: e.Zone, drain: e.Drained, policy: e.Policy}
	if r.tombs.len() > 0 { // they end in the order of their line
		s.at = max(s.at, r.tombs.order[len(r.tombs.order)-1].at)
	}
	if r.tombs.len() >= r.policy.Forget.Tombstones {
		r.dropTombstone()
	}
	r.tombs.add(s)
}

// reasonOf reads what Reason.String writes; what is unknown is none.
func reasonOf(text string) Reason { return Reason(max(slices.Index(reasonNames[:], text), 0)) }
