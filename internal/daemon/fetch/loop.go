package fetch

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/daemon/fetch/pick"
)

// loop is the state of a running download. Only its goroutine touches it; others hand it events.
type loop struct {
	d      *download
	peer   darter.PeerID // of the conversation in progress
	picker *pick.Picker
	asks   map[uint64]*asking
	links  map[darter.PeerID]*link

	talk       Conversation // nil while there is none
	advice     <-chan darter.Advice
	toldStart  bool
	lastSource bool      // the last piece came from the source
	rejoinAt   time.Time // when to open a conversation again; zero while one is open or wanted by nobody
	opening    bool

	lively   time.Time // last sign of progress in the swarm
	askedFor time.Time // last NeedOthers
	alone    bool      // the source was allowed without the scheduler's word
	deaf     bool      // the scheduler spoken to gives no sign of life
	failures int       // at the source, in a row
	retryAt  time.Time // no source before
	verified bool      // a digest mismatch was answered once by fetching from the source
	fatal    error
}

func newLoop(d *download) *loop {
	h := uint64(14695981039346656037) // FNV-1a, to give every peer its own order
	for _, c := range []byte(d.peer) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	cfg := d.e.cfg.Pick
	if !d.info.Ranges { // only one stream, from the start, can bring anything
		cfg.SourceStreams, cfg.SourceRun = 1, math.MaxInt32
	}
	l := &loop{d: d, peer: d.peer, picker: pick.New(cfg, d.task.Meta().Layout, h), asks: map[uint64]*asking{},
		links: map[darter.PeerID]*link{}, lively: now(), opening: d.greeted}
	l.picker.Have(d.task.Pieces())
	return l
}

// run moves the download until everything wanted is here, or it cannot go on.
func (l *loop) run() error {
	d := l.d
	d.begun()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if err := l.look(); err != nil {
			if darter.KindOf(err) == darter.NoSpace {
				l.letGo()
			}
			return err
		}
		if l.picker.Missing().Empty() { // not the store's word: the events of the last pieces must be heard
			done, err := l.conclude()
			if done || err != nil {
				return err
			}
			continue
		}
		timer.Reset(l.step())
		if err := l.wait(timer.C); err != nil {
			return err
		}
	}
}

// letGo ends the asks in flight and waits for them, within a limit: the room that they write to is to be free when
// whoever asked hears that there was none.
func (l *loop) letGo() {
	for _, k := range l.asks {
		k.cancel()
	}
	limit := time.NewTimer(l.d.e.cfg.Farewell)
	defer limit.Stop()
	for len(l.asks) > 0 {
		select {
		case f := <-l.d.events:
			f(l)
		case <-limit.C:
			return
		case <-l.d.ctx.Done():
			return
		}
	}
}

// look checks what ends a download without success.
func (l *loop) look() error {
	set, empty := l.d.wanted()
	l.picker.Want(set)
	switch {
	case l.fatal != nil:
		return l.fatal
	case l.d.ctx.Err() != nil:
		return &darter.Error{Kind: darter.Unavailable, Op: "download " + l.d.task.Meta().URL, Err: errors.New("this daemon is stopping"),
			Hint: "the pieces that arrived are kept; ask again to go on"}
	case l.d.task.Removed():
		return &darter.Error{Kind: darter.NotFound, Op: "download " + l.d.task.Meta().URL, Err: errors.New("the task was deleted meanwhile")}
	case !empty.IsZero() && now().Sub(empty) >= l.d.e.cfg.Linger:
		return l.d.abandonedError()
	}
	return nil
}

// step starts and cancels asks, and returns how long nothing needs to be looked at.
func (l *loop) step() time.Duration {
	t := now()
	l.converse(t)
	l.picker.Urgent(l.d.urgent())
	for _, a := range l.asks {
		l.progress(a, t)
	}
	l.watchOver(t)
	grants := l.picker.Granted()
	held := t.Before(l.retryAt)
	if held {
		l.picker.Revoke()
	}
	dec := l.picker.Next(t)
	if held {
		l.picker.Grant(grants)
	}
	for _, c := range dec.Cancel {
		l.cancel(c)
	}
	for _, a := range dec.Start {
		l.start(a)
	}
	if l.relieve(t) { // after Next, which knows whether anything can be asked
		return 0
	}
	return l.pause(t, dec.Wake)
}

// pause bounds the wait: bytes in flight are looked at four times a second, everything else by its time.
func (l *loop) pause(t, wake time.Time) time.Duration {
	next := 10 * time.Second
	sooner := func(at time.Time) {
		if !at.IsZero() {
			next = min(next, max(at.Sub(t), time.Millisecond))
		}
	}
	sooner(wake)
	sooner(l.rejoinAt)
	if t.Before(l.retryAt) {
		sooner(l.retryAt)
	}
	if _, empty := l.d.wanted(); !empty.IsZero() {
		sooner(empty.Add(l.d.e.cfg.Linger))
	}
	if len(l.asks) > 0 {
		next = min(next, 250*time.Millisecond)
	} else {
		sooner(l.lively.Add(l.starving()))
		next = min(next, time.Second)
	}
	return next
}

// wait takes events until there are none at hand.
func (l *loop) wait(timer <-chan time.Time) error {
	select {
	case f := <-l.d.events:
		f(l)
	case a, open := <-l.advice:
		if !l.hush(a, open) {
			l.heed(a, open)
		}
	case <-timer:
	case <-l.d.ctx.Done():
		return nil // look says why
	}
	for range 256 {
		select {
		case f := <-l.d.events:
			f(l)
		default:
			return nil
		}
	}
	return nil
}

// hush takes the news that the scheduler is silent: until it speaks again, the download goes on as if there were none.
func (l *loop) hush(a darter.Advice, open bool) bool {
	if open && a.Kind == darter.Silent {
		l.deaf = true
		return true
	}
	if l.deaf && open && l.alone && !l.verified { // it coordinates again
		l.alone = false
		l.picker.Revoke()
	}
	l.deaf = false
	return false
}

// asked is how long a download that a scheduler asked for waits to be in touch with it.
const asked = 3 * time.Second

// starving returns how long to wait for pieces before the source is asked unasked.
func (l *loop) starving() time.Duration {
	if l.talk != nil && !l.deaf {
		return l.d.e.cfg.Patience
	}
	if l.d.e.cfg.Scheduler != nil && l.d.want.NeedSource && !l.deaf {
		return asked // the scheduler that asked is alive, even if the connection to it is not yet
	}
	if l.d.e.cfg.Scheduler == nil || (len(l.links) == 0 && !l.opening) {
		return 0
	}
	return l.d.e.cfg.Alone
}

// relieve goes to the source unasked when nothing moves, and asks for other parents when none is left. It reports
// whether there is something new to look at.
func (l *loop) relieve(t time.Time) bool {
	if !l.picker.Idle() || !l.picker.Granted().Empty() {
		if len(l.asks) > 0 {
			l.lively = t
		}
		return false
	}
	if l.talk != nil && l.toldStart && l.liveLinks() == 0 && t.Sub(l.askedFor) >= 3*time.Second {
		l.askedFor = t
		l.talk.Report(darter.Report{Kind: darter.NeedOthers, Lost: l.lostParents()})
	}
	if l.opening || t.Sub(l.lively) < l.starving() {
		return false
	}
	if l.d.want.DisableSource {
		l.fatal = l.noSource()
		return true
	}
	reason := NoScheduler
	if l.talk != nil && !l.deaf {
		reason = Starved
	}
	l.grantAlone(reason)
	return true
}

// grantAlone allows the source for everything missing, in an order of this host's own.
func (l *loop) grantAlone(reason FallbackReason) {
	if !l.alone && l.d.e.cfg.Scheduler != nil {
		if f := l.d.e.cfg.Events.Fallback; f != nil {
			f(l.d.id, reason)
		}
	}
	if l.talk != nil && !l.alone {
		l.talk.Report(darter.Report{Kind: darter.SourceStarted})
	}
	l.alone = true
	if len(l.links) > 0 {
		l.picker.Scatter()
	}
	l.picker.Grant(l.picker.Missing())
}

func (l *loop) noSource() error {
	return &darter.Error{Kind: darter.Unavailable, Op: "download " + l.d.task.Meta().URL,
		Err:  fmt.Errorf("no peer offers the pieces %s, and the source is not allowed", l.picker.Missing()),
		Hint: "try again later, or allow the source"}
}

// conclude verifies what arrived. It returns false when the download has to go on.
func (l *loop) conclude() (bool, error) {
	if ok, err := l.verify(); !ok || err != nil {
		return false, err
	}
	return l.d.tryEnd(), nil
}

// verify finishes a task all of whose pieces are here. When a digest does not match and some pieces came from
// peers, those are fetched again from the source, once.
func (l *loop) verify() (bool, error) {
	d := l.d
	if uint32(d.task.Pieces().Len()) < d.task.Meta().Layout.Count() {
		return true, nil
	}
	digests := d.digests()
	if len(digests) == 0 {
		digests = append(digests, "")
	}
	for _, want := range digests {
		err := d.task.Finish(want)
		if err == nil {
			continue
		}
		if darter.KindOf(err) != darter.Corrupt {
			return false, err
		}
		if l.refetch() {
			return false, nil
		}
		// Whoever expects this digest gets the error from its own session; the others are not harmed.
	}
	return true, nil
}

// refetch drops the pieces that peers gave, and reports whether there were any.
func (l *loop) refetch() bool {
	if l.verified || l.d.want.DisableSource {
		return false
	}
	l.verified = true
	var bad darter.PieceSet
	for n := range l.d.task.Pieces().All() {
		if p, ok := l.d.task.Piece(n); ok && p.Traffic == darter.FromPeer {
			bad.Add(n)
		}
	}
	if bad.Empty() || l.d.task.Drop(bad) != nil {
		return false
	}
	for id := range l.links {
		l.picker.Gone(id)
	}
	l.picker.Forget(bad)
	l.grantAlone(BadDigest)
	return true
}

// farewell ends everything beside the loop and tells the scheduler how it went.
func (l *loop) farewell(err error) {
	for _, a := range l.asks {
		a.cancel()
	}
	for _, k := range l.links {
		k.cancel()
	}
	if l.talk == nil {
		return
	}
	ctx, cancel := l.d.within(l.d.e.cfg.Farewell)
	defer cancel()
	_ = l.talk.Finish(ctx, darter.Outcome{Err: err, FromSource: l.lastSource})
	l.talk.Close()
}
