package livenesstest

import (
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/liveness"
)

// reaches reports whether a machine and the scheduler can talk.
func (w *World) reaches(m *machine) bool { return m.up && !m.frozen && !w.zones[m.zone].cut }

// arrived takes note that a word of a machine reached the scheduler.
func (w *World) arrived(m *machine) {
	m.heard, m.lostAt = w.second, w.lost
}

// speak is a machine's renewal or announcement.
func (w *World) speak(m *machine) {
	if !m.up || m.gone {
		return
	}
	retry := max(int(w.cfg.Interval/tick), 1)
	if m.plain {
		retry *= 3
	}
	w.call(m, retry) // unless a grant says otherwise
	if !w.reaches(m) || w.rng.Float64() < w.cfg.Loss {
		return
	}
	w.arrived(m)
	if m.plain || !m.known {
		m.known = true
		if m.epoch != m.last {
			m.prior, m.last = m.last, m.epoch
		}
		w.conn++
		a := liveness.Announced{Host: m.id, Epoch: m.epoch, Native: !m.plain, Zone: w.zones[m.zone].name, Conn: w.conn, Storage: string(m.id)}
		if m.plain {
			a.Epoch, a.Interval = 0, 3*w.cfg.Interval
		}
		w.feed(a)
		if m.plain {
			return
		}
	}
	if w.second >= w.paused {
		if d, done := w.r.Renew(w.now(), m.id, m.epoch); done {
			w.result.Steps++
			m.every = d
			w.call(m, int(d/tick))
			return
		}
	}
	w.feed(liveness.Renewed{Host: m.id, Epoch: m.epoch})
}

// troubles draws what goes wrong in this second.
func (w *World) troubles() {
	c, n := &w.cfg, float64(w.cfg.Hosts)
	for range w.times(c.Crashes * n) {
		w.crash(w.any())
	}
	for range w.times(c.Freezes * n) {
		w.freeze(w.any())
	}
	for range w.times(c.Leaves * n) {
		w.leave(w.any())
	}
	for range w.times(c.Late * n) {
		m := w.any()
		if !m.plain && m.prior > 0 {
			w.feed(liveness.Leave{Host: m.id, Epoch: m.prior})
		}
	}
	for range w.times(c.Cuts) {
		z := &w.zones[w.rng.IntN(len(w.zones))]
		z.cut = true
		w.after([]int{20, 60, 600}[w.rng.IntN(3)], func() { z.cut = false })
	}
	for range w.times(c.Pauses) {
		if w.second >= w.paused {
			w.paused = w.second + []int{3, 30, 300}[w.rng.IntN(3)]
		}
	}
	for range w.times(c.Restarts) {
		if w.second >= w.paused {
			w.restart()
		}
	}
	w.report()
}

func (w *World) crash(m *machine) {
	if !m.up || m.gone {
		return
	}
	m.up, m.known = false, false
	m.run++
	run := m.run
	w.result.Crashes++
	if !m.plain && w.reachable(m.zone) && w.rng.IntN(2) == 0 { // its connection breaks with it
		w.feed(liveness.StreamReset{Host: m.id})
	}
	if !m.plain {
		limit := int(3.3*max(m.every, w.cfg.Interval).Seconds()) + 3
		w.watch[w.second+limit] = append(w.watch[w.second+limit], m)
	}
	w.after([]int{5, 40, 200, 2000}[w.rng.IntN(4)]+w.rng.IntN(20), func() {
		if m.run == run {
			m.up, m.epoch = true, w.newEpoch()
			w.call(m, 1)
		}
	})
}

func (w *World) reachable(zone int) bool { return !w.zones[zone].cut }

func (w *World) freeze(m *machine) {
	if !m.up || m.frozen {
		return
	}
	m.frozen = true
	w.after([]int{5, 20, 70, 600}[w.rng.IntN(4)], func() { m.frozen = false })
}

func (w *World) leave(m *machine) {
	if !w.reaches(m) || m.gone || !m.known {
		return
	}
	m.gone = true
	m.leaves++
	w.feed(liveness.Leave{Host: m.id, Epoch: m.epochOnWire()})
	m.run++
	w.after(1+w.rng.IntN(300), func() {
		m.gone, m.known, m.epoch = false, false, w.newEpoch()
		w.call(m, 1)
	})
}

func (m *machine) epochOnWire() darter.Epoch {
	if m.plain {
		return 0
	}
	return m.epoch
}

// report lets children say what they see, and now and then what is not so.
func (w *World) report() {
	if w.cfg.Reports <= 0 {
		return
	}
	m, by := w.any(), w.any()
	if m == by || !w.reaches(by) {
		return
	}
	if w.rng.Float64() >= w.cfg.Reports {
		return
	}
	if !m.up || m.frozen || w.zones[m.zone].cut || w.rng.IntN(1000) == 0 {
		w.arrived(by)
		w.feed(liveness.ChildFailed{Host: m.id, By: by.id})
	}
}

// restart is the scheduler's: it comes back with what it had written down.
func (w *World) restart() {
	known := w.r.Hosts(0, len(w.hosts)+1)
	if err := w.boot(); err != nil {
		w.fail("%v", err)
		return
	}
	w.tell("the scheduler restarts")
	w.self = false
	for i := range w.zones {
		w.zones[i].guard = liveness.GuardOpen
	}
	for _, m := range w.hosts {
		m.verdict = 0
	}
	for _, h := range known {
		m := w.byID[h.ID]
		w.feed(liveness.Restored{Announced: liveness.Announced{Host: h.ID, Epoch: h.Epoch, Native: h.Native, Zone: h.Zone, Interval: h.Interval}})
		m.heard, m.lostAt = w.second, w.lost
	}
	w.feed(liveness.Restarted{})
}

// verdict holds a verdict against what is true.
func (w *World) verdict(v liveness.Verdict) {
	m := w.byID[v.Host]
	m.verdict = v.To
	switch v.To {
	case darter.Suspect:
		w.result.Suspected++
		if v.From != darter.Suspect && !m.plain && !m.up && v.Sign == liveness.Silence {
			w.result.Slowest = max(w.result.Slowest, v.Detect)
		}
	case darter.Offline:
		w.result.Offline++
		if m.known && w.reaches(m) && w.lost == m.lostAt && w.second-m.heard < int((3*m.every).Seconds()) {
			w.result.FalseOffline++
			w.tell("which is wrong: it was heard " + (time.Duration(w.second-m.heard) * tick).String() + " ago")
		}
		if w.self {
			w.fail("%s is offline while the fault is sought here", v.Host)
		}
	case darter.Forgotten:
		w.result.Forgotten++
		w.forgotten(m)
	case darter.Left:
		if m.leaves--; m.leaves < 0 {
			w.fail("%s left, and never said so", v.Host)
		}
	}
}

// forgotten: nobody is forgotten who was heard, nor while a guard holds, nor soon after a start.
func (w *World) forgotten(m *machine) {
	quiet := time.Duration(w.second-m.heard-(w.lost-m.lostAt)) * tick
	if after := w.policy.Forget.After.Std(); quiet < after {
		w.fail("%s is forgotten %s after its last word", m.id, quiet)
	}
	if w.since > 0 && time.Duration(w.second-w.since)*tick < 2*w.policy.Plain.Interval.Std() {
		w.fail("%s is forgotten %d s after a restart", m.id, w.second-w.since)
	}
	z := &w.zones[m.zone]
	switch {
	case w.self || z.guard == liveness.GuardFull:
		w.fail("%s is forgotten while the guard of %s is %s", m.id, z.name, z.guard)
	case z.guard == liveness.GuardPartial:
		rate := max(w.policy.Guard.Rate, w.policy.Guard.RateShare*float64(len(w.hosts)))
		z.forgot = max(0, z.forgot-rate*float64(w.second-z.counted)) + 1
		z.counted = w.second
		if z.forgot > 2*rate+1 {
			w.fail("%s is forgotten faster than the guard of %s allows", m.id, z.name)
		}
	}
}

// watched: a host of ours that died is suspect in time, unless nobody can tell.
func (w *World) watched() {
	for _, m := range w.watch[w.second] {
		if m.up || m.verdict == 0 || m.verdict >= darter.Suspect || w.lost != m.lostAt || w.second-m.heard <= int(3.3*max(m.every, w.cfg.Interval).Seconds())+3 {
			continue
		}
		w.fail("%s died, was heard %d s ago, and is %s", m.id, w.second-m.heard, m.verdict)
	}
	delete(w.watch, w.second)
}
