package notify

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/darter-p2p/darter/internal/database"
)

// Run numbers events and makes deliveries until ctx ends. Deliveries under way then are tried again later.
func (n *Notifier) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return n.keepNumbering(ctx) })
	group.Go(func() error { return n.keepDelivering(ctx) })
	return group.Wait()
}

func (n *Notifier) keepNumbering(ctx context.Context) error {
	sub := n.db.Subscribe(topicNew)
	defer sub.Close()
	for await(ctx, sub, n.cfg.Poll) {
		for count := numbered; count == numbered && ctx.Err() == nil; {
			var err error
			if count, err = n.Number(ctx); err != nil {
				n.failed(ctx, "number events", err)
				break
			}
		}
	}
	return nil
}

func (n *Notifier) keepDelivering(ctx context.Context) error {
	sub := n.db.Subscribe(topicDue)
	defer sub.Close()
	var work errgroup.Group
	free := make(chan struct{}, n.cfg.Workers)
	for await(ctx, sub, n.cfg.Poll) {
		for n.deliverSome(ctx, free, &work) {
		}
	}
	return work.Wait()
}

// deliverSome begins as many deliveries as are due and there are hands for; true tells that there may be more.
func (n *Notifier) deliverSome(ctx context.Context, free chan struct{}, work *errgroup.Group) bool {
	select {
	case <-ctx.Done():
		return false
	case free <- struct{}{}:
	}
	hands := 1
	for hands < n.cfg.Workers {
		select {
		case free <- struct{}{}:
			hands++
			continue
		default:
		}
		break
	}
	due, err := n.claim(ctx, hands)
	if err != nil {
		n.failed(ctx, "claim deliveries", err)
		due = nil
	}
	for range hands - len(due) {
		<-free
	}
	for i := range due {
		work.Go(func() error {
			defer func() { <-free }()
			a := n.post(ctx, &due[i])
			if ctx.Err() != nil {
				return nil // we stop: its lease ends, and somebody tries again
			}
			if err := n.settle(ctx, &due[i], a); err != nil {
				n.failed(ctx, "record delivery", err)
			}
			return nil
		})
	}
	return len(due) == hands
}

// await waits for a note or a while; false when ctx has ended.
func await(ctx context.Context, sub *database.Subscription, most time.Duration) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-sub.C():
	case <-timer.C:
	}
	return true
}

func (n *Notifier) failed(ctx context.Context, what string, err error) {
	if n.cfg.Events.Failed != nil && ctx.Err() == nil {
		n.cfg.Events.Failed(what, err)
	}
}
