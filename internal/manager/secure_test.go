package manager

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	managerv2 "d7y.io/api/v2/pkg/apis/manager/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/darter-p2p/darter/internal/pki"
)

// sourceFor makes a certificate of an authority's.
func sourceFor(t *testing.T, a *pki.Authority, role pki.Role) *pki.Source {
	t.Helper()
	q, err := pki.NewRequest(nil, nil)
	require.NoError(t, err)
	who := pki.Identity{Role: role, Node: "n"}
	if role != pki.Manager {
		who.Cluster = "1"
	}
	issued, err := a.Sign(q.CSR, pki.Grant{Identity: who, Life: time.Hour}, time.Now())
	require.NoError(t, err)
	dir := t.TempDir()
	files := pki.Files{Node: filepath.Join(dir, "node.pem"), Trust: filepath.Join(dir, "trust.pem")}
	require.NoError(t, files.Save(q, issued))
	s, err := pki.Open(pki.SourceConfig{Files: files})
	require.NoError(t, err)
	return s
}

// TestWithCertificatesEachRoleDoesItsOwn calls a manager that has a certificate as each role, as a stranger, and in the
// clear.
func TestWithCertificatesEachRoleDoesItsOwn(t *testing.T) {
	a, err := pki.Init(t.TempDir(), time.Now())
	require.NoError(t, err)
	stranger, err := pki.Init(t.TempDir(), time.Now())
	require.NoError(t, err)
	calls, pages := bufconn.Listen(1<<16), bufconn.Listen(1<<16)
	cfg := DefaultConfig()
	cfg.GRPC, cfg.HTTP, cfg.DataDir, cfg.TLS = calls, pages, t.TempDir(), sourceFor(t, a, pki.Manager)
	m, err := New(t.Context(), cfg)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- m.Run(ctx) }()
	<-m.Ready()
	update := func(as credentials.TransportCredentials) codes.Code {
		conn, err := grpc.NewClient("passthrough:///m", grpc.WithTransportCredentials(as), grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return calls.DialContext(ctx) }))
		require.NoError(t, err)
		defer conn.Close()
		_, err = managerv2.NewManagerClient(conn).UpdateScheduler(t.Context(), updateOf("s", "10.0.0.1", 1))
		return status.Code(err)
	}
	require.Equal(t, codes.OK, update(credentials.NewTLS(sourceFor(t, a, pki.Scheduler).Client(pki.Manager, ""))))
	require.Equal(t, codes.PermissionDenied, update(credentials.NewTLS(sourceFor(t, a, pki.Daemon).Client(pki.Manager, ""))))
	require.Equal(t, codes.Unavailable, update(credentials.NewTLS(sourceFor(t, stranger, pki.Scheduler).Client(pki.Manager, ""))))
	require.Equal(t, codes.Unavailable, update(insecure.NewCredentials()))

	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return pages.DialContext(ctx) },
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}} // what is tested is that no certificate is asked for
	answer, err := (&http.Client{Transport: transport}).Get("https://m/v1/system")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, answer.StatusCode)
	require.NoError(t, answer.Body.Close())
	transport.CloseIdleConnections()
	stop()
	require.NoError(t, <-ran)
}
