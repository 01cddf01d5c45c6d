package sim

import (
	"math"
	"slices"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/daemon/fetch/pick"
	"github.com/darter-p2p/darter/internal/scheduler/swarm"
)

// download is the loop of package fetch without its goroutines: each method is one of the loop's events.
type download struct {
	h      *host
	w      *World
	picker *pick.Picker
	asks   []*asking
	links  []*parentLink
	over   bool
	poked  bool
	timer  int

	peer       darter.PeerID
	talk       *conversation
	opening    bool
	toldStart  bool
	rejoinAt   time.Duration
	lively     time.Duration
	askedFor   time.Duration
	alone      bool
	lastSource bool
}

// parentLink is one parent the download listens to.
type parentLink struct {
	peer darter.PeerID
	host *host
	live bool
	lost bool
}

// asking is one ask in flight.
type asking struct {
	pick.Ask
	d         *download
	server    *host   // nil for the source
	upstream  *asking // the server's own ask, of a piece that it is receiving itself; nil when it holds the piece
	skip      float64 // bytes of the first piece that were here before
	ticket    *ticket
	f         *flow
	committed uint32 // pieces of a source run that left the origin
	arrival   time.Duration
	dropped   bool
	stalled   bool
	over      bool
}

// outcome is how an ask ended.
type outcome uint8

const (
	taken  outcome = iota
	absent         // the parent does not hold the piece
	broken         // the parent is gone, refused, or sent something wrong
	local          // not the parent's fault
)

func newDownload(h *host) *download {
	return &download{h: h, w: h.w, peer: h.w.newPeer(h), askedFor: -time.Hour}
}

// begin runs once the content's length is known.
func (d *download) begin() {
	if d.over {
		return
	}
	seed := uint64(14695981039346656037)
	for _, c := range []byte(d.peer) {
		seed = (seed ^ uint64(c)) * 1099511628211
	}
	d.picker = pick.New(d.w.cfg.Pick, d.w.cfg.Layout, seed)
	d.picker.Want(d.w.wanted)
	d.picker.Have(d.h.held)
	d.lively = d.w.clock.now
	d.step()
}

// poke has the loop run once more at this instant.
func (d *download) poke() {
	if d.over || d.poked {
		return
	}
	d.poked = true
	d.w.clock.after(0, d.step)
}

// step is fetch's loop.step, and what the loop does around it.
func (d *download) step() {
	if d.poked = false; d.over || d.picker == nil {
		return
	}
	if d.h.complete() {
		d.finish()
		return
	}
	d.converse()
	now := d.w.clock.now
	for _, k := range d.asks {
		if k.f != nil {
			k.f.settle(now)
			d.picker.Progress(k.ID, int64(k.f.done), d.w.time())
		}
	}
	dec := d.picker.Next(d.w.time())
	for _, c := range dec.Cancel {
		d.cancel(c)
	}
	for _, a := range dec.Start {
		d.start(a)
	}
	d.relieve() // as the loop does: after Next, which knows whether anything can be asked
	d.pause(dec.Wake)
}

func (d *download) pause(wake time.Time) {
	next := 10 * time.Second
	sooner := func(at time.Duration) { next = min(next, max(at-d.w.clock.now, time.Millisecond)) }
	if !wake.IsZero() {
		sooner(wake.Sub(time.Unix(epoch, 0)))
	}
	if d.talk == nil && !d.opening {
		sooner(d.rejoinAt)
	}
	if len(d.asks) > 0 {
		next = min(next, 250*time.Millisecond)
	} else {
		sooner(d.lively + d.starving())
		next = min(next, time.Second)
	}
	d.timer++
	timer := d.timer
	d.w.clock.after(next, func() {
		if d.timer == timer {
			d.step()
		}
	})
}

// converse opens the conversation with the scheduler when there should be one.
func (d *download) converse() {
	if d.talk != nil || d.opening || d.w.clock.now < d.rejoinAt {
		return
	}
	d.opening = true
	s := d.w.sched
	c := &conversation{s: s, run: s.run, peer: d.peer, d: d}
	reg := swarm.Registered{Host: d.h.facts.ID, Peer: d.peer, Task: d.w.task, Want: d.w.want(d.h), Held: d.h.held.Clone()}
	if !s.up {
		d.w.clock.after(d.w.refusal(), func() { d.silent(nil) })
		return
	}
	d.w.inOrder(&c.asc, func() {
		if s.up && s.run == c.run {
			s.convs[c.peer] = c
			s.hear(c.run, reg)
		}
	})
	d.talk, d.opening, d.toldStart = c, false, false
	d.lively = d.w.clock.now
	if d.alone {
		d.alone = false
		d.picker.Revoke()
	}
}

// silent notes that the conversation is over without the download's doing.
func (d *download) silent(c *conversation) {
	if d.over || (c != nil && d.talk != c) {
		return
	}
	if c != nil {
		c.ended(0)
	}
	d.opening, d.talk = false, nil
	d.rejoinAt = d.w.clock.now + d.w.fetch.Rejoin
	d.peer = d.w.newPeer(d.h)
	d.poke()
}

// heed follows one message of the scheduler.
func (d *download) heed(c *conversation, a darter.Advice) {
	if d.over || d.talk != c {
		return
	}
	d.lively = d.w.clock.now
	switch a.Kind {
	case darter.UseParents:
		d.talk.report(swarm.PeerStarted{Peer: d.talk.peer})
		d.toldStart = true
		for _, p := range a.Parents {
			d.join(p)
		}
	case darter.GoToSource:
		d.talk.report(swarm.SourceStarted{Peer: d.talk.peer})
		if a.AllPieces {
			a.Pieces = d.picker.Missing()
		}
		d.picker.Grant(a.Pieces)
	}
	d.poke()
}

func (d *download) join(p darter.Parent) {
	if p.Host.ID == d.h.facts.ID {
		return
	}
	i := slices.IndexFunc(d.links, func(k *parentLink) bool { return k.peer == p.Peer })
	if i >= 0 && d.links[i].live {
		return
	}
	k := &parentLink{peer: p.Peer, host: d.w.hostOf(p.Host.ID), live: true}
	if i >= 0 {
		d.links[i] = k
	} else {
		d.links = append(d.links, k)
	}
	d.picker.Join(p.Peer, p.Host.Kind == darter.Seed)
	d.w.clock.after(d.w.delay(), func() {
		if !d.over {
			k.host.watch(d, k)
		}
	})
}

func (d *download) heard(k *parentLink, n uint32) {
	if d.over {
		return
	}
	d.picker.Holds(k.peer, n)
	d.lively = d.w.clock.now
	d.poke()
}

// unlinked notes that a parent's stream ended, in peace or because the parent failed.
func (d *download) unlinked(k *parentLink, failed bool) {
	if d.over {
		return
	}
	k.live = false
	if !failed {
		return
	}
	d.picker.Lost(k.peer, d.w.time())
	k.lost = true
	if d.talk != nil {
		d.talk.report(swarm.Rescheduled{Peer: d.talk.peer, Lost: []darter.PeerID{k.peer}})
		d.askedFor = d.w.clock.now
	}
	d.poke()
}

func (d *download) starving() time.Duration {
	if d.talk != nil {
		return d.w.fetch.Patience
	}
	if len(d.links) == 0 && !d.opening {
		return 0
	}
	return d.w.fetch.Alone
}

func (d *download) liveLinks() int {
	n := 0
	for _, k := range d.links {
		if k.live {
			n++
		}
	}
	return n
}

// relieve goes to the source unasked when nothing moves.
func (d *download) relieve() {
	now := d.w.clock.now
	if !d.picker.Idle() || !d.picker.Granted().Empty() {
		if len(d.asks) > 0 {
			d.lively = now
		}
		return
	}
	if d.talk != nil && d.toldStart && d.liveLinks() == 0 && now-d.askedFor >= 3*time.Second {
		d.askedFor = now
		var lost []darter.PeerID
		for _, k := range d.links {
			if k.lost {
				lost = append(lost, k.peer)
			}
		}
		d.talk.report(swarm.Rescheduled{Peer: d.talk.peer, Lost: lost})
	}
	if d.opening || now-d.lively < d.starving() {
		return
	}
	if d.talk != nil && !d.alone {
		d.talk.report(swarm.SourceStarted{Peer: d.talk.peer})
	}
	d.alone = true
	if len(d.links) > 0 {
		d.picker.Scatter()
	}
	d.picker.Grant(d.picker.Missing())
}

func (d *download) start(a pick.Ask) {
	k := &asking{Ask: a, d: d}
	d.asks = append(d.asks, k)
	if a.Source() {
		d.w.trace("%s asks the source for %d and %d more, alone %v", d.h.facts.ID, a.Piece, a.Run-1, d.alone)
		d.w.clock.after(2*d.w.delay(), func() { d.fromSource(k) })
		return
	}
	d.w.asks++
	if a.Hedge {
		d.w.hedges++
	}
	i := slices.IndexFunc(d.links, func(l *parentLink) bool { return l.peer == a.From })
	k.server = d.links[i].host
	if d.w.cfg.Loss > 0 && d.w.rng.Float64() < d.w.cfg.Loss {
		d.w.clock.after(2*d.w.delay(), func() { d.ended(k, broken) })
		return
	}
	d.w.clock.after(d.w.delay(), func() { d.arrive(k) })
}

// arrive is a request at its parent.
func (d *download) arrive(k *asking) {
	switch {
	case k.over:
	case !k.server.alive:
		d.w.clock.after(d.w.refusal(), func() { d.ended(k, broken) })
	case !k.server.held.Has(k.Piece) && (!k.Relay || k.server.receiving(k.Piece) == nil):
		d.refused(k)
	default:
		k.ticket = k.server.upload.request(k)
	}
}

// refused ends an ask that its server cannot serve after all.
func (d *download) refused(k *asking) {
	d.w.clock.after(d.w.delay(), func() { d.ended(k, absent) })
}

// arrived is the last byte of a body, or the first that is wrong.
func (d *download) arrived(k *asking, spoilt bool) {
	switch {
	case k.over:
	case spoilt:
		d.ended(k, broken)
	case d.h.held.Has(k.Piece):
		d.ended(k, local)
	default:
		d.took(k, k.Piece, darter.FromPeer)
		d.ended(k, taken)
	}
}

// fromSource brings a run of pieces over one request.
func (d *download) fromSource(k *asking) {
	if k.over {
		return
	}
	size := func() float64 { return float64(d.w.cfg.Layout.Span(k.Piece + k.committed).Length) }
	k.skip = d.h.resume(k.Piece)
	for i := uint32(1); i < k.Run; i++ { // a part that is here must be the beginning of a request
		if d.h.left[k.Piece+i] > 0 {
			k.Run = i
		}
	}
	k.f = &flow{up: &d.w.origin, down: d.h.down, weight: d.w.weight(), done: k.skip, mark: size()}
	k.f.reached = func() {
		n := k.Piece + k.committed
		k.committed++
		d.w.bytes += d.w.cfg.Layout.Span(n).Length
		if n == k.Piece {
			d.w.bytes -= int64(k.skip)
		}
		last := k.committed == k.Run
		if last {
			d.w.net.remove(k.f)
		} else {
			k.f.mark += size()
			d.w.clock.after(d.w.delay(), func() { d.begins(k, n+1) })
		}
		d.w.inOrder(&k.arrival, func() { d.sourced(k, n, last) })
	}
	d.w.net.add(k.f)
	d.w.clock.after(d.w.delay(), func() { d.begins(k, k.Piece) })
}

// begins tells who watches that bytes of a piece are here.
func (d *download) begins(k *asking, n uint32) {
	if d.over || k.over || d.h.held.Has(n) {
		return
	}
	for _, wt := range d.h.watchers {
		d.h.announces(wt, n)
	}
	d.poke()
}

// receives is the word of a parent that a piece is on its way to it.
func (d *download) receives(k *parentLink, n uint32) {
	if d.over {
		return
	}
	d.picker.Receives(k.peer, n)
	d.lively = d.w.clock.now
	d.poke()
}

// sourced is the last byte of a piece from the source.
func (d *download) sourced(k *asking, n uint32, last bool) {
	switch {
	case k.over:
		return
	case d.h.held.Has(n):
		d.ended(k, local)
		return
	}
	d.took(k, n, darter.FromSource)
	if last {
		d.ended(k, taken)
	}
}

func (d *download) took(k *asking, n uint32, from darter.Traffic) {
	d.picker.Got(k.ID, n, d.w.time())
	d.lively = d.w.clock.now
	d.lastSource = from == darter.FromSource
	if d.lastSource {
		d.w.check.copied(n)
	}
	d.h.gained(n)
	if d.talk != nil {
		d.talk.report(swarm.PieceDone{Peer: d.talk.peer, Piece: n, Parent: k.From, Traffic: from})
	}
	d.poke()
}

func (d *download) cancel(c pick.Cancel) {
	i := slices.IndexFunc(d.asks, func(k *asking) bool { return k.ID == c.Ask.ID })
	if i < 0 || d.asks[i].dropped || d.asks[i].stalled {
		return
	}
	k := d.asks[i]
	k.dropped, k.stalled = !c.Stall, c.Stall
	d.release(k, !c.Stall)
	d.w.clock.after(0, func() { d.ended(k, broken) })
}

// release ends what an ask holds at the other side.
func (d *download) release(k *asking, wanted bool) {
	if k.ticket != nil {
		k.ticket.u.end(k.ticket, false)
	}
	if k.Source() && k.f != nil && slices.Contains(d.w.net.flows, k.f) {
		d.w.net.remove(k.f)
		whole := int64(0)
		for n := k.Piece; n < k.Piece+k.committed; n++ {
			whole += d.w.cfg.Layout.Span(n).Length
		}
		if k.committed == 0 {
			whole = int64(k.skip)
		}
		part := int64(math.Round(k.f.done)) - whole
		d.w.bytes += part
		d.w.check.cut(part, wanted)
	}
}

// ended is fetch's parentEnded and sourceEnded.
func (d *download) ended(k *asking, how outcome) {
	if d.over || k.over {
		return
	}
	k.over = true
	d.asks = slices.DeleteFunc(d.asks, func(o *asking) bool { return o == k })
	d.leave(k, how)
	d.release(k, false)
	d.w.forsaken(k)
	now := d.w.time()
	switch {
	case k.Relay && how == absent && !k.dropped:
		d.picker.Ended(k.ID, false, true, now)
	case how == taken || how == local || k.dropped || k.Source():
		d.picker.Ended(k.ID, false, false, now)
	default:
		if d.talk != nil {
			d.talk.report(swarm.PieceFailed{Peer: d.talk.peer, Parent: k.From, Piece: k.Piece, Temporary: true})
		}
		d.picker.Ended(k.ID, how == broken, how == absent, now)
	}
	d.poke()
}

// finish says goodbye: everything is here.
func (d *download) finish() {
	if d.talk != nil {
		if d.lastSource {
			d.talk.report(swarm.SourceFinished{Peer: d.talk.peer})
		} else {
			d.talk.report(swarm.PeerFinished{Peer: d.talk.peer})
		}
		d.talk.ended(0)
	}
	d.abort()
	d.h.d = nil
	d.h.trigger(swarm.SeedDone{Task: d.w.task, Host: d.h.facts.ID}, d.w.delay())
}

// abort drops everything in flight.
func (d *download) abort() {
	d.over = true
	for _, k := range d.asks {
		if !k.over {
			k.over = true
			d.release(k, false)
		}
	}
	d.asks = nil
	for _, h := range d.w.hosts {
		h.watchers = slices.DeleteFunc(h.watchers, func(wt *watcher) bool { return wt.d == d })
	}
}
