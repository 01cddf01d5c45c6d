package pki

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/darter-p2p/darter"
)

// Methods says which roles may call which gRPC methods. A key is "/package.Service/Method" or
// "/package.Service/*"; the former wins. What has no key is refused.
type Methods map[string][]Role

// Check returns Denied unless the role may call the method.
func (m Methods) Check(method string, i Identity) error {
	roles, known := m[method]
	if !known {
		roles = m[method[:strings.LastIndexByte(method, '/')+1]+"*"]
	}
	if slices.Contains(roles, i.Role) {
		return nil
	}
	return &darter.Error{Kind: darter.Denied, Op: "call " + clip(method), Hint: "this role has no business there; check which certificate the caller uses",
		Err: fmt.Errorf("%s may not", i)}
}

// Guard enforces Methods in a gRPC server.
type Guard struct {
	Methods Methods
	// Plain lets callers without TLS do everything: for one machine, and for networks that are trusted as a
	// whole. It has to be asked for, and a caller with TLS is checked all the same.
	Plain  bool
	Status func(error) error // turns a darter.Error into gRPC's; required
	// Verify, such as Source.Verify, looks at a connection again at each call and each message of a stream, so that
	// neither outlives what lets the caller in. Nil: what the handshake found holds as long as the connection.
	Verify func(*tls.ConnectionState) (Identity, string, error)
}

// IdentityFrom returns whom a gRPC call comes from; Denied when the connection has no certificate.
func IdentityFrom(ctx context.Context) (Identity, error) {
	state, err := connection(ctx)
	if err != nil {
		return Identity{}, err
	}
	return PeerIdentity(state)
}

func connection(ctx context.Context) (*tls.ConnectionState, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, refuse(errors.New("no peer"))
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return nil, refuse(errors.New("the connection has no TLS"))
	}
	return &info.State, nil
}

// caller is IdentityFrom, by a second look where there is one.
func (g Guard) caller(ctx context.Context) (Identity, error) {
	if g.Verify == nil {
		return IdentityFrom(ctx)
	}
	state, err := connection(ctx)
	if err != nil {
		return Identity{}, err
	}
	i, _, err := g.Verify(state)
	return i, err
}

func (g Guard) check(ctx context.Context, method string) error {
	if p, ok := peer.FromContext(ctx); g.Plain && ok {
		if _, secure := p.AuthInfo.(credentials.TLSInfo); !secure {
			return nil
		}
	}
	i, err := g.caller(ctx)
	if err == nil {
		err = g.Methods.Check(method, i)
	}
	if err != nil {
		return g.Status(err)
	}
	return nil
}

// Unary is for grpc.ChainUnaryInterceptor, first.
func (g Guard) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := g.check(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

// Stream is for grpc.ChainStreamInterceptor, first.
func (g Guard) Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := g.check(stream.Context(), info.FullMethod); err != nil {
		return err
	}
	if g.Verify != nil {
		stream = &watched{ServerStream: stream, look: func() error { return g.check(stream.Context(), info.FullMethod) }}
	}
	return next(srv, stream)
}

// watched is a stream that ends with what its caller was let in for.
type watched struct {
	grpc.ServerStream

	look func() error
}

// RecvMsg looks at the caller again once the message is there: streams last for weeks.
func (w *watched) RecvMsg(m any) error {
	if err := w.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	return w.look()
}
