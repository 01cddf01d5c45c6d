package daemon

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// firstLook bounds how long Ready waits for the first look for schedulers.
const firstLook = 2 * time.Second

// Run serves until ctx ends or a part fails; then it leaves the schedulers, lets uploads finish, and closes the store. It returns
// nil after an orderly stop.
func (d *Daemon) Run(ctx context.Context) error {
	defer d.close()
	// Three circles end one after the other: who announces and downloads, who serves, who speaks.
	inner, stopInner := context.WithCancelCause(ctx)
	defer stopInner(nil)
	outer, stopOuter := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopOuter(nil)
	var first, second sync.WaitGroup
	var failure atomic.Pointer[error]
	start := func(group *sync.WaitGroup, ctx context.Context, run func(context.Context) error) {
		group.Add(1)
		go func() {
			defer group.Done()
			if err := run(ctx); err != nil && ctx.Err() == nil {
				failure.CompareAndSwap(nil, &err)
				stopInner(err)
			}
		}()
	}
	changed := d.members.Changed()
	start(&second, outer, d.shelf.Run)
	start(&second, outer, d.schedulers.Run)
	start(&second, outer, d.upload.Run)
	start(&first, inner, d.engine.Run)
	start(&first, inner, d.socket.Run)
	start(&first, inner, d.noteAll)
	if d.sociable() {
		start(&first, inner, d.members.Run)
		start(&first, inner, d.announcer.Run)
		start(&first, inner, d.recallAll)
		await(inner, changed)
	}
	close(d.ready)
	<-inner.Done()
	first.Wait()
	if d.sociable() {
		d.announcer.Leave(outer)
	}
	d.shelf.Drain()
	d.upload.Drain()
	stopOuter(context.Cause(inner))
	second.Wait()
	if err := failure.Load(); err != nil {
		return *err
	}
	return nil
}

// await waits for the first set of schedulers, for a bounded time.
func await(ctx context.Context, changed <-chan struct{}) {
	timer := time.NewTimer(firstLook)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// recallers is how many tasks are told to schedulers at once.
const recallers = 8

// recallAll tells schedulers that do not ask which complete tasks this host holds, whenever one may not know.
func (d *Daemon) recallAll(ctx context.Context) error {
	for {
		select {
		case <-d.recall:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		var told, failed atomic.Int64
		var workers sync.WaitGroup
		tasks := make(chan store.Info)
		for range recallers {
			workers.Add(1)
			go func() {
				defer workers.Done()
				for i := range tasks {
					w := darter.Want{URL: i.URL, Tag: i.Tag, Application: i.Application, Layout: i.Layout, LayoutKnown: true}
					if err := d.engine.Recall(ctx, i.ID, w); err != nil {
						failed.Add(1)
						continue
					}
					told.Add(1)
				}
			}()
		}
		for _, i := range d.toRecall() {
			if ctx.Err() == nil {
				tasks <- i
			}
		}
		close(tasks)
		workers.Wait()
		if f := d.cfg.Events.Recalled; f != nil && told.Load()+failed.Load() > 0 {
			f(int(told.Load()), int(failed.Load()))
		}
	}
}
