package announce

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/inventory"
)

// leastSpan is the least time between two renewals, whatever a scheduler grants or prompts.
const leastSpan = 10 * time.Millisecond

// speaker speaks to one scheduler. Its goroutine owns it.
//
//	announce ─▶ lease? ─ yes ─▶ renew, renew, ... (announce when due) ─▶ broken ─▶ wait, jittered ─┐
//	   ▲          └─ no ─▶ wait for the interval ─┐                                               │
//	   └──────────────────────────────────────────┴───────────────────────────────────────────────┘
type speaker struct {
	a    *Announcer
	at   netip.AddrPort
	kick <-chan struct{}

	due  time.Time     // when to announce next
	wait time.Duration // after the next failure of an announcement
	last time.Time     // when an announcement was taken; zero before the first
	said darter.Host   // what it said, without what is measured

	retry     time.Time     // when to ask for a lease next
	leaseWait time.Duration // after the next failure of a lease
}

var (
	errSuperseded = errors.New("a later run of this host speaks")
	errNoGrant    = errors.New("it did not answer a renewal in time")
	errHasty      = errors.New("it asks before it was answered")
)

func (s *speaker) run(ctx context.Context) {
	cfg := &s.a.cfg
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		if !time.Now().Before(s.due) {
			s.announce(ctx)
		}
		next := s.due
		if cfg.Leases != nil && !s.last.IsZero() {
			if !time.Now().Before(s.retry) {
				s.hold(ctx)
				continue
			}
			if s.retry.Before(next) {
				next = s.retry
			}
		}
		timer.Reset(time.Until(next))
		select {
		case <-timer.C:
		case <-s.kick:
			s.due, s.retry = time.Time{}, time.Time{}
		case <-ctx.Done():
		}
	}
}

// announce makes an announcement and plans the next.
func (s *speaker) announce(ctx context.Context) {
	said := lasting(s.a.cfg.Host())
	if s.a.Introduce(ctx, s.at) != nil {
		s.due = time.Now().Add(jittered(s.wait))
		s.wait = min(2*s.wait, s.a.cfg.Max)
		return
	}
	s.last, s.said, s.wait = time.Now(), said, s.a.cfg.First
	s.due = s.last.Add(s.a.interval(s.at))
}

// lasting returns a host without the figures that change all the time.
func lasting(h darter.Host) darter.Host {
	h.CPU, h.Memory, h.Disk = darter.CPU{}, darter.Memory{}, darter.Disk{}
	h.Network.Rx, h.Network.Tx, h.Interval = 0, 0, 0
	return h
}

// hold keeps a lease as long as it lasts, and plans when to ask for the next.
func (s *speaker) hold(ctx context.Context) {
	cfg := &s.a.cfg
	t := &tenancy{speaker: s}
	err := t.hold(ctx)
	s.a.lease(s.at, false)
	if !s.last.IsZero() {
		s.due = earlier(s.due, s.last.Add(cfg.Interval))
	}
	if ctx.Err() != nil {
		return
	}
	if t.granted {
		s.leaseWait = cfg.First
	}
	wait := jittered(s.leaseWait)
	switch {
	case darter.KindOf(err) == darter.NotFound:
		wait = cfg.LeaseRecheck
	case errors.Is(err, errSuperseded):
		wait = jittered(cfg.Max)
	default:
		s.leaseWait = min(2*s.leaseWait, cfg.Max)
	}
	s.retry = time.Now().Add(wait)
	if cfg.Events.LeaseEnded != nil {
		cfg.Events.LeaseEnded(s.at, err)
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// tenancy is one lease.
type tenancy struct {
	*speaker
	lease   Lease
	seq     uint64 // of the last renewal
	heard   uint64 // the last that was granted
	sent    time.Time
	every   time.Duration // granted
	granted bool

	renew *time.Timer // the next renewal
	slow  *time.Timer // a renewal is not answered
	page  *time.Timer // the next answer
	full  *time.Timer // the next announcement

	questions []inventory.Question
	budget    *rate.Limiter // of locations
	ready     time.Time     // the budget allows the next answer
}

// word is what a scheduler said.
type word struct {
	grant     darter.Grant
	questions []inventory.Question
	err       error
}

// hold opens the lease and keeps it until it breaks (why is the error) or ctx ends.
func (t *tenancy) hold(ctx context.Context) error {
	// The lease outlives ctx by a moment, so that it ends in order.
	whole, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	stop := context.AfterFunc(ctx, cut)
	lease, err := t.a.cfg.Leases.Lease(whole, t.at)
	if !stop() && err == nil {
		err = context.Cause(ctx)
		lease.Close()
		drain(lease)
	}
	if err != nil {
		return err
	}
	t.lease = lease
	words, over := make(chan word), make(chan struct{})
	var receiver sync.WaitGroup
	receiver.Go(func() { receive(lease, words, over) })
	defer receiver.Wait()
	defer close(over)
	defer lease.Close()

	t.budget = rate.NewLimiter(rate.Limit(t.a.cfg.LocationRate), max(t.a.cfg.LocationRate, inventory.MaxPage))
	t.renew, t.slow, t.page, t.full = time.NewTimer(0), stopped(), stopped(), stopped()
	for _, timer := range []*time.Timer{t.renew, t.slow, t.page, t.full} {
		defer timer.Stop()
	}
	return t.speak(ctx, words)
}

func stopped() *time.Timer {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return timer
}

// receive passes on what the scheduler says until the lease is over; after over is closed, nobody listens any more.
func receive(l Lease, words chan<- word, over <-chan struct{}) {
	for {
		g, q, err := l.Receive()
		select {
		case words <- word{g, q, err}:
		case <-over:
			if err == nil {
				drain(l)
			}
			return
		}
		if err != nil {
			return
		}
	}
}

func drain(l Lease) {
	for {
		if _, _, err := l.Receive(); err != nil {
			return
		}
	}
}

func (t *tenancy) speak(ctx context.Context, words <-chan word) error {
	for {
		var err error
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.kick:
			t.announceSoon(0)
		case <-t.renew.C:
			err = t.say()
		case <-t.slow.C:
			err = &darter.Error{Kind: darter.TimedOut, Op: "renew the lease with scheduler " + t.at.String(), Err: errNoGrant}
		case <-t.page.C:
			err = t.answer()
		case <-t.full.C:
			t.announce(ctx)
			t.announceSoon(time.Until(t.due))
		case w := <-words:
			err = t.take(w)
		}
		if err != nil {
			return err
		}
	}
}

// announceSoon plans the next announcement, not closer to the last than the first wait after a failure.
func (t *tenancy) announceSoon(after time.Duration) {
	t.full.Reset(max(after, t.a.cfg.First-time.Since(t.last)))
}

// say sends a renewal, and sees to it that a host that changed is announced.
func (t *tenancy) say() error {
	cfg := &t.a.cfg
	h := cfg.Host()
	t.seq++
	r := darter.Renewal{Host: h.ID, Epoch: h.Epoch, Seq: t.seq}
	if cfg.Load != nil {
		r.Load = cfg.Load()
	}
	if cfg.Inventory != nil {
		r.Inventory, r.InventoryKnown = cfg.Inventory.Digest(t.at)
	}
	if lasting(h) != t.said && !t.last.IsZero() {
		t.announceSoon(0)
	}
	t.sent = time.Now()
	t.slow.Reset(cfg.Limit)
	return t.lease.Renew(r)
}

// take follows one word of the scheduler.
func (t *tenancy) take(w word) error {
	switch {
	case w.err != nil:
		return w.err
	case len(w.questions) > 0:
		if t.a.cfg.Inventory == nil || len(t.questions) > 0 {
			return &darter.Error{Kind: darter.Invalid, Op: "answer scheduler " + t.at.String(), Err: errHasty}
		}
		t.questions = w.questions
		t.page.Reset(time.Until(t.ready))
		return nil
	}
	return t.follow(w.grant)
}

func (t *tenancy) follow(g darter.Grant) error {
	events := &t.a.cfg.Events
	if g.Superseded {
		if events.Superseded != nil {
			events.Superseded(t.at, g.Epoch)
		}
		return &darter.Error{Kind: darter.Conflict, Op: "renew the lease with scheduler " + t.at.String(), Err: errSuperseded,
			Hint: "two machines use one host id, or a clock went back: give each machine a hostname and address of its own"}
	}
	if g.Seq > t.heard && g.Seq <= t.seq {
		t.heard = g.Seq
		t.grantedNow(g.Next)
	}
	if t.heard == t.seq {
		t.slow.Stop()
	}
	if g.Next > 0 && (g.Seq == 0 || g.Seq == t.seq) {
		t.every = max(g.Next, leastSpan)
		t.renew.Reset(max(t.every-time.Since(t.sent), 0))
	}
	if g.AnnounceFull {
		t.announceSoon(0)
	}
	if g.RenewNow {
		t.renew.Reset(max(leastSpan-time.Since(t.sent), 0))
	}
	return nil
}

// grantedNow notes that a renewal was granted. The first makes a lease: from now on announcements are rare.
func (t *tenancy) grantedNow(next time.Duration) {
	events := &t.a.cfg.Events
	if !t.granted {
		t.granted = true
		t.a.lease(t.at, true)
		t.due = t.last.Add(t.a.cfg.LeaseAnnounce)
		t.announceSoon(time.Until(t.due))
		if events.Leased != nil {
			events.Leased(t.at, next)
		}
	}
	if events.Renewed != nil {
		events.Renewed(t.at)
	}
}

// answer answers the next question; the one after it waits until the budget allows more.
func (t *tenancy) answer() error {
	q := t.questions[0]
	t.questions = t.questions[1:]
	a, err := t.a.cfg.Inventory.Answer(t.at, q)
	if err != nil {
		return err
	}
	t.ready = time.Now().Add(t.budget.ReserveN(time.Now(), len(a.Locations)).Delay())
	if len(t.questions) > 0 {
		t.page.Reset(time.Until(t.ready))
	}
	if t.a.cfg.Events.Told != nil {
		t.a.cfg.Events.Told(t.at, len(a.Locations))
	}
	return t.lease.Answer(a)
}
