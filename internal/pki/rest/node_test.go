package rest_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	managerv2 "d7y.io/api/v2/pkg/apis/manager/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/manager"
	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/enroll"
	"github.com/darter-p2p/darter/internal/pki"
	pkirest "github.com/darter-p2p/darter/internal/pki/rest"
)

// cluster is a manager with an authority, on loopback.
type cluster struct {
	t       *testing.T
	manager *manager.Manager
	calls   string // gRPC
	pages   string // REST
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	ca := t.TempDir()
	a, err := pki.Init(ca, time.Now())
	require.NoError(t, err)
	files := pkirest.FilesIn(t.TempDir())
	require.NoError(t, a.IssueTo(files, pki.Grant{Identity: pki.Identity{Role: pki.Manager, Node: "m"}}, time.Now()))
	c := &cluster{t: t}
	cfg := manager.DefaultConfig()
	cfg.DataDir, cfg.Authority, cfg.Reconnect = t.TempDir(), ca, 100*time.Millisecond
	cfg.TLS, err = pki.Open(pki.SourceConfig{Files: files, Revoked: func(serial string) bool { return c.manager.Revoked(serial) }})
	require.NoError(t, err)
	cfg.GRPC, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	cfg.HTTP, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c.calls, c.pages = cfg.GRPC.Addr().String(), cfg.HTTP.Addr().String()
	c.manager, err = manager.New(t.Context(), cfg)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- c.manager.Run(ctx) }()
	<-c.manager.Ready()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ran)
	})
	return c
}

func (c *cluster) desk() *enroll.Desk { return c.manager.Rooms().Desk }

// operator is who invites.
func operator() auth.Caller {
	return auth.Caller{Principal: auth.Principal{Kind: auth.System, ID: "test", Name: "test"}}
}

func (c *cluster) invite(role pki.Role, node string) string {
	c.t.Helper()
	_, text, err := c.desk().Invite(c.t.Context(), operator(), enroll.Invitation{Role: role, Cluster: "1", Node: node})
	require.NoError(c.t, err)
	return text
}

func (c *cluster) config(dir string, role pki.Role, text string) pkirest.Config {
	cfg := pkirest.DefaultConfig()
	cfg.Dir, cfg.Role, cfg.Node, cfg.Manager, cfg.Patience = dir, role, string(role)+"-1", c.pages, time.Second
	if text != "" {
		cfg.Token = func() (string, error) { return text, nil }
	}
	return cfg
}

// conn opens a connection to the manager's gRPC with a node's certificate.
func (c *cluster) conn(n *pkirest.Node) *grpc.ClientConn {
	c.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+c.calls, grpc.WithTransportCredentials(credentials.NewTLS(n.Client(pki.Manager, ""))))
	require.NoError(c.t, err)
	c.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func update(ctx context.Context, conn *grpc.ClientConn) codes.Code {
	_, err := managerv2.NewManagerClient(conn).UpdateScheduler(ctx, &managerv2.UpdateSchedulerRequest{SourceType: managerv2.SourceType_SCHEDULER_SOURCE,
		Hostname: "s", Ip: "10.0.0.1", Port: 8002, SchedulerClusterId: 1})
	return status.Code(err)
}

// TestANodeJoinsOnceAndKeepsWhatItGot goes from a token to a call, over a restart, with the token spent.
func TestANodeJoinsOnceAndKeepsWhatItGot(t *testing.T) {
	c := newCluster(t)
	dir, text := filepath.Join(t.TempDir(), "tls"), c.invite(pki.Scheduler, "scheduler-1")
	require.False(t, pkirest.Kept(dir))
	first, err := pkirest.Open(t.Context(), c.config(dir, pki.Scheduler, text))
	require.NoError(t, err)
	require.Equal(t, codes.OK, update(t.Context(), c.conn(first)))
	about, err := os.Stat(pkirest.FilesIn(dir).Node)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, about.Mode().Perm())
	require.True(t, pkirest.Kept(dir))

	cfg := c.config(dir, pki.Scheduler, "")
	cfg.Token = func() (string, error) { return "", errors.New("the token was looked at") }
	second, err := pkirest.Open(t.Context(), cfg)
	require.NoError(t, err)
	was, _ := first.Identity()
	is, _ := second.Identity()
	require.Equal(t, was, is)
	require.Equal(t, codes.OK, update(t.Context(), c.conn(second)))

	_, err = pkirest.Open(t.Context(), c.config(t.TempDir(), pki.Scheduler, text))
	require.Equal(t, darter.Denied, darter.KindOf(err), "a token is good once: %v", err)
}

// TestARoleIsWhatTheTokenSays has a daemon call what is for schedulers, and a daemon's token used by a scheduler.
func TestARoleIsWhatTheTokenSays(t *testing.T) {
	c := newCluster(t)
	node, err := pkirest.Open(t.Context(), c.config(t.TempDir(), pki.Daemon, c.invite(pki.Daemon, "")))
	require.NoError(t, err)
	require.Equal(t, codes.PermissionDenied, update(t.Context(), c.conn(node)))

	_, err = pkirest.Open(t.Context(), c.config(t.TempDir(), pki.Scheduler, c.invite(pki.Daemon, "")))
	require.Equal(t, darter.Conflict, darter.KindOf(err))
}

// TestRenewalAndRevocation renews over REST, as the background does; after a revocation there is nothing to be had any
// more, not over a connection that is open already either.
func TestRenewalAndRevocation(t *testing.T) {
	c := newCluster(t)
	dir := t.TempDir()
	node, err := pkirest.Open(t.Context(), c.config(dir, pki.Scheduler, c.invite(pki.Scheduler, "")))
	require.NoError(t, err)
	before, err := os.ReadFile(pkirest.FilesIn(dir).Node)
	require.NoError(t, err)
	require.NoError(t, node.Renew(t.Context()))
	after, err := os.ReadFile(pkirest.FilesIn(dir).Node)
	require.NoError(t, err)
	require.NotEqual(t, before, after)
	conn := c.conn(node)
	require.Equal(t, codes.OK, update(t.Context(), conn), "with the new one")

	who, _ := node.Identity()
	n, err := c.desk().Revoke(t.Context(), operator(), who)
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	require.Equal(t, codes.PermissionDenied, update(t.Context(), conn), "a connection that is open already")
	require.Error(t, node.Renew(t.Context()))
	require.Equal(t, codes.Unavailable, update(t.Context(), c.conn(node)), "a new connection")
}

// TestWhatIsNoManagerGetsNoToken meets managers that a token does not name, that speak in the clear, or are not there.
func TestWhatIsNoManagerGetsNoToken(t *testing.T) {
	ours, theirs := newCluster(t), newCluster(t)
	text := ours.invite(pki.Daemon, "")
	_, err := pkirest.Open(t.Context(), theirs.config(t.TempDir(), pki.Daemon, text))
	require.Equal(t, darter.Denied, darter.KindOf(err))
	require.ErrorContains(t, err, "not the one that the join token names")

	gone := ours.config(t.TempDir(), pki.Daemon, text)
	gone.Manager, gone.Patience = "127.0.0.1:1", 10*time.Millisecond
	_, err = pkirest.Open(t.Context(), gone)
	require.Equal(t, darter.Unavailable, darter.KindOf(err))

	_, err = pkirest.Open(t.Context(), ours.config(t.TempDir(), pki.Daemon, "not a token"))
	require.Equal(t, darter.Invalid, darter.KindOf(err))
	_, err = pkirest.Open(t.Context(), ours.config(t.TempDir(), pki.Daemon, ""))
	require.Equal(t, darter.NotFound, darter.KindOf(err))

	_, err = pkirest.Open(t.Context(), ours.config(t.TempDir(), pki.Daemon, text))
	require.NoError(t, err, "none of them has spent it")
}

// TestACertificateThatRanOutIsMadeAnew has a clock that runs ahead of the kept certificate.
func TestACertificateThatRanOutIsMadeAnew(t *testing.T) {
	c := newCluster(t)
	a, err := pki.Init(t.TempDir(), time.Now())
	require.NoError(t, err)
	dir := t.TempDir() // what is kept there is of another authority's, and over
	require.NoError(t, a.IssueTo(pkirest.FilesIn(dir), pki.Grant{Identity: pki.Identity{Role: pki.Daemon, Cluster: "1", Node: "n"}, Life: time.Hour}, time.Now().Add(-2*time.Hour)))
	_, err = pkirest.Open(t.Context(), c.config(dir, pki.Daemon, ""))
	require.Equal(t, darter.Invalid, darter.KindOf(err), "it has run out: %v", err)
	node, err := pkirest.Open(t.Context(), c.config(dir, pki.Daemon, c.invite(pki.Daemon, "")))
	require.NoError(t, err)
	require.Equal(t, codes.PermissionDenied, update(t.Context(), c.conn(node)), "it is a daemon that the manager knows")
}

// TestCallersMoveToAnotherConnection calls until the connection is another one. No call fails by that: else what a node
// opened with its last certificate would end with it.
func TestCallersMoveToAnotherConnection(t *testing.T) {
	c := newCluster(t)
	node, err := pkirest.Open(t.Context(), c.config(t.TempDir(), pki.Scheduler, c.invite(pki.Scheduler, "")))
	require.NoError(t, err)
	api := managerv2.NewManagerClient(c.conn(node))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	from := map[string]bool{}
	for len(from) < 3 {
		var p peer.Peer
		_, err := api.ListSchedulers(ctx, &managerv2.ListSchedulersRequest{SourceType: managerv2.SourceType_PEER_SOURCE, Hostname: "h", Ip: "10.0.0.2"}, grpc.Peer(&p))
		require.NoError(t, err)
		from[p.LocalAddr.String()] = true
	}
}
