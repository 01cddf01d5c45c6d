package liveness

import (
	"fmt"
	"strings"
	"time"
)

// checks collects what is wrong with a policy: all of it, so that one edit mends it.
type checks struct{ faults []string }

func (c *checks) duration(field string, d Duration, least, most time.Duration) {
	if d.Std() < least || d.Std() > most {
		c.faults = append(c.faults, fmt.Sprintf("%s: %s is not between %s and %s", field, d, least, most))
	}
}

func (c *checks) number(field string, n, least, most float64) {
	if !(n >= least && n <= most) { // so that not-a-number is refused as well
		c.faults = append(c.faults, fmt.Sprintf("%s: %v is not between %v and %v", field, n, least, most))
	}
}

func (c *checks) order(small, large string, ok bool) {
	if !ok {
		c.faults = append(c.faults, fmt.Sprintf("%s: must not be above %s", small, large))
	}
}

// Validate says which fields are out of their bounds, their values, and the bounds.
func (p *Policy) Validate() error {
	var c checks
	c.hosts(p)
	c.doubt(p)
	c.records(p)
	if len(c.faults) == 0 {
		return nil
	}
	return invalid(strings.Join(c.faults, "; "))
}

const (
	ms   = time.Millisecond
	hour = time.Hour
	day  = 24 * time.Hour
)

func (c *checks) hosts(p *Policy) {
	l, n := &p.Lease, &p.Plain
	c.duration("lease.interval", l.Interval, 50*ms, hour)
	c.duration("lease.longest", l.Longest, 50*ms, hour)
	c.order("lease.interval", "lease.longest", l.Interval <= l.Longest)
	c.number("lease.rate", l.Rate, 1, 1e6)
	c.number("lease.jitter", l.Jitter, 0, 0.4)
	c.number("lease.lateAfter", l.LateAfter, 1.2, 20)
	c.number("lease.suspectAfter", l.SuspectAfter, 1.5, 20)
	c.order("lease.lateAfter", "lease.suspectAfter", l.LateAfter <= l.SuspectAfter)
	c.duration("lease.staleGrace", l.StaleGrace, 0, hour)
	c.duration("lease.hastyBelow", l.HastyBelow, 0, time.Minute)
	c.number("lease.duplicates", float64(l.Duplicates), 2, 100)
	c.duration("lease.tellAgain", l.TellAgain, time.Second, day)
	c.duration("plain.interval", n.Interval, 50*ms, hour)
	c.duration("plain.shortest", n.Shortest, 50*ms, hour)
	c.duration("plain.longest", n.Longest, 50*ms, day)
	c.order("plain.shortest", "plain.interval", n.Shortest <= n.Interval)
	c.order("plain.interval", "plain.longest", n.Interval <= n.Longest)
	c.number("plain.suspectAfter", n.SuspectAfter, 1.1, 20)
	c.number("plain.offlineAfter", n.OfflineAfter, 1.2, 40)
	c.order("plain.suspectAfter", "plain.offlineAfter", n.SuspectAfter <= n.OfflineAfter)
}

func (c *checks) doubt(p *Policy) {
	s, f := &p.Suspicion, &p.Flap
	c.duration("suspicion.shortest", s.Shortest, 100*ms, hour)
	c.duration("suspicion.longest", s.Longest, 100*ms, hour)
	c.order("suspicion.shortest", "suspicion.longest", s.Shortest <= s.Longest)
	c.number("suspicion.confirmations", float64(s.Confirmations), 1, 16)
	c.number("suspicion.reports", float64(s.Reports), 1, maxReporters)
	c.duration("suspicion.within", s.Within, 100*ms, hour)
	c.number("suspicion.wrongReports", float64(s.WrongReports), 1, 100)
	c.duration("suspicion.disbelief", s.Disbelief, 0, day)
	c.duration("probe.every", p.Probe.Every, 50*ms, hour)
	c.number("probe.rate", p.Probe.Rate, 1, 1e5)
	c.duration("flap.within", f.Within, 0, hour)
	c.number("flap.count", float64(f.Count), 2, 100)
	c.duration("flap.window", f.Window, 0, day)
	c.duration("flap.hold", f.Hold, 0, hour)
	c.duration("flap.most", f.Most, 0, hour)
	c.order("flap.hold", "flap.most", f.Hold <= f.Most)
	c.number("health.most", float64(p.Health.Most), 1, 8)
	c.duration("health.lag", p.Health.Lag, 10*ms, time.Minute)
	c.number("health.share", p.Health.Share, 0, 0.9)
	c.duration("health.window", p.Health.Window, 100*ms, hour)
}

func (c *checks) records(p *Policy) {
	f, g, l := &p.Forget, &p.Guard, &p.Limit
	c.duration("forget.after", f.After, 100*ms, 30*day)
	c.number("forget.perStep", float64(f.PerStep), 1, 10_000)
	c.duration("forget.tombstone", f.Tombstone, time.Second, 30*day)
	c.number("forget.tombstones", float64(f.Tombstones), 1, 10_000_000)
	c.number("guard.hosts", float64(g.Hosts), 2, 1e6)
	c.number("guard.share", g.Share, 0.01, 1)
	c.duration("guard.window", g.Window, 100*ms, hour)
	c.number("guard.rateShare", g.RateShare, 0, 1)
	c.number("guard.rate", g.Rate, 0.001, 1e5)
	c.number("guard.recovered", g.Recovered, 0.01, 1)
	c.order("guard.share", "guard.recovered", g.Share <= g.Recovered)
	c.duration("guard.release", g.Release, time.Second, 30*day)
	c.duration("guard.confirm", g.Confirm, time.Second, day)
	c.duration("guard.quiet", g.Quiet, 0, hour)
	c.number("limit.items", float64(l.Items), 16, 100_000)
	c.number("limit.hosts", float64(l.Hosts), 1, 10_000_000)
	c.number("limit.timeline", float64(l.Timeline), 1, 64)
	c.number("limit.feed", float64(l.Feed), 16, 10_000_000)
}
