package rpc

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/liveness"
	"github.com/darter-p2p/darter/internal/scheduler/swarm"
)

// HostPage implements shown.
func (h *hub) HostPage(from, limit int) ([]darter.HostStatus, int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	views, next := h.mu.swarm.HostPage(from, limit)
	out := make([]darter.HostStatus, 0, len(views))
	for _, v := range views {
		out = append(out, h.statusLocked(v))
	}
	return out, next
}

// HostTable returns every host. One that comes and goes meanwhile may be missing.
func (h *hub) HostTable() (out []darter.HostStatus) {
	for from := 0; from >= 0; {
		var page []darter.HostStatus
		page, from = h.HostPage(from, hostsAtOnce)
		out = append(out, page...)
	}
	return out
}

// HostStatus implements shown.
func (h *hub) HostStatus(id darter.HostID) (darter.HostStatus, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.statusOfLocked(id)
}

func (h *hub) statusOfLocked(id darter.HostID) (darter.HostStatus, bool) {
	if v, known := h.mu.swarm.Host(id); known {
		return h.statusLocked(v), true
	}
	s, known := h.mu.roster.Host(id)
	if !known {
		return darter.HostStatus{}, false
	}
	return h.thoughtLocked(darter.HostStatus{Host: darter.Host{ID: id, Epoch: s.Epoch, Native: s.Native}, Gone: true}, s), true
}

func (h *hub) statusLocked(v swarm.HostView) darter.HostStatus {
	out := darter.HostStatus{Host: *v.Host, Verdict: v.Verdict, Since: v.Since, Heard: v.Evidence, Interval: v.Host.Interval, Peers: v.Peers, Tasks: v.Peers + v.Copies}
	if s, known := h.mu.roster.Host(v.Host.ID); known {
		out = h.thoughtLocked(out, s)
	}
	return out
}

// thoughtLocked adds what liveness thinks, and why: the last change of its verdict tells.
func (h *hub) thoughtLocked(out darter.HostStatus, s liveness.HostState) darter.HostStatus {
	history := h.mu.roster.Events(s.ID)
	for _, e := range slices.Backward(history) {
		if e.From != e.To {
			out.Reason, out.Policy = e.Reason+" ("+e.Evidence+")", e.Policy
			break
		}
	}
	out.Verdict, out.Since, out.Heard, out.Zone = s.Verdict, s.Since, s.LastHeard, s.Zone.String()
	if s.Interval > 0 {
		out.Interval = s.Interval
	}
	return out
}

// EventsAfter returns events that are kept after a sequence number, the number to go on with, and a channel that is closed at the
// next one. Of all hosts it returns at most limit.
func (h *hub) EventsAfter(host darter.HostID, after uint64, limit int) ([]darter.HostEvent, uint64, <-chan struct{}) {
	p := h.EventPage(host, after, limit)
	return p.events, p.next, p.more
}

// EventPage implements shown. What the feed dropped already of one host, its own history may still know.
func (h *hub) EventPage(host darter.HostID, after uint64, limit int) eventPage {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, p := h.mu.roster, eventPage{run: h.run, more: h.mu.changed}
	if host == "" {
		p.events, p.next, p.missed = r.Feed(after, limit)
		return p
	}
	p.events, p.next, p.missed = r.Feed(after, r.Policy().Limit.Feed)
	p.events = slices.DeleteFunc(p.events, func(e darter.HostEvent) bool { return e.Host != host })
	if after == 0 {
		old := r.Events(host)
		if len(p.events) > 0 {
			old = slices.DeleteFunc(old, func(e darter.HostEvent) bool { return !e.At.Before(p.events[0].At) })
		}
		p.events = append(old, p.events...)
	}
	return p
}

// Zones implements shown.
func (h *hub) Zones() ([]darter.ZoneStatus, float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []darter.ZoneStatus
	stats := h.mu.roster.Stats()
	for _, z := range h.mu.roster.Zones() {
		s := zoneStatus(z)
		if stats.SelfFault { // whatever a zone's own guard says, nothing advances
			s.Guard = liveness.GuardSelf.String()
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b darter.ZoneStatus) int { return strings.Compare(a.Zone, b.Zone) })
	return out, float64(stats.Multiplier)
}

func zoneStatus(z liveness.ZoneState) darter.ZoneStatus {
	return darter.ZoneStatus{Zone: z.Zone.String(), Guard: z.Guard.String(), Since: z.Since, Hosts: z.Hosts, Down: z.Down, Waiting: z.Waiting, Lifted: z.OverrideUntil}
}

// Policy implements shown.
func (h *hub) Policy() darter.PolicyStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.policy
}

// setPolicy puts a policy in force; document and source are what people are shown.
func (h *hub) setPolicy(p liveness.Policy, source, document string) error {
	h.mu.Lock()
	out := h.judgeLocked(liveness.PolicyChanged{Policy: p})
	var err error
	for _, e := range out {
		if e, is := e.(liveness.PolicyApplied); is {
			err = e.Err
		}
	}
	if err == nil {
		h.mu.policy = darter.PolicyStatus{Number: p.Number, Source: source, Since: time.Now(), Document: document}
	}
	h.mu.Unlock()
	h.report(out)
	tell(h.cfg.Events.PolicyApplied, PolicyApplied{Number: p.Number, Source: source, Err: err})
	return err
}

// DrainHost implements changed.
func (h *hub) DrainHost(id darter.HostID, undo bool, why string) (darter.HostStatus, error) {
	what := "drain host"
	if undo {
		what = "undrain host"
	}
	return h.order(what, id, why, liveness.Drain{Host: id, Undo: undo})
}

// ForgetHost implements changed.
func (h *hub) ForgetHost(id darter.HostID, force bool, why string) (darter.HostStatus, error) {
	return h.order("forget host", id, why, liveness.Forget{Host: id, Force: force})
}

func (h *hub) order(what string, id darter.HostID, why string, ev liveness.Evidence) (darter.HostStatus, error) {
	h.mu.Lock()
	s, known := h.statusOfLocked(id)
	var out []news
	var err error
	switch {
	case !known || s.Gone:
		err = &darter.Error{Kind: darter.NotFound, Op: what + " " + string(id), Err: errors.New("there is no such host"), Hint: "darter host ls shows the ids"}
	default:
		out = h.judgeLocked(ev)
		err = declined(out)
		if now, still := h.statusOfLocked(id); still {
			s = now
		}
	}
	h.mu.Unlock()
	h.report(out)
	tell(h.cfg.Events.Ordered, Ordered{What: what, Whom: string(id), Why: why, Err: err})
	return s, err
}

// declined finds out whether the roster met an operator's wish.
func declined(out []news) error {
	for _, e := range out {
		if e, is := e.(liveness.Declined); is {
			return e.Err
		}
	}
	return nil
}

// ReleaseZone implements changed. The zone "all" means every one.
func (h *hub) ReleaseZone(zone string, confirm bool, lift time.Duration, why string) (z darter.ZoneStatus, err error) {
	what := "lift the guard over zone"
	if confirm {
		what = "confirm the losses of zone"
	}
	defer func() { tell(h.cfg.Events.Ordered, Ordered{What: what, Whom: zone, Why: why, Err: err}) }()
	all := zone == "all"
	var at liveness.Zone
	if !all {
		if at, err = liveness.ParseZone(zone); err != nil {
			return z, err
		}
	}
	var ev liveness.Evidence
	switch {
	case confirm:
		ev = liveness.Confirm{Zone: at, All: all}
	case lift > 0:
		ev = liveness.Override{Zone: at, All: all, Until: time.Now().Add(lift)}
	default:
		ev = liveness.Override{Zone: at, All: all}
		what = "put back the guard over zone"
	}
	h.mu.Lock()
	out := h.judgeLocked(ev)
	err = declined(out)
	z = darter.ZoneStatus{Zone: zone}
	for _, s := range h.mu.roster.Zones() {
		if s.Zone == at {
			z = zoneStatus(s)
		}
	}
	h.mu.Unlock()
	h.report(out)
	return z, err
}
