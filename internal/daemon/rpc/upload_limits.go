package rpc

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
)

// countUnary and countStream refuse what is too much, and tell of the rest.
func (u *Upload) countUnary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (answer any, err error) {
	defer u.served(info.FullMethod, time.Now(), &err)
	if err := u.admit(info.FullMethod); err != nil {
		return nil, err
	}
	return handle(ctx, request)
}

func (u *Upload) countStream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	defer u.served(info.FullMethod, time.Now(), &err)
	if err := u.admit(info.FullMethod); err != nil {
		return err
	}
	if err := u.enter(); err != nil {
		return err
	}
	defer u.leave()
	return handle(server, stream)
}

func (u *Upload) served(method string, began time.Time, err *error) {
	if u.cfg.Events.Served != nil {
		u.cfg.Events.Served(method, time.Since(began), wire.FromStatus(method, *err))
	}
}

// admit takes a request within the rate. Health checks always pass: who asks them must not conclude from a
// busy host that it is dead.
func (u *Upload) admit(method string) error {
	if strings.HasPrefix(method, "/grpc.health.") || u.requests.Allow() {
		return nil
	}
	return status.Errorf(codes.ResourceExhausted, "this host takes %g requests per second, try again later", u.cfg.RequestRate)
}

// enter counts a stream.
func (u *Upload) enter() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.mu.stopped:
		return wire.Status(shuttingDown("open a stream"))
	case u.mu.streams >= u.cfg.MaxStreams:
		return status.Errorf(codes.ResourceExhausted, "this host serves %d streams already, try another", u.mu.streams)
	}
	u.mu.streams++
	return nil
}

func (u *Upload) leave() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.mu.streams--
}

func shuttingDown(op string) error {
	return &darter.Error{Kind: darter.Unavailable, Op: op, Err: errors.New("this host is shutting down"), Hint: "ask another host"}
}
