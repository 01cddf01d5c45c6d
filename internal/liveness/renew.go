package liveness

import (
	"time"

	"github.com/darter-p2p/darter"
)

// Renew takes the renewal of a lease when there is nothing to decide: the host is alive, in no doubt, and it is the
// run that is known. It writes one time down and grants the next interval, allocates nothing and moves no
// timer. Otherwise it does nothing and reports false: Step is to be told Renewed.
func (r *Roster) Renew(now time.Time, id darter.HostID, epoch darter.Epoch) (interval time.Duration, done bool) {
	h := r.hosts[id]
	if h == nil || h.state != darter.Alive || h.doubt != nil || h.epoch != epoch || !h.leased || h.unknown || r.clock.frozen {
		return 0, false
	}
	at := r.clock.peek(now)
	h.heard, h.renewed = at, at
	r.health.renewals++
	r.heardSomebody()
	return r.grant(h), true
}

// Hear takes any other word of a host when there is nothing to decide. When it reports false, Step is to be told Heard.
func (r *Roster) Hear(now time.Time, id darter.HostID) (done bool) {
	h := r.hosts[id]
	if h == nil || h.state != darter.Alive || h.doubt != nil || h.overdue || h.unknown || r.clock.frozen {
		return false
	}
	h.heard = r.clock.peek(now)
	r.heardSomebody()
	return true
}

// onRenewed is Renew for everything that takes thought.
func (r *Roster) onRenewed(e Renewed) {
	h := r.hosts[e.Host]
	switch {
	case h == nil:
		r.count(Stranger)
		r.out(Grant{Host: e.Host, Announce: true})
		return
	case e.Epoch < h.epoch && h.state != darter.Offline:
		r.oldRun(h)
		return
	case e.Epoch != h.epoch: // a run that nobody announced
		r.out(Grant{Host: e.Host, Announce: true})
		return
	}
	now := r.clock.inner
	h.conn = max(h.conn, e.Conn)
	if !h.leased {
		h.leased = true
		r.tally(h)
	}
	h.renewed = now
	r.health.renewals++
	r.sign(h, Renewal)
	d := r.grant(h)
	r.plan(h, r.due(h)) // the first grant is shorter than what was announced
	r.out(Grant{Host: h.id, Epoch: h.epoch, Interval: d})
}

// grant says when the next renewal is wanted: the more hosts, the later, and never all at once.
func (r *Roster) grant(h *host) time.Duration {
	p := &r.policy.Lease
	d := r.pace()
	if p.Jitter > 0 {
		d = scaled(d, 1+p.Jitter*(2*r.rng.Float64()-1))
	}
	h.interval = d
	return d
}

// pace is the interval that is granted at present, before jitter.
func (r *Roster) pace() time.Duration {
	p := &r.policy.Lease
	d := time.Duration(float64(r.leased) / p.Rate * float64(time.Second))
	return min(max(d, p.Interval.Std()), p.Longest.Std())
}

func (r *Roster) onHeard(id darter.HostID, sign Sign) {
	if id == "" {
		return
	}
	if h := r.hosts[id]; h != nil {
		r.sign(h, sign)
	} else {
		r.count(Stranger)
	}
}
