package rpc

import (
	"context"
	"errors"
	"io"
	"time"

	managerv2 "d7y.io/api/v2/pkg/apis/manager/v2"
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

// Run keeps this scheduler in a manager's list until ctx ends. A manager that is away is asked again, ever more seldom;
// what it said last holds meanwhile, also over a restart.
func (e *Enlistment) Run(ctx context.Context) error {
	e.recall()
	for ctx.Err() == nil {
		_ = retry.Do(ctx, retry.Policy{First: e.cfg.First, Max: e.cfg.Most}, e.serve) // serve tells its errors
	}
	return nil
}

// serve keeps one connection. Its error is nil when that worked for a while: then the next one is opened with short
// waits again.
func (e *Enlistment) serve(ctx context.Context) error {
	began := time.Now()
	err := e.alive(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if e.cfg.Events.Broken != nil {
		e.cfg.Events.Broken(err)
	}
	if time.Since(began) > 2*e.cfg.Most {
		return nil
	}
	return err
}

func (e *Enlistment) alive(ctx context.Context) error {
	conn, err := e.cfg.Dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	api := managerv2.NewManagerClient(conn)
	s, err := e.register(ctx, api)
	if err != nil {
		return err
	}
	e.learn(s)
	if e.cfg.Events.Enlisted != nil {
		e.cfg.Events.Enlisted(s)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := api.KeepAlive(ctx)
	if err != nil {
		return wire.FromStatus("keep alive with the manager", err)
	}
	beat, look := time.NewTicker(e.cfg.Every), time.NewTicker(e.cfg.Look)
	defer beat.Stop()
	defer look.Stop()
	sign := &managerv2.KeepAliveRequest{SourceType: managerv2.SourceType_SCHEDULER_SOURCE, Hostname: e.cfg.Hostname, Ip: e.cfg.At.Addr().String(), ClusterId: e.cfg.Cluster}
	for {
		if err := stream.Send(sign); err != nil {
			_, err = stream.CloseAndRecv() // says why the stream ended
			return wire.FromStatus("keep alive with the manager", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		case <-look.C:
			if err := e.look(ctx, api); err != nil {
				return err
			}
		}
	}
}

// Run keeps a manager informed until ctx ends.
func (t *Teller) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		_ = retry.Do(ctx, retry.Policy{First: t.cfg.First, Max: t.cfg.Most}, t.serve) // serve tells its errors
	}
	return nil
}

func (t *Teller) serve(ctx context.Context) error {
	began := time.Now()
	err := t.once(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if t.cfg.Events.Broken != nil {
		t.cfg.Events.Broken(err)
	}
	if time.Since(began) > 2*t.cfg.Most {
		return nil
	}
	return err
}

func (t *Teller) once(ctx context.Context) error {
	conn, err := t.cfg.Dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := darterv1.NewHostsClient(conn).Tell(ctx)
	if err != nil {
		return wire.FromStatus("tell the manager of hosts", err)
	}
	c := &telling{t: t, stream: stream}
	orders := make(chan *darterv1.HostsOrder)
	var reader errgroup.Group
	reader.Go(func() error {
		defer close(orders)
		for {
			m, err := stream.Recv()
			if err != nil {
				return err
			}
			select {
			case orders <- m:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	err = c.talk(ctx, orders)
	cancel()
	if broke := reader.Wait(); broke != nil && (err == nil || errors.Is(err, io.EOF)) {
		err = broke
	}
	return wire.FromStatus("tell the manager of hosts", err)
}

// talk tells of hosts until the stream breaks.
func (c *telling) talk(ctx context.Context, orders <-chan *darterv1.HostsOrder) error {
	cfg := &c.t.cfg
	if err := c.stream.Send(&darterv1.HostsReport{SchedulerId: cfg.ID, ClusterId: cfg.Cluster}); err != nil {
		return err
	}
	if err := c.table(); err != nil {
		return err
	}
	tables, vouches := time.NewTicker(cfg.Table), time.NewTicker(cfg.Vouch)
	defer tables.Stop()
	defer vouches.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case m, open := <-orders:
			if !open {
				return nil
			}
			if err = c.obey(m); err == nil {
				err = c.changes() // what came of it is seen at once
			}
		case <-tables.C:
			err = c.table()
		case <-vouches.C:
			err = c.stream.Send(&darterv1.HostsReport{})
		case <-c.pending():
			if err = c.gather(ctx); err == nil {
				err = c.changes()
			}
		}
		if err != nil {
			return err
		}
	}
}

// gather waits a moment, so that many events make one report.
func (c *telling) gather(ctx context.Context) error {
	timer := time.NewTimer(c.t.cfg.Gather)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
