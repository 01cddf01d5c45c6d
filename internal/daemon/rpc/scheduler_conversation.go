package rpc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	schedulerv2 "d7y.io/api/v2/pkg/apis/scheduler/v2"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
)

// Conversation is one open AnnouncePeer stream about one task.
//
//	Register ─▶ registration, held pieces ─▶ ┐
//	Report ───▶ queue ───────────────────────┼─▶ scheduler ─▶ Advice
//	Finish ───▶ terminal message ────────────┘       │
//	      ◀──── end ◀──────────────── closes stream ─┘
//
// A scheduler that does not know this host is introduced to it once; then everything said so
// far is said again.
type Conversation struct {
	host darter.HostID
	m    *member
	reg  darter.Registration

	advice    chan darter.Advice
	wake      chan struct{} // there is something to send
	finishing chan struct{} // closed by Finish and Close: advice is of no more use
	ended     chan struct{} // closed when the stream is over and err is set
	asked     chan struct{} // an answer is owed
	telling   chan struct{} // held by who sends advice
	cancel    context.CancelCauseFunc

	mu struct {
		sync.Mutex
		queue    []*schedulerv2.AnnouncePeerRequest // said before; from sent on: to be said again
		sent     int
		reports  []darter.Report // waiting to be rendered; see next
		answered bool            // the scheduler said something: what was sent need not be kept
		last     []*commonv2.Peer
		offered  map[darter.PeerID]*commonv2.Peer
		outcome  *darter.Outcome
		parting  bool // the terminal message is on its way
		closing  bool // finishing is closed
		owed     bool // the scheduler was asked something and said nothing since
		hushed   bool // the download knows that the scheduler is silent
		err      error
	}
}

var (
	errAbandoned = errors.New("the conversation was given up")
	errOverflow  = errors.New("it does not read what this host reports")
	errNoHeaders = errors.New("it did not answer in time")
	errNoLink    = errors.New("it did not take a connection in time")
	errEarlyEnd  = errors.New("it ended the conversation early")
)

// Register opens the conversation about one task with the task's scheduler and sends the registration.
// ctx bounds the whole conversation. A scheduler that cannot be reached, or failed a moment ago, is
// darter.Unavailable.
func (s *Schedulers) Register(ctx context.Context, r darter.Registration) (*Conversation, error) {
	m, err := s.responsible(r.Task)
	if err != nil {
		return nil, err
	}
	l, err := m.acquire()
	if err != nil {
		return nil, err
	}
	inner, cancel := context.WithCancelCause(ctx)
	c := &Conversation{
		host: s.cfg.Host, m: m, reg: r, cancel: cancel,
		advice: make(chan darter.Advice, 16), wake: make(chan struct{}, 1),
		finishing: make(chan struct{}), ended: make(chan struct{}), asked: make(chan struct{}, 1), telling: make(chan struct{}, 1),
	}
	c.mu.owed = true
	c.mu.offered = make(map[darter.PeerID]*commonv2.Peer)
	stream, err := c.open(inner, l)
	if err != nil {
		cancel(err)
		m.release(l)
		return nil, err
	}
	s.talks.Go(func() {
		defer m.release(l)
		c.run(inner, l, stream)
	})
	return c, nil
}

// Advice yields what the scheduler says. It is closed when the conversation ended, and Err tells why.
func (c *Conversation) Advice() <-chan darter.Advice { return c.advice }

// Err returns why the conversation ended: nil while it lasts, and when it ended well.
func (c *Conversation) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.err
}

// Report queues a report. When too many wait, the conversation is given up.
func (c *Conversation) Report(r darter.Report) {
	c.mu.Lock()
	over := len(c.mu.reports) >= c.m.s.cfg.Queue
	idle := c.mu.outcome != nil || c.mu.err != nil
	if !over && !idle {
		c.mu.reports = append(c.mu.reports, r)
	}
	c.mu.Unlock()
	switch {
	case idle: // nobody listens any more
	case over:
		c.cancel(c.unavailable(errOverflow))
	default:
		if r.Kind == darter.NeedOthers {
			c.owe()
		}
		c.stir()
	}
}

// Finish sends the terminal message after all queued reports, and waits until the scheduler has
// closed the stream or ctx ends.
func (c *Conversation) Finish(ctx context.Context, o darter.Outcome) error {
	c.mu.Lock()
	if c.mu.outcome == nil {
		c.mu.outcome = &o
	}
	c.mu.Unlock()
	c.deafen()
	c.stir()
	select {
	case <-c.ended:
		return c.Err()
	case <-ctx.Done():
	}
	err := &darter.Error{Kind: darter.TimedOut, Op: schedulerOp("end the conversation with", c.m.at), Err: context.Cause(ctx)}
	c.cancel(err)
	<-c.ended
	return err
}

// Close abandons the conversation without a word.
func (c *Conversation) Close() {
	c.deafen()
	c.cancel(c.unavailable(errAbandoned))
}

// deafen lets the receiver throw advice away, so that it gets to the end of the stream.
func (c *Conversation) deafen() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mu.closing {
		c.mu.closing = true
		close(c.finishing)
	}
}

func (c *Conversation) stir() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *Conversation) unavailable(err error) error {
	return unavailable(schedulerOp("speak with", c.m.at), err)
}

// next returns what is to be sent, nil when nothing waits. last is true for the terminal message.
func (c *Conversation) next() (m *schedulerv2.AnnouncePeerRequest, last bool) {
	for {
		c.mu.Lock()
		if c.mu.sent < len(c.mu.queue) { // said before, to a scheduler that did not know this host
			m = c.mu.queue[c.mu.sent]
			c.mu.sent++
			c.mu.Unlock()
			return m, false
		}
		if len(c.mu.reports) == 0 {
			o := c.mu.outcome
			c.mu.parting = o != nil
			c.mu.Unlock()
			if o == nil {
				return nil, false
			}
			return c.terminal(*o), true
		}
		r := c.mu.reports[0]
		c.mu.reports = c.mu.reports[1:]
		c.mu.Unlock()
		if m = c.message(r); m != nil {
			c.keep(m)
			return m, false
		}
	}
}

// keep notes a message as sent, for as long as it may have to be said again.
func (c *Conversation) keep(m *schedulerv2.AnnouncePeerRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mu.answered && len(c.mu.queue) < c.m.s.cfg.Queue {
		c.mu.queue = append(c.mu.queue, m)
		c.mu.sent = len(c.mu.queue)
	}
}

// settle drops what was kept, but for what is still to be said again: the scheduler knows this host.
func (c *Conversation) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.owed, c.mu.hushed = false, false
	c.mu.answered, c.mu.queue, c.mu.sent = true, c.mu.queue[c.mu.sent:], 0
}

// rewind makes everything said so far be said again, and reports whether that is possible.
func (c *Conversation) rewind() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.sent = 0
	c.mu.parting = false
	return !c.mu.answered
}

// end closes the conversation.
func (c *Conversation) end(ctx context.Context, err error) {
	cause := context.Cause(ctx) // before cancel sets one
	c.cancel(nil)
	err = c.verdict(cause, err)
	if err != nil && worthResting(err) && !errors.Is(err, errAbandoned) && !errors.Is(err, errEarlyEnd) && !errors.Is(cause, context.Canceled) {
		c.m.failed(err)
	}
	c.mu.Lock()
	c.mu.err = err
	c.mu.reports, c.mu.queue, c.mu.last, c.mu.offered = nil, nil, nil, nil
	c.mu.Unlock()
	close(c.advice)
	close(c.ended)
}

// verdict says why the conversation ended, in the words of whoever ended it.
func (c *Conversation) verdict(cause, err error) error {
	if err == nil {
		return nil
	}
	if ours, ok := errors.AsType[*darter.Error](cause); ok {
		return ours
	}
	if errors.Is(cause, context.DeadlineExceeded) {
		return &darter.Error{Kind: darter.TimedOut, Op: schedulerOp("speak with", c.m.at), Err: cause}
	}
	if cause != nil {
		return c.unavailable(cause)
	}
	return wire.FromStatus(schedulerOp("speak with", c.m.at), err)
}

// heldPieces renders the pieces that were here before, for one of our own schedulers. A plain Dragonfly
// scheduler would take their cost of nothing as a measurement.
func (c *Conversation) heldPieces(yield func(*schedulerv2.AnnouncePeerRequest) bool) {
	now := time.Now()
	for n := range c.reg.Held.All() {
		span := c.reg.Want.Layout.Span(n)
		if span.Length == 0 {
			continue
		}
		m := c.envelope()
		setPiece(m, darter.Piece{Number: n, Offset: span.Offset, Length: span.Length, Traffic: darter.FromCache, Created: now})
		if !yield(m) {
			return
		}
	}
}

func (c *Conversation) String() string { return fmt.Sprintf("%s about %s", c.m.at, c.reg.Task.Short()) }
