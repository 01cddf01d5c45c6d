package rpc

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/retry"
)

// Run runs the agent and keeps it attached until ctx ends. A manager that is away or knows no control streams is asked
// again, ever more seldom; orders under way go on meanwhile.
func (l *Link) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return l.cfg.Agent.Run(ctx) })
	group.Go(func() error {
		for ctx.Err() == nil {
			_ = retry.Do(ctx, retry.Policy{First: l.cfg.First, Max: l.cfg.Most}, l.attach) // attach tells its errors
		}
		return nil
	})
	return group.Wait()
}

// attach serves one stream. Its error is nil when the stream did its work for a while before it broke: then the next
// one is opened with short waits again.
func (l *Link) attach(ctx context.Context) error {
	began := time.Now()
	err := l.once(ctx)
	l.cfg.Agent.Broken()
	if ctx.Err() != nil {
		return nil
	}
	if l.cfg.Events.Broken != nil {
		l.cfg.Events.Broken(err)
	}
	if time.Since(began) > 2*l.cfg.Most {
		return nil
	}
	return err
}

func (l *Link) once(ctx context.Context) error {
	conn, err := l.cfg.Dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	life, end := context.WithCancel(context.WithoutCancel(ctx)) // it outlives ctx by the farewell
	defer end()
	giveUp := context.AfterFunc(ctx, func() { time.AfterFunc(3*time.Second, end) })
	defer giveUp()
	stream, err := darterv1.NewControlClient(conn).Attach(life)
	if err != nil {
		return wire.FromStatus("attach to manager", err)
	}
	c := &attached{l: l, stream: stream, in: make(chan *darterv1.AttachResponse), onWay: map[uint64]darter.OrderLease{}}
	every, err := c.hello()
	if err != nil {
		return wire.FromStatus("attach to manager", err)
	}
	if l.cfg.Events.Attached != nil {
		l.cfg.Events.Attached()
	}
	var reader errgroup.Group
	var broke error
	reader.Go(func() error {
		defer close(c.in)
		for {
			m, err := stream.Recv()
			if err != nil {
				broke = err
				return nil
			}
			select {
			case c.in <- m:
			case <-life.Done():
				return nil
			}
		}
	})
	err = c.talk(ctx, every)
	_ = stream.CloseSend()
	end()
	_ = reader.Wait()
	if errors.Is(err, errBroken) && broke != nil {
		err = broke
	}
	return wire.FromStatus("attached to manager", err)
}
