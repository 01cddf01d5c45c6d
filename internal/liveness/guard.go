package liveness

import "time"

// buckets is how finely the window of the guard slides.
const buckets = 12

// zone is what the guard knows of hosts that may fail together.
type zone struct {
	name    Zone
	members int // records that name it
	pos     int // in order
	hosts   int // that count for the guard
	down    int // of them, suspect or offline
	overdue int // of the others, those whose word is overdue

	fresh  [buckets]int32 // hosts that became suspect, by time; those that are back are taken off
	bucket int64          // the latest
	width  time.Duration  // of a bucket

	slowest time.Duration // longest interval of its plain hosts so far

	guard     guard
	forget    queue[*host] // offline for long enough
	tokens    float64
	tokenAt   time.Duration
	atTripped int // in Roster.tripped
	isTripped bool
	isReaping bool
	isTouched bool
}

// guard is how far a zone's failure went, and what people said to it.
type guard struct {
	level    Guard
	since    time.Duration // on the clock of guards
	released bool          // its time was over: forgotten slowly, until it recovers
	off      time.Duration // an operator took it off until then
	confirm  bool          // and said that the hosts are gone: it holds until the zone recovers, too
}

// zone returns the zone of a name, new if need be.
func (r *Roster) zone(name Zone) *zone {
	if name.IDC == "" || name.Location == "" {
		name = ZoneOf(name.Cluster, name.IDC, name.Location)
	}
	z := r.zones[name]
	if z == nil {
		z = &zone{name: name, pos: len(r.order)}
		r.zones[name] = z
		r.order = append(r.order, z)
	}
	return z
}

// unuse gives a zone without hosts up.
func (r *Roster) unuse(z *zone) {
	z.members--
	if z.members > 0 {
		return
	}
	delete(r.zones, z.name)
	last := len(r.order) - 1
	r.order[z.pos], r.order[last].pos = r.order[last], z.pos
	r.order[last] = nil
	r.order = r.order[:last]
	r.touch(z)
}

// slide moves the window to now. What lies before it is no longer fresh.
func (z *zone) slide(now, window time.Duration) int64 {
	if width := max(window/buckets, 1); width != z.width {
		z.refit(now, width)
	}
	at := int64(now / z.width)
	if at-z.bucket >= buckets {
		z.fresh = [buckets]int32{}
	} else {
		for b := z.bucket + 1; b <= at; b++ {
			z.fresh[b%buckets] = 0
		}
	}
	z.bucket = at
	return at
}

// refit gives the buckets another width. What was counted stays: it moves to where the end of its bucket lies.
func (z *zone) refit(now, width time.Duration) {
	moved := zone{width: width, bucket: int64(now / width)}
	for b := max(z.bucket-buckets+1, 0); b <= z.bucket && z.width > 0; b++ {
		if to := min((b+1)*int64(z.width)-1, int64(now)) / int64(width); moved.bucket-to < buckets {
			moved.fresh[to%buckets] += z.fresh[b%buckets]
		}
	}
	z.fresh, z.bucket, z.width = moved.fresh, moved.bucket, moved.width
}

// entered counts a host that became suspect.
func (z *zone) entered(now, window time.Duration) { z.fresh[z.slide(now, window)%buckets]++ }

// recovered takes one that became suspect at since off again.
func (z *zone) recovered(since, now, window time.Duration) {
	at := z.slide(now, window)
	for b := max(int64(since/z.width), 0); b <= at && at-b < buckets; b++ {
		if z.fresh[b%buckets] > 0 {
			z.fresh[b%buckets]--
			return
		}
	}
}

func (z *zone) recent(now, window time.Duration) int {
	z.slide(now, window)
	n := 0
	for _, f := range z.fresh {
		n += int(f)
	}
	return n
}

func (r *Roster) touch(z *zone) {
	if !z.isTouched {
		z.isTouched = true
		r.touched = append(r.touched, z)
	}
}

// settle brings the guards up to date with what happened in this step.
func (r *Roster) settle() {
	r.judgeAll()
	for _, z := range r.touched {
		z.isTouched = false
		r.judge(z)
	}
	clear(r.touched)
	r.touched = r.touched[:0]
}

// checkGuards looks at what time alone changes, in a part of the zones that are guarded.
func (r *Roster) checkGuards(limit int) int {
	n := min(limit, len(r.tripped))
	for range n {
		if r.atTripped >= len(r.tripped) {
			r.atTripped = 0
		}
		r.touch(r.tripped[r.atTripped])
		r.atTripped++
	}
	return n
}

// judge says how far a zone failed.
func (r *Roster) judge(z *zone) {
	p, now := &r.policy.Guard, r.clock.awake
	g := &z.guard
	level, why := r.level(z)
	if level == GuardOpen {
		g.confirm, g.off, g.released = false, 0, false
	}
	if level != GuardOpen && g.off > now {
		level, why = GuardOverridden, "an operator took the guard off"
		if g.confirm {
			why = "an operator says that they are gone"
		}
	}
	if level == GuardFull && g.level == GuardFull && now-g.since >= p.Release.Std() && r.othersWell() {
		level, why, g.released = GuardPartial, "the time of the guard is over, and other zones are well", true
	}
	if level == g.level {
		return
	}
	r.out(GuardChanged{Zone: z.name, From: g.level, To: level, Hosts: z.hosts, Down: z.down, Overdue: z.overdue, Why: why})
	g.level, g.since = level, now
	z.tokens, z.tokenAt = 0, now
	r.listTripped(z)
}

// mayWorsen reports whether the guard of a zone may yet find that more of it failed.
func (z *zone) mayWorsen() bool {
	return z.guard.level == GuardOpen || z.guard.level == GuardPartial && !z.guard.released
}

// othersWell reports whether somebody is up in a zone that is not guarded: then the fault is not here.
func (r *Roster) othersWell() bool { return r.total-r.down > r.guardedUp }

// level says what the guard would be if nobody had a say. It trips with the first suspect: those who fell silent with it are
// found out within a lease of each other, which is minutes in a large cluster, but their words are overdue already.
func (r *Roster) level(z *zone) (Guard, string) {
	p := &r.policy.Guard
	silent := z.down + z.overdue
	share := func(part float64) bool { return float64(silent) >= part*float64(z.hosts) }
	past := z.guard.level
	tripped := past != GuardOpen
	switch {
	case z.hosts == 0:
		return GuardOpen, "nobody of it is left"
	case silent < p.Hosts:
		return GuardOpen, "it recovered"
	case z.guard.released && share(p.Share):
		return GuardPartial, "the time of the guard is over"
	case z.down == z.hosts, tripped && silent == z.hosts:
		return GuardFull, "all of it failed"
	case past == GuardFull && share(p.Recovered):
		return GuardFull, "most of it is down"
	case tripped && share(p.Share):
		return GuardPartial, "a good part of it is down"
	case tripped:
		return GuardOpen, "it recovered"
	}
	fresh := r.recentIn(z)
	if n := fresh + z.overdue; fresh == 0 || n < p.Hosts || float64(n) < p.Share*float64(z.hosts) {
		return GuardOpen, ""
	}
	if silent == z.hosts {
		return GuardFull, "all of it fell silent at once"
	}
	return GuardPartial, "a good part of it failed at once"
}

// recentIn counts the hosts of a zone that became suspect a short time ago, and are still down.
func (r *Roster) recentIn(z *zone) int { return min(z.recent(r.clock.awake, r.windowOf(z)), z.down) }

// windowOf is the window for a zone: where plain hosts are, no shorter than the longest of their intervals.
func (r *Roster) windowOf(z *zone) time.Duration {
	w := r.window()
	for w < z.slowest {
		w *= 2
	}
	return w
}

// window is how far apart hosts may become suspect and still count as one failure: no less than the time in which those
// that died together are found out. It doubles and halves, the latter late.
func (r *Roster) window() time.Duration {
	least := r.policy.Guard.Window.Std()
	spread := r.policy.Lease.spread(r.pace())
	w := max(r.span, least)
	for w < spread {
		w *= 2
	}
	for w/2 >= least && w/4 > spread {
		w /= 2
	}
	r.span = w
	return w
}

// spread is how far apart hosts that die in one moment become suspect at most, when they renew so often: between the one
// that was about to renew a lease that jitter made short, and the one that had just renewed one that it made long.
func (p *LeasePolicy) spread(interval time.Duration) time.Duration {
	return scaled(interval, 1+p.Jitter*(2*p.SuspectAfter-1))
}

func (r *Roster) listTripped(z *zone) {
	is := z.guard.level != GuardOpen
	if is == z.isTripped {
		return
	}
	z.isTripped = is
	if is {
		z.atTripped = len(r.tripped)
		r.tripped = append(r.tripped, z)
		r.guardedUp += z.hosts - z.down
		return
	}
	r.guardedUp -= z.hosts - z.down
	last := len(r.tripped) - 1
	r.tripped[z.atTripped], r.tripped[last].atTripped = r.tripped[last], z.atTripped
	r.tripped[last] = nil
	r.tripped = r.tripped[:last]
}

// judgeAll seeks the fault here when nobody at all is heard: then no time passes for hosts, until somebody is. Everybody is
// given a fresh start after that.
func (r *Roster) judgeAll() {
	p, now := &r.policy.Guard, r.clock.awake
	g := &r.self
	level, why := GuardOpen, "somebody is heard again"
	switch {
	case g.level == GuardSelf && now-r.lastSign > 0 && r.down == r.total && r.total >= p.Hosts:
		level = GuardSelf
	case g.level != GuardSelf && r.down == r.total && r.total >= p.Hosts && now-r.lastSign >= p.Quiet.Std():
		level, why = GuardSelf, "nobody is heard, so the fault is sought here"
	}
	switch {
	case level == GuardOpen && r.down < r.total:
		g.off, g.confirm = 0, false
	case level == GuardOpen && r.total < p.Hosts:
		why = "too few hosts are left to tell"
	}
	if level == GuardSelf && g.off > now {
		level, why = GuardOverridden, "an operator says that the fault is not here"
	}
	if level == g.level {
		return
	}
	if g.level == GuardSelf {
		r.baseline = r.clock.inner
	}
	r.clock.frozen = level == GuardSelf
	r.out(GuardChanged{From: g.level, To: level, Hosts: r.total, Down: r.down, Why: why})
	g.level, g.since = level, now
}

// allowance is how many hosts of a zone may be forgotten now.
func (r *Roster) allowance(z *zone) float64 {
	p, now := &r.policy.Guard, r.clock.awake
	switch z.guard.level {
	case GuardOpen, GuardOverridden:
		return float64(r.policy.Forget.PerStep)
	case GuardPartial:
		rate := max(p.Rate, p.RateShare*float64(z.hosts))
		z.tokens = min(z.tokens+(now-z.tokenAt).Seconds()*rate, max(1, rate))
		z.tokenAt = now
		return z.tokens
	}
	return 0
}

// spend takes one off the allowance of a zone that is forgotten slowly.
func (z *zone) spend() {
	if z.guard.level == GuardPartial {
		z.tokens--
	}
}

// sampleHosts probes a few hosts a second while the fault is sought here: the answer of one is enough.
func (r *Roster) sampleHosts() {
	const samples = 10
	if !r.clock.frozen || r.clock.awake-r.sampled < time.Second || len(r.roll) == 0 {
		return
	}
	r.sampled = r.clock.awake
	for range min(samples, len(r.roll)) {
		r.sample++
		h := r.roll[r.sample%len(r.roll)]
		r.stats.Probes++
		r.out(Probe{Host: h.id, Epoch: h.epoch, Sign: Silence})
	}
}
