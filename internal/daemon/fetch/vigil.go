package fetch

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/darter-p2p/darter"
)

// A parent that is frozen, or cut off, takes requests into its kernel's queues and says nothing, as one does whose uplink
// has a long queue. What tells them apart is whether the process answers for its health:
//
//	asks in flight, no word for a second ──▶ alive? ──answers──▶ wait on, ask again after twice as long
//	                                            │
//	                                            └─ nothing for a second and a half ──▶ lost: its asks end, others are wanted,
//	                                                                                 and the scheduler hears of whom
const (
	vigilAfter = time.Second             // silence until a parent is asked for a sign of life
	vigilMost  = 8 * time.Second         // longest pause between two questions
	vigilWait  = 1500 * time.Millisecond // longest wait for the answer
)

// vigil is what a link knows of its parent's life.
type vigil struct {
	heard time.Time     // last word of it, or when it began to owe one
	pause time.Duration // silence until it is asked
	owes  int           // asks in flight
	asked bool          // an answer for its health is due
}

func (v *vigil) hear(t time.Time) { v.heard, v.pause = t, vigilAfter }

// owe notes one more ask in flight.
func (v *vigil) owe(t time.Time) {
	if v.owes++; v.owes == 1 {
		v.hear(t)
	}
}

// progress notes what came in since the last look.
func (l *loop) progress(k *asking, t time.Time) {
	got := k.received.Load()
	if from := l.links[k.ask.From]; from != nil && got != k.seen {
		from.vigil.hear(t)
	}
	k.seen = got
	l.picker.Progress(k.ask.ID, got, t)
}

// paid takes an ask out that is over. What a parent answered, whatever it was, is a word of it.
func (l *loop) paid(k *asking, err error, t time.Time) {
	from := l.links[k.ask.From]
	if from == nil {
		return
	}
	from.vigil.owes--
	if kind := darter.KindOf(err); err == nil || kind != darter.Unavailable && kind != darter.TimedOut {
		from.vigil.hear(t)
	}
}

// watchOver asks parents that owe something and are silent for a sign of life.
func (l *loop) watchOver(t time.Time) {
	var silent []*link
	for _, k := range l.links {
		if v := &k.vigil; v.owes > 0 && !v.asked && !k.lost && t.Sub(v.heard) >= v.pause {
			silent = append(silent, k)
		}
	}
	slices.SortFunc(silent, func(a, b *link) int { return cmp.Compare(a.parent.Peer, b.parent.Peer) })
	for _, k := range silent {
		k.vigil.asked = true
		d, p := l.d, k.parent
		d.spawn(func() {
			ctx, cancel := context.WithTimeout(d.ctx, vigilWait)
			defer cancel()
			err := d.e.cfg.Neighbours.Alive(ctx, p)
			d.post(func(l *loop) { l.proved(k, t, err) })
		})
	}
}

// proved takes the answer of a parent that was asked for a sign of life at asked, or that there was none.
func (l *loop) proved(k *link, asked time.Time, err error) {
	v, t := &k.vigil, now()
	v.asked = false
	switch {
	case l.d.ctx.Err() != nil || v.heard.After(asked) || k.lost || l.links[k.parent.Peer] != k:
	case err == nil:
		v.heard, v.pause = t, min(2*v.pause, vigilMost)
	default:
		k.cancel()
		l.lose(k, Silent)
	}
}

// lose gives a parent up: what was asked of it is asked of others, and the scheduler is told.
func (l *loop) lose(k *link, why FailReason) {
	k.lost = true
	l.picker.Gone(k.parent.Peer)
	for _, a := range l.asks {
		if a.ask.From == k.parent.Peer && !a.dropped {
			a.stalled = true
			a.cancel()
		}
	}
	l.failed(k.parent.Peer, why)
	if l.talk != nil {
		l.talk.Report(darter.Report{Kind: darter.NeedOthers, Lost: []darter.Parent{k.parent}, Answered: k.well})
		l.askedFor = now()
	}
}
