package control

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/target"
)

// do carries an order out and says how it ended.
func (a *Agent) do(t *task) {
	why := "done"
	final := darter.OrderReport{Ended: true}
	switch t.order.Kind {
	case darter.PreheatFiles, darter.PreheatImage, darter.LocateTask, darter.PurgeTask:
		a.items(t)
	case darter.SyncHosts:
		final.Found = a.cfg.Hosts.KnownHosts()
		t.say(darter.OrderOutcome{})
	default:
		final.Failure, final.Text = darter.FailedInvalid, fmt.Sprintf("this scheduler does not know jobs of kind %q", t.order.Kind)
	}
	if cause := context.Cause(t.ctx); cause != nil {
		final, why = darter.OrderReport{Released: true}, cause.Error()
	}
	t.end(final)
	if a.cfg.Events.Ended != nil {
		a.cfg.Events.Ended(t.order.Lease, why)
	}
	a.kicked()
}

// plan chooses the hosts of an order before it begins.
func (a *Agent) plan(o *darter.Order) []darter.Target {
	if o.Kind == darter.SyncHosts { // its one "host" is this scheduler
		for _, h := range a.cfg.Hosts.KnownHosts() {
			return []darter.Target{{ID: darter.HostID(a.cfg.ID), IP: h.IP}}
		}
		return []darter.Target{{ID: darter.HostID(a.cfg.ID), IP: unspecified}}
	}
	return target.Choose(o, a.cfg.Hosts.KnownHosts())
}

func (a *Agent) items(t *task) {
	var group errgroup.Group
	group.SetLimit(int(max(t.order.TasksAtOnce, 1)))
	for _, it := range t.order.Items {
		if t.ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			if t.order.Targets.Scope == darter.OneSeed {
				a.anySeed(t, it)
			} else {
				a.everyHost(t, it)
			}
			return nil
		})
	}
	_ = group.Wait() // outcomes say what failed
}

func (a *Agent) everyHost(t *task, it darter.OrderItem) {
	var group errgroup.Group
	group.SetLimit(int(max(t.order.HostsAtOnce, 1)))
	for i := range t.hosts {
		if slices.Contains(it.Done, uint32(i)) {
			continue
		}
		if t.ctx.Err() != nil {
			break
		}
		group.Go(func() error { a.pair(t, it, uint32(i)); return nil })
	}
	_ = group.Wait()
}

// seedsPerTurn is how many seeds one attempt tries for an item.
const seedsPerTurn = 3

// anySeed brings an item to one seed, the next one when that fails in a way that another may not.
func (a *Agent) anySeed(t *task, it darter.OrderItem) {
	order := turn(t.hosts, it.Task)
	for n, host := range order {
		if n == seedsPerTurn || t.ctx.Err() != nil {
			return
		}
		if class := a.pair(t, it, host); class == "" || !class.Retryable() {
			return
		}
	}
}

// pair does one item at one host, within the limits, and keeps what came of it. The class is empty when it is done.
func (a *Agent) pair(t *task, it darter.OrderItem, host uint32) darter.Failure {
	select {
	case a.slots <- struct{}{}:
	case <-t.ctx.Done():
		return darter.FailedCanceled
	}
	defer func() { <-a.slots }()
	ctx := t.ctx
	if t.order.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.order.Timeout)
		defer cancel()
	}
	out, err := a.one(ctx, t, it, t.hosts[host])
	if t.ctx.Err() != nil && err != nil {
		return darter.FailedCanceled // unfinished, not failed
	}
	out.Item, out.Host = it.Number, host
	if err != nil {
		out.Failure, out.Text = classOf(ctx, err), err.Error()
	}
	t.say(out)
	return out.Failure
}

func (a *Agent) one(ctx context.Context, t *task, it darter.OrderItem, host darter.Target) (darter.OrderOutcome, error) {
	switch t.order.Kind {
	case darter.LocateTask:
		held, err := a.ask(ctx, host, it.Task)
		return darter.OrderOutcome{Held: held}, err
	case darter.PurgeTask:
		return a.purge(ctx, host, it.Task)
	}
	return a.preheat(ctx, host, it)
}

// preheat has a host fetch what it does not hold, and believes only what it sees.
func (a *Agent) preheat(ctx context.Context, host darter.Target, it darter.OrderItem) (darter.OrderOutcome, error) {
	if held, err := a.ask(ctx, host, it.Task); err != nil || held {
		return darter.OrderOutcome{Held: held}, err
	}
	task, bytes, err := a.cfg.Daemons.Fetch(ctx, host, it.Want)
	if err != nil {
		return darter.OrderOutcome{}, err
	}
	if task == "" {
		task = it.Task
	}
	held, err := a.ask(ctx, host, task)
	if err == nil && !held {
		err = &Failed{Class: darter.FailedUnchecked, Err: fmt.Errorf("%s says that it fetched task %s, and does not hold it", host.ID, task.Short())}
	}
	return darter.OrderOutcome{Bytes: bytes}, err
}

func (a *Agent) purge(ctx context.Context, host darter.Target, task darter.TaskID) (darter.OrderOutcome, error) {
	held, err := a.ask(ctx, host, task)
	if err != nil {
		return darter.OrderOutcome{}, err
	}
	// A part of the content is no reason to say that the host holds it, yet it is to go, too.
	if err := a.cfg.Daemons.Drop(ctx, host, task); err != nil {
		return darter.OrderOutcome{}, err
	}
	still, err := a.ask(ctx, host, task)
	if err == nil && still {
		err = &Failed{Class: darter.FailedUnchecked, Err: fmt.Errorf("%s says that it dropped task %s, and holds it", host.ID, task.Short())}
	}
	return darter.OrderOutcome{Held: held}, err
}

func (a *Agent) ask(ctx context.Context, host darter.Target, task darter.TaskID) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.Ask)
	defer cancel()
	return a.cfg.Daemons.Holds(ctx, host, task)
}

func classOf(ctx context.Context, err error) darter.Failure {
	if f, ok := errors.AsType[*Failed](err); ok {
		return f.Class
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return darter.FailedTimeout
	}
	return darter.FailedInternal
}
