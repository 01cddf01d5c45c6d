package pki

import (
	"context"
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
}

// IdentityFrom returns whom a gRPC call comes from; Denied when the connection has no certificate.
func IdentityFrom(ctx context.Context) (Identity, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Identity{}, refuse(errors.New("no peer"))
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return Identity{}, refuse(errors.New("the connection has no TLS"))
	}
	return PeerIdentity(&info.State)
}

func (g Guard) check(ctx context.Context, method string) error {
	if p, ok := peer.FromContext(ctx); g.Plain && ok {
		if _, secure := p.AuthInfo.(credentials.TLSInfo); !secure {
			return nil
		}
	}
	i, err := IdentityFrom(ctx)
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
	return next(srv, stream)
}
