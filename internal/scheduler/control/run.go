package control

import (
	"context"
	"net/netip"
	"sync"

	"github.com/darter-p2p/darter"
)

var unspecified = netip.AddrFrom4([4]byte{})

// Run does orders until ctx ends. What is under way then is given back; it returns when all of it has stopped.
func (a *Agent) Run(ctx context.Context) error {
	var work sync.WaitGroup
	defer work.Wait()
	for {
		select {
		case <-ctx.Done():
			a.mu.Lock()
			for _, t := range a.mu.tasks {
				t.stop(errShutdown)
			}
			a.mu.Unlock()
			return nil
		case t := <-a.begin:
			work.Add(1)
			go func() {
				defer work.Done()
				defer t.stop(nil)
				a.do(t)
			}()
		}
	}
}

// Take begins an order. One that is under way already goes on; false when the agent does not run.
func (a *Agent) Take(ctx context.Context, o darter.Order) bool {
	hosts := a.plan(&o)
	life, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	t := &task{order: o, hosts: hosts, ctx: life, stop: stop}
	a.mu.Lock()
	if _, known := a.mu.tasks[o.Lease]; known {
		a.mu.Unlock()
		stop(nil)
		return true
	}
	a.mu.tasks[o.Lease] = t
	a.mu.Unlock()
	if a.cfg.Events.Began != nil {
		a.cfg.Events.Began(o.Lease, o.Kind, len(o.Items), len(hosts))
	}
	select {
	case a.begin <- t:
		return true
	case <-ctx.Done():
		stop(errShutdown)
		a.mu.Lock()
		delete(a.mu.tasks, o.Lease)
		a.mu.Unlock()
		return false
	}
}
