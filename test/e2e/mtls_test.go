package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	managerv2 "d7y.io/api/v2/pkg/apis/manager/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/darter-p2p/darter/internal/cli/rest"
	"github.com/darter-p2p/darter/internal/pki"
	pkirest "github.com/darter-p2p/darter/internal/pki/rest"
)

// secured is a manager with an authority, and what joined it.
type secured struct {
	t       *testing.T
	dir     string
	ca      string
	manager *Node
}

func newSecured(t *testing.T, ctx context.Context) *secured {
	t.Helper()
	s := &secured{t: t, dir: shortDir(t)}
	s.ca = filepath.Join(s.dir, "ca")
	if r := darter(t, ctx, "admin", "ca", "init", s.ca); r.Code != 0 {
		t.Fatalf("make the authority: exit %d: %s", r.Code, r.Stderr)
	}
	s.manager = newManager(t, s.dir, "manager", "sqlite:"+filepath.Join(s.dir, "rows.db"))
	s.manager.role = append(s.manager.role, "--ca", s.ca)
	s.manager.Start(ctx)
	return s
}

// invite writes a join token into a file, as an operator would.
func (s *secured) invite(ctx context.Context, role, node string) string {
	s.t.Helper()
	r := darter(s.t, ctx, "admin", "join-token", "create", "--role", role, "--cluster", "1", "--node", node, "--manager", "unix://"+s.manager.Socket)
	if r.Code != 0 {
		s.t.Fatalf("invite: exit %d: %s", r.Code, r.Stderr)
	}
	file := filepath.Join(s.dir, "join-"+node)
	check(s.t, os.WriteFile(file, []byte(r.Stdout), 0o600))
	return file
}

// joins are the flags of a node that belongs to this manager.
func (s *secured) joins(token string) []string {
	return []string{"--manager", s.manager.Ready["manager_grpc"], "--manager-rest", s.manager.Ready["manager_http"], "--join-token-file", token}
}

// scheduler returns the state that the manager has of a scheduler.
func (s *secured) scheduler(ctx context.Context, hostname string) string {
	var out struct {
		Items []struct{ Hostname, State string }
	}
	if _, err := s.manager.ask(ctx, rest.Request{Op: "list schedulers", Path: "/v1/schedulers"}, &out); err != nil {
		return err.Error()
	}
	for _, m := range out.Items {
		if m.Hostname == hostname {
			return m.State
		}
	}
	return "unknown"
}

// update calls UpdateScheduler and says how that ended.
func (s *secured) update(ctx context.Context, as credentials.TransportCredentials) codes.Code {
	s.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+s.manager.Ready["manager_grpc"], grpc.WithTransportCredentials(as))
	check(s.t, err)
	defer conn.Close()
	_, err = managerv2.NewManagerClient(conn).UpdateScheduler(ctx, &managerv2.UpdateSchedulerRequest{SourceType: managerv2.SourceType_SCHEDULER_SOURCE,
		Hostname: "forged", Ip: "10.9.9.9", Port: 8002, SchedulerClusterId: 1})
	return status.Code(err)
}

// certificate is what a node keeps.
func (s *secured) certificate(n *Node, role pki.Role) (pki.Files, credentials.TransportCredentials) {
	s.t.Helper()
	files := pkirest.FilesIn(filepath.Join(n.Dir, "data", string(role), "tls"))
	about, err := os.Stat(files.Node)
	check(s.t, err)
	if about.Mode().Perm() != 0o600 {
		s.t.Errorf("%s has mode %v", files.Node, about.Mode())
	}
	own, err := pki.Open(pki.SourceConfig{Files: files})
	check(s.t, err)
	return files, credentials.NewTLS(own.Client(pki.Manager, ""))
}

// TestRolesMeetWithCertificates goes the operator's way: an authority, tokens, nodes that join, a download through them,
// a restart with the token gone, a revocation; and what is refused on the way.
func TestRolesMeetWithCertificates(t *testing.T) {
	ctx := deadline(t, 2*time.Minute)
	s := newSecured(t, ctx)
	o := NewOrigin(t, 0)
	content := Random(t, 9*mib, 91)
	page := o.Add("/f", content)

	token := s.invite(ctx, "scheduler", "sched")
	scheduler := newSchedulerAt(t, s.dir, place{}, append(s.joins(token), "--hostname", "sched")...)
	scheduler.Start(ctx)
	if !eventually(ctx, 20*time.Second, func() bool { return s.scheduler(ctx, "sched") == "active" }) {
		t.Fatalf("the manager has the scheduler as %q", s.scheduler(ctx, "sched"))
	}
	daemon := newDaemon(t, s.dir, "d", append(s.joins(s.invite(ctx, "daemon", "d")), "--seed")...)
	daemon.Start(ctx)
	Get(t, ctx, daemon, o.URL+"/f", content)
	wantOneCopy(t, page, content, 0)
	if n, err := scheduler.Metric(ctx, "register_peer_total"); err != nil || n < 1 {
		t.Errorf("the scheduler that the manager listed saw %v downloads, %v", n, err)
	}

	files, asScheduler := s.certificate(scheduler, pki.Scheduler)
	_, asDaemon := s.certificate(daemon, pki.Daemon)
	for name, c := range map[string]struct {
		as   credentials.TransportCredentials
		want codes.Code
	}{"a scheduler": {asScheduler, codes.OK}, "a daemon": {asDaemon, codes.PermissionDenied}, "nobody": {insecure.NewCredentials(), codes.Unavailable}} {
		if got := s.update(ctx, c.as); got != c.want {
			t.Errorf("%s calls UpdateScheduler: %v, want %v", name, got, c.want)
		}
	}

	before, err := os.ReadFile(files.Node)
	check(t, err)
	check(t, os.Remove(token))
	scheduler.Stop(ctx)
	s.manager.Stop(ctx)
	s.manager.Start(ctx) // with another certificate of its own
	scheduler.Start(ctx)
	if !eventually(ctx, 30*time.Second, func() bool { return s.scheduler(ctx, "sched") == "active" }) {
		t.Errorf("after a restart the manager has the scheduler as %q", s.scheduler(ctx, "sched"))
	}
	if after, err := os.ReadFile(files.Node); err != nil || string(after) != string(before) {
		t.Errorf("the restart changed the certificate, %v", err)
	}

	if r := darter(t, ctx, "admin", "certificate", "revoke", "sched", "--role", "scheduler", "--cluster", "1", "--manager", "unix://"+s.manager.Socket); r.Code != 0 {
		t.Errorf("revoke: exit %d: %s", r.Code, r.Stderr)
	}
	if got := s.update(ctx, asScheduler); got != codes.Unavailable {
		t.Errorf("a revoked scheduler calls UpdateScheduler: %v, want that it does not come through", got)
	}
	if !eventually(ctx, 40*time.Second, func() bool { return s.scheduler(ctx, "sched") == "inactive" }) {
		t.Errorf("the revoked scheduler, which runs on, is %q for the manager", s.scheduler(ctx, "sched"))
	}
}

// TestSecuredManagerToPeople asks REST from elsewhere, and has nodes join in ways that are refused.
func TestSecuredManagerToPeople(t *testing.T) {
	ctx := deadline(t, time.Minute)
	s := newSecured(t, ctx)
	url := "https://" + s.manager.Ready["manager_http"]
	if r := darter(t, ctx, "admin", "system", "--manager", url, "--cacert", filepath.Join(s.ca, "ca.pem")); r.Code != 0 {
		t.Errorf("ask over TLS: exit %d: %s", r.Code, r.Stderr)
	}
	if r := darter(t, ctx, "admin", "system", "--manager", url); r.Code == 0 || !strings.Contains(r.Stderr, "--cacert") {
		t.Errorf("ask an authority that is not trusted: exit %d: %s", r.Code, r.Stderr)
	}

	token := s.invite(ctx, "daemon", "somebody-else")
	r := darter(t, ctx, append([]string{"scheduler", "--data-dir", t.TempDir(), "--scheduler-listen", "127.0.0.1:0", "--scheduler-metrics", "127.0.0.1:0", "--hostname", "me"}, s.joins(token)...)...)
	if r.Code == 0 || !strings.Contains(r.Stderr, "another node") {
		t.Errorf("a token for another node: exit %d: %s", r.Code, r.Stderr)
	}
	check(t, os.Chmod(token, 0o644))
	r = darter(t, ctx, append([]string{"scheduler", "--data-dir", t.TempDir(), "--scheduler-listen", "127.0.0.1:0", "--scheduler-metrics", "127.0.0.1:0"}, s.joins(token)...)...)
	if r.Code == 0 || !strings.Contains(r.Stderr, "chmod 600") {
		t.Errorf("a token that others may read: exit %d: %s", r.Code, r.Stderr)
	}
	r = darter(t, ctx, "manager", "--data-dir", t.TempDir(), "--manager-grpc", "0.0.0.0:0", "--manager-http", "127.0.0.1:0")
	if r.Code == 0 || !strings.Contains(r.Stderr, "--allow-plain") {
		t.Errorf("a plain manager for everybody: exit %d: %s", r.Code, r.Stderr)
	}
}
