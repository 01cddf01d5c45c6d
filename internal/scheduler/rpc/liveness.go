package rpc

import (
	"context"
	"errors"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/liveness"
	"github.com/darter-p2p/darter/internal/scheduler/swarm"
)

// watch is what the hub keeps of hosts besides the swarm; its lock is the hub's.
type watch struct {
	roster  *liveness.Roster
	more    bool                     // the roster wants a tick as soon as others had their turn
	stock   map[darter.HostID]*stock // inventories of hosts with leases
	changed chan struct{}            // closed at the next event of a timeline
	seen    uint64                   // cursor of the feed when changed was made
	policy  darter.PolicyStatus
}

// stock is how a host's inventory stands.
type stock struct {
	want     bool                   // compare at the next renewal
	asked    darter.InventoryDigest // what the host said when the comparison that runs was asked for
	compared darter.InventoryDigest // and when the last one that ended was
	at       time.Time              // of that end
}

func newWatch(cfg Config) (watch, error) {
	r, err := liveness.New(cfg.Liveness)
	if err != nil {
		return watch{}, err
	}
	return watch{roster: r, stock: map[darter.HostID]*stock{}, changed: make(chan struct{}),
		policy: darter.PolicyStatus{Number: cfg.Liveness.Policy.Number, Source: "defaults", Since: time.Now()}}, nil
}

// judge gives the roster a piece of evidence.
func (h *hub) judge(ev liveness.Evidence) {
	h.mu.Lock()
	out := h.judgeLocked(ev)
	h.mu.Unlock()
	h.report(out)
}

func (h *hub) judgeLocked(ev liveness.Evidence) []news {
	return h.followLocked(h.mu.roster.Step(time.Now(), ev))
}

// followLocked carries out what the roster decided: the swarm follows its verdicts. The lock is held.
func (h *hub) followLocked(effects []liveness.Effect) (out []news) {
	for _, e := range effects {
		out = append(out, e)
		switch e := e.(type) {
		case liveness.Verdict:
			out = append(out, h.stepLocked(swarm.HostVerdict{Host: e.Host, Epoch: e.Epoch, Verdict: e.To, Reason: e.Reason.String()})...)
			if e.To == darter.Forgotten || e.To == darter.Left {
				delete(h.mu.stock, e.Host)
			}
		case liveness.Probe:
			select {
			case h.doubts <- e:
			default: // too many are under way: the roster asks again
			}
		case liveness.AskInventory:
			h.stockLocked(e.Host).want = true
		case liveness.Wake:
			h.mu.more = true
			signal(h.wakeUp)
		}
	}
	if _, next, _ := h.mu.roster.Feed(h.mu.seen, 1); next != h.mu.seen {
		close(h.mu.changed)
		h.mu.changed, h.mu.seen = make(chan struct{}), next
	}
	return out
}

// reportWatch tells what the roster did, outside the lock.
func (h *hub) reportWatch(e news) {
	ev := &h.cfg.Events
	switch e := e.(type) {
	case liveness.Verdict:
		tell(ev.Verdict, e)
	case liveness.Noted:
		tell(ev.Noted, e)
	case liveness.GuardChanged:
		tell(ev.GuardChanged, e)
	case liveness.HealthChanged:
		tell(ev.HealthChanged, e)
	case liveness.AskInventory:
		h.prompt(e.Host, darter.Grant{RenewNow: true})
	}
}

// heardLocked takes any word of a host as a sign of its life.
func (h *hub) heardLocked(id darter.HostID) []news {
	if h.mu.roster.Hear(time.Now(), id) {
		return nil
	}
	return h.judgeLocked(liveness.Heard{Host: id})
}

// servedLocked takes a piece from a parent as a sign of its host's life, where that is in doubt.
func (h *hub) servedLocked(by darter.HostID, parent darter.PeerID) []news {
	p, ok := h.mu.swarm.Peer(parent)
	if !ok {
		return nil
	}
	if s, known := h.mu.roster.Host(p.Host.ID); !known || s.Verdict == darter.Alive && s.Against == 0 {
		return nil
	}
	return h.judgeLocked(liveness.Served{Host: p.Host.ID, By: by})
}

// unreachedLocked takes a parent that did not deliver as a sign against its host.
func (h *hub) unreachedLocked(by darter.HostID, parent darter.PeerID) []news {
	p, ok := h.mu.swarm.Peer(parent)
	if !ok || p.Host.ID == by {
		return nil
	}
	return h.judgeLocked(liveness.ChildFailed{Host: p.Host.ID, By: by})
}

// announced takes a host's record, and the interval that it promised, which may make no sense. A run that another one took the
// place of is refused, as is a host too many.
func (h *hub) announced(host darter.Host, promised time.Duration, conn uint64) (fresh bool, err error) {
	h.mu.Lock()
	_, known := h.mu.swarm.Host(host.ID)
	effects := h.mu.roster.Step(time.Now(), liveness.Announced{Host: host.ID, Epoch: host.Epoch, Native: host.Native, Interval: promised,
		Zone: liveness.ZoneOf(host.Cluster, host.IDC, host.Location), Conn: conn, Addr: host.Endpoint(), Storage: storageName(host.Storage)})
	var out []news
	if err = refusal(host, effects); err == nil {
		out = h.stepLocked(swarm.HostAnnounced{Host: host})
	}
	out = append(out, h.followLocked(effects)...)
	h.mu.Unlock()
	h.report(out)
	return !known, err
}

func storageName(id darter.StorageID) string {
	if id == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(id), 16)
}

// refusal finds out whether the roster took a host's record.
func refusal(host darter.Host, effects []liveness.Effect) error {
	op := "announce host " + string(host.ID)
	for _, e := range effects {
		switch e := e.(type) {
		case liveness.Grant:
			if e.Host == host.ID && e.Superseded {
				return &darter.Error{Kind: darter.Conflict, Op: op, Err: errors.New("a later run of this host is known"),
					Hint: "if two machines have the same address and hostname, give one of them another --hostname"}
			}
		case liveness.Noted:
			if e.Host == host.ID && e.Reason == liveness.TooManyHosts {
				return &darter.Error{Kind: darter.NoSpace, Op: op, Err: errors.New("this scheduler knows as many hosts as it may"),
					Hint: "raise limit.hosts in the liveness policy, or run more schedulers"}
			}
		}
	}
	return nil
}

// knownFrom returns a page of the hosts, and where the next one begins; -1 at the end.
func (h *hub) knownFrom(from, limit int) (out []Known, next int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	views, next := h.mu.swarm.HostPage(from, limit)
	for _, v := range views {
		s, _ := h.mu.roster.Host(v.Host.ID)
		out = append(out, Known{Host: *v.Host, Drained: s.Drain && !s.Tombstone})
	}
	return out, next
}

func (h *hub) goneFrom(from, limit int) ([]liveness.Tombstone, int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.roster.Tombstones(from, limit)
}

// recall takes hosts and tombstones that were there before this process started.
func (h *hub) recall(hosts []Known, gone []liveness.Tombstone) {
	h.mu.Lock()
	var out []news
	for _, s := range gone {
		out = append(out, h.judgeLocked(liveness.Buried{Tombstone: s})...)
	}
	for _, known := range hosts {
		host := known.Host
		out = append(out, h.stepLocked(swarm.HostAnnounced{Host: host})...)
		out = append(out, h.judgeLocked(liveness.Restored{Drained: known.Drained, Announced: liveness.Announced{Host: host.ID, Epoch: host.Epoch, Native: host.Native, Interval: host.Interval,
			Zone: liveness.ZoneOf(host.Cluster, host.IDC, host.Location), Addr: host.Endpoint(), Storage: storageName(host.Storage)}})...)
	}
	out = append(out, h.judgeLocked(liveness.Restarted{})...)
	if len(hosts) > 0 {
		out = append(out, h.stepLocked(swarm.Restarted{})...)
	}
	h.mu.Unlock()
	h.report(out)
}

// Slice is one turn of the roster's clock.
type Slice struct {
	Took  time.Duration // with the lock held
	Items int           // timers that were looked at
	Late  time.Duration // how long the first of them had been due
	Lag   time.Duration // how late the turn itself came
	Every time.Duration // between two turns, as planned
}

// turn has the roster look at its deadlines, within its budget.
func (h *hub) turn(lag time.Duration) {
	h.mu.Lock()
	began := time.Now()
	h.mu.more = false
	out := h.judgeLocked(liveness.Tick{})
	stats := h.mu.roster.Stats()
	took := time.Since(began)
	h.mu.Unlock()
	h.report(out)
	tell(h.cfg.Events.Sliced, Slice{Took: took, Items: stats.Items, Late: stats.Lateness, Lag: lag, Every: h.cfg.Liveness.Tick})
}

// wantsMore reports whether the roster left work over.
func (h *hub) wantsMore() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.more
}

// Renewed implements Leases.
func (h *hub) Renewed(r darter.Renewal, _ LeaseConn) darter.Grant {
	h.mu.Lock()
	g, out := h.renewedLocked(r)
	h.mu.Unlock()
	h.report(out)
	return g
}

func (h *hub) renewedLocked(r darter.Renewal) (g darter.Grant, out []news) {
	now := time.Now()
	next, done := h.mu.roster.Renew(now, r.Host, r.Epoch)
	g.Next = next
	if !done {
		effects := h.mu.roster.Step(now, liveness.Renewed{Host: r.Host, Epoch: r.Epoch})
		for _, e := range effects {
			if e, is := e.(liveness.Grant); is && e.Host == r.Host {
				g = darter.Grant{Next: e.Interval, AnnounceFull: e.Announce, Superseded: e.Superseded, Epoch: e.Epoch}
			}
		}
		out = h.followLocked(effects)
		if g.Next == 0 && !g.Superseded { // nothing is thought of it: its record is missing
			g.Next, g.AnnounceFull = h.mu.roster.Policy().Lease.Interval.Std(), true
		}
	}
	if r.InventoryKnown && !g.Superseded && !g.AnnounceFull {
		st := h.stockLocked(r.Host)
		if st.want || r.Inventory != st.compared && now.Sub(st.at) >= h.cfg.ResyncEvery {
			g.WantInventory, st.want, st.asked = true, true, r.Inventory
		}
	}
	return g, out
}

func (h *hub) stockLocked(id darter.HostID) *stock {
	st := h.mu.stock[id]
	if st == nil {
		st = &stock{}
		h.mu.stock[id] = st
	}
	return st
}

// doubtedLocked has the inventory of a host compared again, as soon as one may be: a child said that something is not there, and
// the host itself has the last word.
func (h *hub) doubtedLocked(id darter.HostID) {
	if st := h.mu.stock[id]; st != nil {
		st.compared = darter.InventoryDigest{}
	}
}

// StreamBroken implements Leases.
func (h *hub) StreamBroken(host darter.HostID, _ darter.Epoch, _ LeaseConn, err error) {
	if err != nil {
		h.judge(liveness.StreamReset{Host: host})
	}
}

// Holdings implements Leases. It reads a page at a time, so that downloads need not wait for a host that holds much.
func (h *hub) Holdings(host darter.HostID) (out []darter.Location) {
	w := swarm.HoldingWalk{Host: host}
	for more := true; more; {
		var page []darter.Location
		page, more = h.nextHoldings(&w)
		for _, l := range page {
			if worthTelling(l) {
				out = append(out, l)
			}
		}
	}
	return out
}

// holdingsAtOnce bounds how many records of a host are read under one lock.
const holdingsAtOnce = 256

func (h *hub) nextHoldings(w *swarm.HoldingWalk) ([]darter.Location, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.swarm.NextHoldings(w, holdingsAtOnce)
}

// worthTelling leaves out what an inventory does not name: empty contents, and parts with no piece or with all of them.
func worthTelling(l darter.Location) bool {
	n := l.Pieces.Len()
	return l.Layout.Count() > 0 && (l.Complete || n > 0 && n < int(l.Layout.Count()))
}

// InventoryPage implements Leases.
func (h *hub) InventoryPage(host darter.HostID, e darter.Epoch, p InventoryPage) {
	h.mu.Lock()
	out := h.stepLocked(swarm.InventoryPage{Host: host, Epoch: e, Add: p.Gained, Remove: p.Lost, Complete: p.Last})
	if st := h.mu.stock[host]; p.Last && st != nil {
		st.want, st.compared, st.at = false, st.asked, time.Now()
	}
	h.mu.Unlock()
	h.report(out)
}

// probe asks a host in doubt whether it is well.
func (s *Server) probe(ctx context.Context, p liveness.Probe) {
	host, known := view2(s.hub, func(w *swarm.Swarm) (swarm.HostView, bool) { return w.Host(p.Host) })
	if !known {
		return
	}
	err := s.seeds.askOnce(ctx, host.Host)
	if ctx.Err() != nil {
		return
	}
	ok := err == nil || status.Code(err) == codes.Unimplemented // it answers
	tell(s.cfg.Events.Probed, Probed{Host: p.Host, OK: ok, Err: err})
	s.hub.judge(liveness.Probed{Host: p.Host, OK: ok})
}
