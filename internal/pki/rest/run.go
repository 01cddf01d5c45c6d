package rest

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// Run keeps the certificate young, and takes over files that somebody else exchanged, until ctx ends.
func (n *Node) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return n.Source.Run(ctx) })
	group.Go(func() error { return n.renewer.Run(ctx) })
	return group.Wait()
}
