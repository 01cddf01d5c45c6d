package fetch

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/source"
)

// link is one parent this download listens to.
type link struct {
	parent darter.Parent
	from   netip.AddrPort // where it serves pieces, as it said last
	cancel context.CancelFunc
	relays bool // it can send a piece from an offset on
	live   bool // the stream of its holdings is open
	lost   bool // it really failed
	bare   bool // it answered that it does not hold the task
	well   bool // it is lost, but it answered
	vigil  vigil
}

// converse opens the conversation with the scheduler when there should be one.
func (l *loop) converse(t time.Time) {
	s := l.d.e.cfg.Scheduler
	if s == nil || l.talk != nil || l.opening || t.Before(l.rejoinAt) {
		return
	}
	l.opening, l.rejoinAt = true, time.Time{}
	d := l.d
	w := d.want
	w.Layout, w.LayoutKnown = d.task.Meta().Layout, true
	reg := darter.Registration{Task: d.id, Peer: l.peer, Want: w, Held: d.task.Pieces()}
	d.spawn(func() {
		c, err := s.Register(d.ctx, reg)
		if err != nil {
			d.post(func(l *loop) { l.silent(err) })
			return
		}
		taken := make(chan struct{})
		d.post(func(l *loop) { l.opened(c); close(taken) })
		select {
		case <-taken:
		case <-d.settled:
			c.Close() // a loop that ended meanwhile never takes it
		}
	})
}

func (l *loop) opened(c Conversation) {
	l.opening = false
	l.talk, l.advice = c, c.Advice()
	l.toldStart = false
	l.lively = now()
	if l.alone && !l.verified { // somebody coordinates again
		l.alone = false
		l.picker.Revoke()
	}
}

// silent notes that the scheduler cannot be talked to, and plans another try under a new name: a
// peer id must never be used for a second stream.
func (l *loop) silent(err error) {
	l.opening = false
	l.talk, l.advice = nil, nil
	l.rejoinAt = now().Add(l.d.e.cfg.Rejoin)
	if l.d.want.NeedSource {
		l.rejoinAt = now().Add(l.d.e.cfg.Rejoin / 10)
	}
	if f := l.d.e.cfg.Events.Lost; f != nil {
		f(l.d.id, l.peer, err)
	}
	l.peer = l.d.e.cfg.NewPeer()
}

// heed follows one message of the scheduler.
func (l *loop) heed(a darter.Advice, open bool) {
	if !open {
		err := l.talk.Err()
		l.talk.Close()
		l.silent(err)
		if e, ok := errors.AsType[*source.Error](err); ok && refused(e) {
			l.fatal = e
		}
		return
	}
	l.lively = now()
	switch a.Kind {
	case darter.UseParents:
		l.tellStarted()
		for _, p := range a.Parents {
			l.join(p)
		}
	case darter.GoToSource:
		l.goToSource(a)
	case darter.EmptyContent, darter.Recorded:
		l.tellStarted()
	}
}

func (l *loop) tellStarted() {
	l.talk.Report(darter.Report{Kind: darter.Started})
	l.toldStart = true
}

func (l *loop) goToSource(a darter.Advice) {
	if l.d.want.DisableSource {
		if l.liveLinks() == 0 && len(l.asks) == 0 {
			l.fatal = l.noSource()
		}
		return
	}
	l.talk.Report(darter.Report{Kind: darter.SourceStarted})
	if a.AllPieces {
		l.picker.Grant(l.picker.Missing())
		return
	}
	l.picker.Grant(a.Pieces)
}

// join begins to listen to a parent.
func (l *loop) join(p darter.Parent) {
	d := l.d
	if d.e.cfg.Neighbours == nil || p.Host.ID == d.e.cfg.Host {
		return
	}
	if k := l.links[p.Peer]; k != nil && k.live {
		return
	}
	missing := d.task.Meta().Layout.Covering(nil).Minus(d.task.Pieces())
	if missing.Empty() {
		return
	}
	l.picker.Join(p.Peer, p.Host.Kind == darter.Seed)
	ctx, cancel := context.WithCancel(d.ctx)
	k := &link{parent: p, cancel: cancel, live: true}
	if old := l.links[p.Peer]; old != nil {
		k.vigil.owes = old.vigil.owes
	}
	k.vigil.hear(now())
	l.links[p.Peer] = k
	d.spawn(func() {
		defer cancel()
		err := d.e.cfg.Neighbours.Watch(ctx, d.id, d.task.Meta().Version, p, missing, func(h darter.Holding) {
			d.post(func(l *loop) { l.heard(p.Peer, h) })
		})
		d.post(func(l *loop) { l.unlinked(k, err) })
	})
}

// heard records a piece that a parent holds, and where it serves it.
func (l *loop) heard(id darter.PeerID, h darter.Holding) {
	k := l.links[id]
	if k == nil || h.Number >= l.d.task.Meta().Layout.Count() {
		return
	}
	k.from, k.relays = h.From, h.Relays
	if h.Arriving {
		l.picker.Receives(id, h.Number)
	} else {
		l.picker.Holds(id, h.Number)
	}
	l.lively = now()
	k.vigil.hear(l.lively)
}

// unlinked notes that a parent's stream ended: in peace (nil), or because the parent is gone or holds
// other bytes.
func (l *loop) unlinked(k *link, err error) {
	k.live = false
	if err == nil || l.d.ctx.Err() != nil {
		return
	}
	if k.lost { // its silence was noticed first
		return
	}
	if darter.KindOf(err) == darter.NotFound { // it is well, and answered
		for n := range l.picker.Missing().All() {
			l.disowned(k, n, err)
			break
		}
		return
	}
	reason, kind := Gone, darter.KindOf(err)
	if kind == darter.Conflict {
		reason = OldVersion
	}
	k.well = kind == darter.Conflict || kind == darter.Denied
	l.lose(k, reason)
}

// disowned notes that a parent answered, and does not hold what the scheduler believed it to hold: that belief is to end
// for all children, and with it no doubt in the host.
func (l *loop) disowned(k *link, number uint32, err error) {
	if k.bare {
		return
	}
	k.bare = true
	l.picker.Gone(k.parent.Peer)
	l.failed(k.parent.Peer, NotThere)
	if l.talk != nil {
		l.talk.Report(darter.Report{Kind: darter.PieceFailed, Piece: darter.Piece{Number: number, Parent: k.parent.Peer}, Missing: true, Err: err})
	}
}

func (l *loop) failed(id darter.PeerID, why FailReason) {
	if f := l.d.e.cfg.Events.Failed; f != nil {
		f(l.d.id, id, why)
	}
}

func (l *loop) liveLinks() int {
	n := 0
	for _, k := range l.links {
		if k.live {
			n++
		}
	}
	return n
}

// lostParents returns the parents that do not answer, in a fixed order.
func (l *loop) lostParents() []darter.Parent {
	var out []darter.Parent
	for _, k := range l.links {
		if k.lost && !k.well {
			out = append(out, k.parent)
		}
	}
	slices.SortFunc(out, func(a, b darter.Parent) int { return cmp.Compare(a.Peer, b.Peer) })
	return out
}
