package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/darter-p2p/darter/internal/cli"
	"github.com/darter-p2p/darter/internal/cli/rpc"
)

// signals returns a context that the first SIGINT or SIGTERM ends, so that everything stops in order. The
// second one ends the process at once.
func signals(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	heard := make(chan os.Signal, 2)
	signal.Notify(heard, syscall.SIGINT, syscall.SIGTERM)
	go func() { // ends with the process
		s := <-heard
		cancel(cli.Interrupted{Signal: s})
		s = <-heard
		os.Exit(int(cli.ExitOf(cli.Interrupted{Signal: s})))
	}()
	return ctx, func() { cancel(nil) }
}

// ahead starts, beside the reading of the command line, what a download needs later. It ends by itself, long before
// any download does.
func ahead(args []string) {
	if len(args) == 0 || args[0] != "get" {
		return
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // most downloads end before 16 MiB of heap, and collecting 4 would be a tenth of their time
	}
	go rpc.Prepare()
}

// role is a part of this process that runs until its context ends.
type role struct {
	name  string
	run   func(context.Context) error
	ready <-chan struct{} // nil: at once
	last  bool            // ends after all that are not: probes and metrics outlive the service
}

// runRoles runs all until ctx ends or one fails, then stops them. whenReady is called once, when all
// are ready.
func runRoles(ctx context.Context, roles []role, whenReady func()) error {
	group, inner := errgroup.WithContext(ctx)
	outer, stopOuter := context.WithCancel(context.WithoutCancel(ctx))
	defer stopOuter()
	var lasting errgroup.Group
	for _, r := range roles {
		if r.last {
			lasting.Go(func() error { return r.run(outer) })
			continue
		}
		group.Go(func() error { return r.run(inner) })
	}
	group.Go(func() error {
		for _, r := range roles {
			if r.ready == nil {
				continue
			}
			select {
			case <-r.ready:
			case <-inner.Done():
				return nil
			}
		}
		whenReady()
		return nil
	})
	err := group.Wait()
	stopOuter()
	if lerr := lasting.Wait(); err == nil {
		err = lerr
	}
	if ctx.Err() != nil && context.Cause(ctx) != nil && err == context.Cause(ctx) {
		return nil // a role that returns why it was stopped stopped well
	}
	return err
}

// background runs something that outlives the end of ctx until stop is called, which waits for it: what an
// interrupted download holds is to be written down.
func background(ctx context.Context, run func(context.Context) error) (stop func() error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	return func() error {
		cancel()
		err := <-ended
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	}
}
