package pki_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/pki"
)

// rules are those of a manager, in short.
var rules = pki.Methods{
	"/manager.v2.Manager/*":               {pki.Scheduler, pki.Daemon},
	"/manager.v2.Manager/UpdateScheduler": {pki.Scheduler},
	"/manager.v2.Manager/Nobody":          {},
}

func guarded(t *testing.T, plain bool, secure *pki.Source) string {
	t.Helper()
	guard := pki.Guard{Methods: rules, Plain: plain, Status: func(err error) error {
		if darter.KindOf(err) != darter.Denied {
			return status.Error(codes.Internal, err.Error())
		}
		return status.Error(codes.PermissionDenied, err.Error())
	}}
	options := []grpc.ServerOption{grpc.ChainUnaryInterceptor(guard.Unary), grpc.ChainStreamInterceptor(guard.Stream),
		grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
			if err := s.RecvMsg(&emptypb.Empty{}); err != nil {
				return err
			}
			return s.SendMsg(&emptypb.Empty{})
		})}
	if secure != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(secure.Server())))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(options...)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return l.Addr().String()
}

func call(t *testing.T, to, method string, creds credentials.TransportCredentials) codes.Code {
	t.Helper()
	conn, err := grpc.NewClient(to, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return status.Code(conn.Invoke(t.Context(), method, &emptypb.Empty{}, &emptypb.Empty{}))
}

// A daemon lists schedulers, and cannot pretend to be one.
func TestADaemonCannotCallUpdateScheduler(t *testing.T) {
	a, _ := authority(t)
	to := guarded(t, false, source(t, a, node(pki.Manager, "")))
	peers := map[pki.Role]*pki.Source{pki.Daemon: source(t, a, node(pki.Daemon, "c")), pki.Scheduler: source(t, a, node(pki.Scheduler, "c")), pki.Manager: source(t, a, node(pki.Manager, ""))}
	for _, c := range []struct {
		role   pki.Role
		method string
		want   codes.Code
	}{
		{pki.Daemon, "/manager.v2.Manager/ListSchedulers", codes.OK},
		{pki.Scheduler, "/manager.v2.Manager/ListSchedulers", codes.OK},
		{pki.Scheduler, "/manager.v2.Manager/UpdateScheduler", codes.OK},
		{pki.Daemon, "/manager.v2.Manager/UpdateScheduler", codes.PermissionDenied},
		{pki.Manager, "/manager.v2.Manager/UpdateScheduler", codes.PermissionDenied},
		{pki.Scheduler, "/manager.v2.Manager/Nobody", codes.PermissionDenied},
		{pki.Scheduler, "/manager.v3.Manager/ListSchedulers", codes.PermissionDenied},
		{pki.Scheduler, "/manager.v2.Manager2/ListSchedulers", codes.PermissionDenied},
	} {
		if got := call(t, to, c.method, credentials.NewTLS(peers[c.role].Client(pki.Manager, ""))); got != c.want {
			t.Errorf("%s calls %s: %v, want %v", c.role, c.method, got, c.want)
		}
	}
}

func TestPlainHasToBeAskedFor(t *testing.T) {
	const method = "/manager.v2.Manager/UpdateScheduler"
	if got := call(t, guarded(t, false, nil), method, insecure.NewCredentials()); got != codes.PermissionDenied {
		t.Errorf("plain connection, plain not asked for: %v", got)
	}
	if got := call(t, guarded(t, true, nil), method, insecure.NewCredentials()); got != codes.OK {
		t.Errorf("plain asked for: %v", got)
	}
	a, _ := authority(t)
	to := guarded(t, true, source(t, a, node(pki.Manager, "")))
	if got := call(t, to, method, credentials.NewTLS(source(t, a, node(pki.Daemon, "c")).Client(pki.Manager, ""))); got != codes.PermissionDenied {
		t.Errorf("a caller with TLS is checked also where plain is fine: %v", got)
	}
}

func TestNoIdentityWithoutAConnection(t *testing.T) {
	if _, err := pki.IdentityFrom(context.Background()); darter.KindOf(err) != darter.Denied {
		t.Errorf("%v", err)
	}
	if _, err := pki.PeerIdentity(nil); darter.KindOf(err) != darter.Denied || errors.Unwrap(err) == nil {
		t.Errorf("%v", err)
	}
}

// TestARevokedCallerLosesOpenStreams takes a certificate back in the middle of a stream: its next message is not handed
// on, and no other call is taken over the connection that is open.
func TestARevokedCallerLosesOpenStreams(t *testing.T) {
	a, _ := authority(t)
	var revoked atomic.Bool
	server := open(t, pki.SourceConfig{Files: issue(t, a, pki.Grant{Identity: node(pki.Manager, "")}), Revoked: func(string) bool { return revoked.Load() }})
	guard := pki.Guard{Methods: rules, Verify: server.Verify, Status: func(err error) error { return status.Error(codes.PermissionDenied, err.Error()) }}
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(server.Server())), grpc.ChainStreamInterceptor(guard.Stream), grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		for {
			if err := s.RecvMsg(&emptypb.Empty{}); err != nil {
				return err
			}
			if err := s.SendMsg(&emptypb.Empty{}); err != nil {
				return err
			}
		}
	}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(source(t, a, node(pki.Scheduler, "1")).Client(pki.Manager, ""))))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	echo := func(stream grpc.ClientStream) error {
		_ = stream.SendMsg(&emptypb.Empty{}) // what ended the stream is told by the next line
		return stream.RecvMsg(&emptypb.Empty{})
	}
	begin := func() grpc.ClientStream {
		stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/manager.v2.Manager/KeepAlive")
		if err != nil {
			t.Fatal(err)
		}
		return stream
	}
	stream := begin()
	if err := echo(stream); err != nil {
		t.Fatal(err)
	}
	revoked.Store(true)
	if err := echo(stream); status.Code(err) != codes.PermissionDenied {
		t.Errorf("the stream that was open: %v", err)
	}
	if err := echo(begin()); status.Code(err) != codes.PermissionDenied {
		t.Errorf("another stream over the same connection: %v", err)
	}
}
