package liveness

import (
	"time"

	"github.com/darter-p2p/darter"
)

// doubt is what speaks against a host. Most hosts have none.
type doubt struct {
	reports [maxReporters]report // the latest, one per child
	first   Sign                 // what came first
	reset   time.Duration        // when a stream of it broke
	hint    time.Duration        // when somebody outside said that it is gone
	failed  time.Duration        // when a probe failed last
	broke   bool
	hinted  bool
	fails   bool
}

// maxReporters bounds how many children are remembered per host.
const maxReporters = 4

type report struct {
	by *host
	at time.Duration
}

// doubts returns a host's doubt, new if there was none.
func (h *host) doubts(first Sign) *doubt {
	if h.doubt == nil {
		h.doubt = &doubt{first: first}
	}
	return h.doubt
}

// believed counts the children that reported a host within the time that reports count together.
func (r *Roster) believed(d *doubt) int {
	n := 0
	for _, rep := range d.reports {
		if rep.by != nil && r.clock.inner-rep.at <= r.policy.Suspicion.Within.Std() {
			n++
		}
	}
	return n
}

// against counts independent signs against a host: each child, a broken stream, a hint, failed probes, silence.
func (r *Roster) against(h *host) int {
	n := 0
	if d := h.doubt; d != nil {
		for _, rep := range d.reports {
			if rep.by != nil {
				n++
			}
		}
		for _, is := range []bool{d.broke, d.hinted, d.fails} {
			if is {
				n++
			}
		}
	}
	if r.clock.inner >= r.fresh(h)+r.silence(h) {
		n++
	}
	return n
}

func (r *Roster) mayDoubt(id darter.HostID) *host {
	h := r.hosts[id]
	if h == nil || h.state != darter.Alive && h.state != darter.Late && h.state != darter.Suspect {
		return nil
	}
	return h
}

func (r *Roster) onChildFailed(e ChildFailed) {
	if by := r.hosts[e.By]; by != nil {
		r.sign(by, Word)
	}
	h := r.mayDoubt(e.Host)
	if h == nil || e.By == e.Host {
		return
	}
	now := r.clock.inner
	d := h.doubts(Child)
	if by := r.hosts[e.By]; by != nil && r.trusts(by) {
		d.remember(by, now)
	}
	if h.state != darter.Suspect && r.believed(d) >= r.policy.Suspicion.Reports {
		r.suspect(h, Reported, Child)
		return
	}
	r.release(h)
	r.worse(h)
}

// worse follows a new sign against a host: it is asked, and if it is suspect already, it has less time to refute.
func (r *Roster) worse(h *host) {
	r.probe(h)
	if h.state == darter.Suspect {
		r.plan(h, r.due(h))
	}
}

// release ends the holding down of a host that has worse against it now.
func (r *Roster) release(h *host) {
	if h.held && r.believed(h.doubt) >= r.policy.Suspicion.Reports {
		h.held, h.since = false, r.clock.inner
		r.tally(h)
	}
}

// remember keeps the latest report of each child, in place of the oldest when there are too many.
func (d *doubt) remember(by *host, now time.Duration) {
	at := 0
	for i, rep := range d.reports {
		if rep.by == nil || rep.by.id == by.id { // a child that left and came back is one child
			at = i
			break
		}
		if rep.at < d.reports[at].at {
			at = i
		}
	}
	d.reports[at] = report{by, now}
}

// trusts reports whether a child's word against others counts: it is well itself, and was not wrong too often of late.
// A child that is cut off sees everybody else vanish.
func (r *Roster) trusts(by *host) bool {
	s := &r.policy.Suspicion
	if by.state != darter.Alive && by.state != darter.Late && by.state != darter.Draining {
		return false
	}
	return int(by.wrong.n) < s.WrongReports || r.clock.inner-by.wrong.at > s.Disbelief.Std()
}

func (r *Roster) onStreamReset(e StreamReset) {
	h := r.mayDoubt(e.Host)
	if h == nil || e.Conn != 0 && e.Conn < h.conn { // it has come back on another one meanwhile
		return
	}
	d := h.doubts(Stream)
	d.broke, d.reset = true, r.clock.inner
	r.worse(h)
}

func (r *Roster) onHinted(e Hinted) {
	h := r.mayDoubt(e.Host)
	if h == nil {
		return
	}
	d := h.doubts(Hint)
	d.hinted, d.hint = true, r.clock.inner
	r.worse(h)
}

// probe puts a host into the queue of those to be asked, once at a time and no more often than Every.
func (r *Roster) probe(h *host) {
	if h.doubt == nil || h.asked || r.clock.inner < h.next {
		return
	}
	h.asked = true
	r.probes.push(h)
}

// askProbes lets as many out of the queue as the rate allows.
func (r *Roster) askProbes() {
	rate := r.policy.Probe.Rate
	now := r.clock.awake
	r.tokens = min(r.tokens+(now-r.tokenAt).Seconds()*rate, max(1, rate/4))
	r.tokenAt = now
	for looked := 0; r.probes.len() > 0 && looked < r.policy.Limit.Items; looked++ {
		if r.tokens < 1 {
			return
		}
		h := r.probes.pop()
		h.asked = false
		d := h.doubt
		if d == nil || r.mayDoubt(h.id) != h { // the doubt is over, or the host
			continue
		}
		r.tokens--
		h.next = r.clock.inner + r.policy.Probe.Every.Std()
		r.stats.Probes++
		r.out(Probe{Host: h.id, Epoch: h.epoch, Sign: d.first})
	}
}

func (r *Roster) onProbed(e Probed) {
	h := r.hosts[e.Host]
	if h == nil {
		return
	}
	if e.OK {
		r.stats.ProbesAnswered++
		r.refute(h)
		r.sign(h, Answer)
		return
	}
	r.stats.ProbesFailed++
	d := h.doubt
	if d == nil || r.mayDoubt(e.Host) == nil { // asked in a time of doubt that is over
		return
	}
	now := r.clock.inner
	d.fails, d.failed = true, now
	if h.state == darter.Suspect {
		r.plan(h, r.due(h))
		return
	}
	within := r.policy.Suspicion.Within.Std()
	if d.broke && now-d.reset <= within || d.hinted && now-d.hint <= within || r.believed(d) > 0 {
		r.suspect(h, ProbeFailed, d.first)
	}
}

// refute holds a good answer against those who reported the host.
func (r *Roster) refute(h *host) {
	d := h.doubt
	if d == nil {
		return
	}
	for i, rep := range d.reports {
		if rep.by != nil && !rep.by.gone {
			rep.by.wrong.again(r.clock.inner, r.policy.Suspicion.Disbelief.Std())
			r.count(WrongReport)
		}
		d.reports[i] = report{}
	}
}

// suspect is where hiding begins.
func (r *Roster) suspect(h *host, why Reason, sign Sign) {
	h.doubts(sign)
	r.set(h, darter.Suspect, why, sign, darter.Running)
	r.probe(h)
	h.next = max(h.next, r.clock.inner+r.policy.Probe.Every.Std())
	r.plan(h, r.due(h))
}

// sign takes a sign of life.
func (r *Roster) sign(h *host, s Sign) {
	h.heard = r.clock.inner
	r.heardSomebody()
	recalled, offline := h.unknown, h.state == darter.Offline
	h.unknown = false
	switch h.state {
	case darter.Alive:
		r.setOverdue(h, false)
		if d := h.doubt; d != nil && r.cleared(d, s) {
			h.doubt = nil
		}
	case darter.Late:
		r.set(h, darter.Alive, Returned, s, darter.Running)
	case darter.Suspect:
		if !h.held && (h.doubt == nil || r.cleared(h.doubt, s)) {
			r.back(h, s)
		}
	case darter.Offline:
		r.back(h, s)
	}
	switch {
	case recalled:
		r.askInventory(h, Recalled, true)
	case offline:
		r.askInventory(h, Returned, true)
	}
}

// cleared reports whether a sign settles a doubt. Children fetch from another port than the one that renews a lease: a
// renewal says nothing against their word while that is fresh, but an answer, a piece or a new announcement does.
func (r *Roster) cleared(d *doubt, s Sign) bool {
	if s == Answer || s == Child || s == Announce {
		return true
	}
	return r.believed(d) == 0
}

// back takes a host into use again.
func (r *Roster) back(h *host, s Sign) {
	now := r.clock.inner
	exit := darter.Running
	if h.state == darter.Offline {
		exit = darter.ExitPartition
		r.note(h, FalseOffline)
	}
	mistaken := h.word == Child && (h.doubt == nil || !h.doubt.fails) // only children spoke against it
	hold := time.Duration(0)
	if now-h.since <= r.policy.Flap.Within.Std() && !mistaken {
		hold = r.flapped(h)
	}
	h.doubt, h.waiting = nil, false
	switch {
	case h.drain:
		r.set(h, darter.Draining, Returned, s, exit)
	case hold > 0:
		h.held, h.until = true, now+hold
		r.set(h, darter.Suspect, Unsteady, s, exit)
	default:
		r.set(h, darter.Alive, Returned, s, exit)
	}
	r.plan(h, r.due(h))
}

// flapped counts a short absence and returns how long the host is to be held down.
func (r *Roster) flapped(h *host) time.Duration {
	f := &r.policy.Flap
	n := h.flaps.again(r.clock.inner, f.Window.Std())
	r.note(h, Flapped)
	if n < f.Count || f.Hold <= 0 {
		return 0
	}
	return min(f.Hold.Std()<<min(n-f.Count, 10), f.Most.Std())
}
