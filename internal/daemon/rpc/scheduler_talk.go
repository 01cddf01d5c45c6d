package rpc

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	schedulerv2 "d7y.io/api/v2/pkg/apis/scheduler/v2"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
)

// maxHeldText bounds what goes into the headers of a request.
const maxHeldText = 4 << 10

// open opens the stream and sends the registration.
func (c *Conversation) open(ctx context.Context, l *link) (schedulerv2.Scheduler_AnnouncePeerClient, error) {
	limit, why := c.m.s.cfg.HeaderTimeout, errNoHeaders
	if l.conn.GetState() != connectivity.Ready { // the call waits for a connection, which a frozen process never completes
		limit, why = c.m.patience(), errNoLink
	}
	late := time.AfterFunc(limit, func() { c.cancel(c.unavailable(why)) })
	defer late.Stop()
	// One of our own schedulers decides at the registration, before the piece reports that say the same.
	told := ctx
	if held := c.reg.Held.String(); !c.reg.Held.Empty() && len(held) <= maxHeldText {
		told = metadata.AppendToOutgoingContext(ctx, wire.MetaHeld, held)
	}
	stream, err := schedulerv2.NewSchedulerClient(l.conn).AnnouncePeer(told)
	if err == nil {
		err = stream.Send(c.registration())
		if errors.Is(err, io.EOF) { // the stream is over; the status says why
			_, err = stream.Recv()
		}
	}
	if err == nil {
		return stream, nil
	}
	err = c.verdict(context.Cause(ctx), err)
	if worthResting(err) && !errors.Is(context.Cause(ctx), context.Canceled) {
		c.m.failed(err)
	}
	return nil, err
}

// run speaks until the stream is over, twice when the scheduler had to be introduced to this host.
func (c *Conversation) run(ctx context.Context, l *link, stream schedulerv2.Scheduler_AnnouncePeerClient) {
	err := c.exchange(ctx, l, stream)
	if c.isStranger(err) && c.rewind() {
		if c.m.s.cfg.Introduce(ctx, c.m.at) == nil {
			var again schedulerv2.Scheduler_AnnouncePeerClient
			if again, err = c.open(ctx, l); err == nil {
				err = c.exchange(ctx, l, again)
			}
		}
	}
	c.end(ctx, err)
}

// isStranger reports whether the scheduler says that it does not know this host. A plain Dragonfly scheduler
// uses the same code for other things, after which a peer's name must not be used again.
func (c *Conversation) isStranger(err error) bool {
	if err == nil || darter.KindOf(err) != darter.NotFound || c.m.s.cfg.Introduce == nil {
		return false
	}
	native, _ := c.m.isNative()
	return native || strings.Contains(err.Error(), "host")
}

// exchange sends and receives on one stream until it is over. It returns nil when the scheduler closed
// it after the terminal message.
func (c *Conversation) exchange(ctx context.Context, l *link, stream schedulerv2.Scheduler_AnnouncePeerClient) error {
	beside, stop := context.WithCancel(ctx)
	heard := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() { c.send(beside, stream, heard) })
	others.Go(func() { c.listen(beside, l) })
	err := c.receive(ctx, stream, heard)
	stop()
	others.Wait()
	return err
}

func (c *Conversation) receive(ctx context.Context, stream schedulerv2.Scheduler_AnnouncePeerClient, heard chan<- struct{}) error {
	late := time.AfterFunc(c.m.s.cfg.HeaderTimeout, func() { c.cancel(c.unavailable(errNoHeaders)) })
	header, err := stream.Header()
	late.Stop()
	if err == nil && header != nil {
		c.m.heard(header)
		c.m.lives(time.Now())
		close(heard)
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return c.parted()
		}
		if err != nil {
			return wire.FromStatus(schedulerOp("speak with", c.m.at), err)
		}
		c.m.lives(time.Now())
		if !c.turn(ctx) {
			return context.Cause(ctx)
		}
		c.settle()
		if advice, ok := c.advise(m); ok {
			c.tell(ctx, advice)
		}
		c.turned()
	}
}

// turn waits for the right to tell advice, until ctx ends. It is given back by turned.
func (c *Conversation) turn(ctx context.Context) bool {
	select {
	case c.telling <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *Conversation) turned() { <-c.telling }

// tell passes advice on, unless it is of no more use.
func (c *Conversation) tell(ctx context.Context, a darter.Advice) {
	select {
	case c.advice <- a:
	case <-c.finishing:
	case <-ctx.Done():
	}
}

// parted tells a stream that ended after the terminal message from one that ended before.
func (c *Conversation) parted() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.parting {
		return nil
	}
	return c.unavailable(errEarlyEnd)
}

// send writes held pieces, then reports as they come, then the terminal message. It returns when that
// is done, the stream breaks (the receiver learns why) or ctx ends.
func (c *Conversation) send(ctx context.Context, stream schedulerv2.Scheduler_AnnouncePeerClient, heard <-chan struct{}) {
	if !c.sendHeld(ctx, stream, heard) {
		return
	}
	for {
		m, last := c.next()
		if m == nil {
			select {
			case <-c.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		if stream.Send(m) != nil {
			return
		}
		if last {
			_ = stream.CloseSend()
			return
		}
	}
}

// sendHeld waits, when there is something to tell, until it is known who listens.
func (c *Conversation) sendHeld(ctx context.Context, stream schedulerv2.Scheduler_AnnouncePeerClient, heard <-chan struct{}) bool {
	if c.reg.Held.Empty() || !c.reg.Want.LayoutKnown {
		return true
	}
	native, known := c.m.isNative()
	if !known {
		select {
		case <-heard:
		case <-ctx.Done():
			return false
		}
		native, _ = c.m.isNative()
	}
	if !native {
		return true
	}
	for m := range c.heldPieces {
		if ctx.Err() != nil || stream.Send(m) != nil {
			return false
		}
	}
	return true
}
