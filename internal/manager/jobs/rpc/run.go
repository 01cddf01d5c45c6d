package rpc

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/darter-p2p/darter/internal/manager/jobs"
)

// startReader reads a stream beside its handler. It ends when the handler has returned, as gRPC then ends the
// stream's context.
func (s *Server) startReader(c *session) { go c.read() }

// Run does the work of clusters with plain schedulers until ctx ends; then it gives back what is under way.
func (b *Bridge) Run(ctx context.Context) error {
	var work errgroup.Group
	free := make(chan struct{}, b.cfg.Limit) // taken before a claim: what is claimed is begun at once
	tick := time.NewTicker(b.cfg.Look)
	defer tick.Stop()
	for {
		for claimed := true; claimed; {
			select {
			case <-ctx.Done():
				return work.Wait()
			case free <- struct{}{}:
			}
			o, at, err := b.look(ctx)
			if err != nil {
				b.failed(ctx, "look for work of plain schedulers", err)
			}
			if claimed = err == nil && o != nil; !claimed {
				<-free
				break
			}
			work.Go(func() error {
				defer func() { <-free }()
				if err := b.serve(ctx, o, at); err != nil && !jobs.IsLost(err) {
					b.failed(ctx, "drive a plain scheduler", err)
				}
				return nil
			})
		}
		select {
		case <-ctx.Done():
			return work.Wait()
		case <-tick.C:
		}
	}
}

func (b *Bridge) failed(ctx context.Context, what string, err error) {
	if b.cfg.Error != nil && ctx.Err() == nil {
		b.cfg.Error(what, err)
	}
}
