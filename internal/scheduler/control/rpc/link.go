package rpc

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/scheduler/control"
)

// Config is what a link needs.
type Config struct {
	Agent   *control.Agent                                      // required
	Dial    func(ctx context.Context) (*grpc.ClientConn, error) // required; to some manager. The link closes it
	Cluster uint64                                              // of the scheduler
	Slots   uint32                                              // orders at once; default 8
	Version string                                              // of the build
	Report  time.Duration                                       // least time between two reports; default 1s
	First   time.Duration                                       // wait after the first stream that broke; default 500ms
	Most    time.Duration                                       // longest such wait; default 15s
	Events  Events
}

// Events tells what happened. Any may be nil.
type Events struct {
	Attached func()
	Broken   func(err error)
	Refused  func(lease darter.OrderLease, why string) // a report made no sense to the manager
}

// Link keeps an agent attached to a manager.
type Link struct {
	cfg Config
}

// New returns a link. Run runs it.
func New(cfg Config) (*Link, error) {
	if cfg.Agent == nil || cfg.Dial == nil {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "check control settings", Err: errors.New("agent or dial function is missing")}
	}
	for _, d := range []struct {
		at *time.Duration
		by time.Duration
	}{{&cfg.Report, time.Second}, {&cfg.First, 500 * time.Millisecond}, {&cfg.Most, 15 * time.Second}} {
		if *d.at == 0 {
			*d.at = d.by
		}
		if *d.at < 0 {
			return nil, &darter.Error{Kind: darter.Invalid, Op: "check control settings", Err: errors.New("a duration is negative")}
		}
	}
	if cfg.Slots == 0 {
		cfg.Slots = 8
	}
	return &Link{cfg: cfg}, nil
}

// attached is one stream.
type attached struct {
	l       *Link
	stream  darterv1.Control_AttachClient
	in      chan *darterv1.AttachResponse
	seq     uint64
	onWay   map[uint64]darter.OrderLease
	partial *darter.Order // an order of which parts are missing
}

// hello opens the conversation and returns how often to say that we live.
func (c *attached) hello() (time.Duration, error) {
	cfg := &c.l.cfg
	m := &darterv1.Hello{SchedulerId: cfg.Agent.ID(), ClusterId: cfg.Cluster, Slots: cfg.Slots, Version: cfg.Version, Held: wire.FromLeases(cfg.Agent.Held())}
	if err := c.stream.Send(&darterv1.AttachRequest{Message: &darterv1.AttachRequest_Hello{Hello: m}}); err != nil {
		return 0, err
	}
	first, err := c.stream.Recv()
	if err != nil {
		return 0, err
	}
	every := first.GetWelcome().GetHeartbeat().AsDuration()
	if every < 100*time.Millisecond || every > time.Hour {
		return 0, &darter.Error{Kind: darter.Invalid, Op: "attach to manager", Err: errors.New("its first message is no welcome that makes sense")}
	}
	return every, nil
}

// talk serves one stream until it breaks.
func (c *attached) talk(ctx context.Context, every time.Duration) error {
	beat, report := time.NewTicker(every), time.NewTicker(c.l.cfg.Report)
	defer beat.Stop()
	defer report.Stop()
	for {
		select {
		case <-ctx.Done():
			return c.farewell()
		case <-beat.C:
			m := &darterv1.Heartbeat{Held: wire.FromLeases(c.l.cfg.Agent.Held())}
			if err := c.stream.Send(&darterv1.AttachRequest{Message: &darterv1.AttachRequest_Heartbeat{Heartbeat: m}}); err != nil {
				return err
			}
		case <-report.C:
			if err := c.report(); err != nil {
				return err
			}
		case <-c.l.cfg.Agent.Kick(): // an order ended: say so at once
			if err := c.report(); err != nil {
				return err
			}
		case m, more := <-c.in:
			if !more {
				return errBroken
			}
			if err := c.take(ctx, m); err != nil {
				return err
			}
		}
	}
}

var errBroken = errors.New("the stream to the manager broke")

func (c *attached) report() error {
	for _, r := range c.l.cfg.Agent.Reports() {
		c.seq++
		c.onWay[c.seq] = r.Lease
		if err := c.stream.Send(&darterv1.AttachRequest{Message: &darterv1.AttachRequest_Report{Report: wire.FromOrderReport(c.seq, r)}}); err != nil {
			return err
		}
	}
	return nil
}

// farewell says what the agent still has to say when the scheduler stops, and hears the answers, for a while.
func (c *attached) farewell() error {
	wait := time.NewTimer(2 * time.Second)
	defer wait.Stop()
	leaving := &darterv1.Heartbeat{Held: wire.FromLeases(c.l.cfg.Agent.Held()), Leaving: true}
	if err := c.stream.Send(&darterv1.AttachRequest{Message: &darterv1.AttachRequest_Heartbeat{Heartbeat: leaving}}); err != nil {
		return err
	}
	for len(c.l.cfg.Agent.Held()) > 0 {
		if err := c.report(); err != nil {
			return err
		}
		select {
		case <-wait.C:
			return nil
		case <-c.l.cfg.Agent.Kick():
		case m, more := <-c.in:
			if !more {
				return nil
			}
			if ack := m.GetAck(); ack != nil {
				c.acked(ack)
			}
		}
	}
	return nil
}

func (c *attached) take(ctx context.Context, m *darterv1.AttachResponse) error {
	switch m := m.GetMessage().(type) {
	case *darterv1.AttachResponse_Order:
		return c.order(ctx, m.Order)
	case *darterv1.AttachResponse_Word:
		lease, err := wire.ToLease(m.Word.GetLease())
		if err != nil {
			return err
		}
		c.l.cfg.Agent.Word(lease, m.Word.GetLost())
	case *darterv1.AttachResponse_Ack:
		c.acked(m.Ack)
	}
	return nil // what a newer manager says beyond that
}

func (c *attached) acked(m *darterv1.Ack) {
	lease, known := c.onWay[m.GetSeq()]
	if !known {
		return
	}
	delete(c.onWay, m.GetSeq())
	switch {
	case m.GetLost():
		c.l.cfg.Agent.Word(lease, true)
	case m.GetRefused() != "":
		if c.l.cfg.Events.Refused != nil {
			c.l.cfg.Events.Refused(lease, m.GetRefused())
		}
		c.l.cfg.Agent.Acked(lease, false, false)
	default:
		c.l.cfg.Agent.Acked(lease, !m.GetAgain(), m.GetAgain())
	}
}

// order collects the parts of an order and begins it.
func (c *attached) order(ctx context.Context, m *darterv1.Order) error {
	part, err := wire.ToOrder(m)
	if err != nil {
		return err
	}
	if c.partial == nil {
		c.partial = &part
	} else if err := wire.JoinOrder(c.partial, part); err != nil {
		return err
	}
	if m.GetMore() {
		return nil
	}
	whole := *c.partial
	c.partial = nil
	c.l.cfg.Agent.Take(ctx, whole)
	return nil
}
