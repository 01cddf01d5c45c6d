package rpc

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc/stats"
)

// connections numbers the connections as they come, so that a leave that was under way for long can be told from a
// fresh one.
type connections struct{ last atomic.Uint64 }

type connKey struct{}

// connOf returns the number of the connection that a call came on; 0 when it is not known.
func connOf(ctx context.Context) uint64 {
	n, _ := ctx.Value(connKey{}).(uint64)
	return n
}

// TagConn implements stats.Handler.
func (c *connections) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return context.WithValue(ctx, connKey{}, c.last.Add(1))
}

// HandleConn implements stats.Handler.
func (c *connections) HandleConn(context.Context, stats.ConnStats) {}

// TagRPC implements stats.Handler.
func (c *connections) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC implements stats.Handler.
func (c *connections) HandleRPC(context.Context, stats.RPCStats) {}
