package rpc

import (
	"context"
	"sync"

	"google.golang.org/grpc/connectivity"
)

// Run keeps a connection to every scheduler in force, so that its end and its return are noticed within seconds
// and not at the next download. It returns when ctx ends.
func (s *Schedulers) Run(ctx context.Context) error {
	var watchers sync.WaitGroup
	defer watchers.Wait()
	watched := make(map[*member]context.CancelFunc)
	defer func() {
		for _, stop := range watched {
			stop()
		}
	}()
	for {
		members, changed := s.snapshot()
		there := make(map[*member]bool, len(members))
		for _, m := range members {
			there[m] = true
			if watched[m] == nil {
				each, stop := context.WithCancel(ctx)
				watched[m] = stop
				watchers.Go(func() { m.watch(each) })
			}
		}
		for m, stop := range watched {
			if !there[m] {
				stop()
				delete(watched, m)
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// watch keeps a connection open until ctx ends; when one is retired it goes on with the next.
func (m *member) watch(ctx context.Context) {
	for ctx.Err() == nil {
		l, err := m.acquire()
		if err != nil {
			return // the address cannot be dialled at all; calls will say so
		}
		m.attend(ctx, l)
		m.release(l)
	}
}

func (m *member) attend(ctx context.Context, l *link) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var waiter sync.WaitGroup
	waiter.Go(func() {
		select {
		case <-l.retired:
			cancel()
		case <-ctx.Done():
		}
	})
	defer waiter.Wait()
	defer cancel() // before waiter.Wait
	stood := false // a fresh connection is idle before its first use: that is no loss
	for {
		state := l.conn.GetState()
		stood = stood || state == connectivity.Ready
		if (stood || state != connectivity.Idle) && m.seen(state) && m.s.cfg.Events.Returned != nil {
			m.s.cfg.Events.Returned(m.at)
		}
		switch state {
		case connectivity.Idle:
			l.conn.Connect()
		case connectivity.Shutdown:
			return
		}
		if !l.conn.WaitForStateChange(ctx, state) {
			return
		}
	}
}
