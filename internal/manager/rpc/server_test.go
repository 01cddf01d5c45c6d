package rpc

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	managerv2 "d7y.io/api/v2/pkg/apis/manager/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

// rig is a server in a bubble, and its client.
type rig struct {
	managerv2.ManagerClient
	conn *grpc.ClientConn
	stop context.CancelFunc

	mu           sync.Mutex
	joined, lost []string
}

func run(t *testing.T, fixed []Scheduler, test func(*testing.T, *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{}
		note := func(list *[]string) func(Scheduler) {
			return func(s Scheduler) { r.mu.Lock(); defer r.mu.Unlock(); *list = append(*list, s.Hostname) }
		}
		s := New(Config{Fixed: fixed, TTL: 20 * time.Second, Events: Events{Joined: note(&r.joined), Lost: note(&r.lost)}})
		door, server := bufconn.Listen(64<<10), s.GRPC()
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = server.Serve(door) })
		running.Go(func() { _ = s.Watch(ctx) })
		conn, err := grpc.NewClient("passthrough:///m", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return door.DialContext(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		r.conn, r.ManagerClient = conn, managerv2.NewManagerClient(conn)
		r.stop = stop
		test(t, r)
		_ = conn.Close()
		stop()
		server.Stop()
		running.Wait()
	})
}

func (r *rig) names(t *testing.T, cluster uint64) []string {
	t.Helper()
	// A daemon's host name need not be one: nothing depends on it.
	list, err := r.ListSchedulers(t.Context(), &managerv2.ListSchedulersRequest{SourceType: managerv2.SourceType_PEER_SOURCE, Hostname: "a_b", Ip: "10.0.0.9", SchedulerClusterId: cluster})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range list.GetSchedulers() {
		out = append(out, s.GetHostname()+" "+s.GetState())
	}
	return out
}

func update(host, ip string, cluster uint64) *managerv2.UpdateSchedulerRequest {
	return &managerv2.UpdateSchedulerRequest{Hostname: host, Ip: ip, Port: 8002, SchedulerClusterId: cluster}
}

func TestListedAsAPlainDaemonNeedsIt(t *testing.T) {
	fixed := []Scheduler{
		{Cluster: 2, Hostname: "late", IP: netip.MustParseAddr("10.0.0.2"), Port: 8002},
		{Hostname: "early", IP: netip.MustParseAddr("fd00::1"), Port: 8002, IDC: "here"},
	}
	run(t, fixed, func(t *testing.T, r *rig) {
		list, err := r.ListSchedulers(t.Context(), &managerv2.ListSchedulersRequest{Hostname: "h", Ip: "10.0.0.9"})
		if err != nil || len(list.GetSchedulers()) != 2 {
			t.Fatal(list, err)
		}
		s := list.GetSchedulers()[0]
		if s.GetHostname() != "early" || s.GetIp() != "fd00::1" || s.GetPort() != 8002 || s.GetSchedulerClusterId() != 1 || s.GetState() != "active" || s.GetIdc() != "here" {
			t.Errorf("first %v", s)
		}
		for name, blob := range map[string][]byte{"client_config": s.GetSchedulerCluster().GetClientConfig(), "seed_client_config": s.GetSchedulerCluster().GetSeedClientConfig()} {
			if string(blob) != "{}" {
				t.Errorf("%s is %q; anything else than an object is an error to a plain daemon", name, blob)
			}
		}
		if s.GetId() == list.GetSchedulers()[1].GetId() {
			t.Error("two schedulers have one number")
		}
		if got := r.names(t, 2); !slices.Equal(got, []string{"late active"}) {
			t.Errorf("cluster 2 has %v", got)
		}
		h, err := healthv1.NewHealthClient(r.conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
		if err != nil || h.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("health %v, %v", h, err)
		}
	})
}

func TestAnnouncedSchedulersLiveAsLongAsTheyKeepAlive(t *testing.T) {
	run(t, nil, func(t *testing.T, r *rig) {
		first, err := r.UpdateScheduler(t.Context(), update("a", "10.0.0.1", 1))
		if err != nil || first.GetState() != "active" || first.GetId() == 0 {
			t.Fatal(first, err)
		}
		if _, err := r.UpdateScheduler(t.Context(), update("b", "10.0.0.2", 1)); err != nil {
			t.Fatal(err)
		}
		alive, err := r.KeepAlive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 12 {
			if err := alive.Send(&managerv2.KeepAliveRequest{Hostname: "a", Ip: "10.0.0.1", ClusterId: 1}); err != nil {
				t.Fatal(err)
			}
			<-time.After(5 * time.Second) // in the bubble
		}
		if got := r.names(t, 0); !slices.Equal(got, []string{"a active"}) {
			t.Errorf("after a minute of a's life: %v", got)
		}
		if got := r.names(t, 1); !slices.Equal(got, []string{"a active", "b inactive"}) {
			t.Errorf("cluster 1 by name: %v", got)
		}
		if _, err := alive.CloseAndRecv(); err != nil {
			t.Errorf("KeepAlive ended with %v", err)
		}
		<-time.After(time.Minute) // in the bubble
		again, err := r.UpdateScheduler(t.Context(), update("a", "10.0.0.1", 1))
		if err != nil || again.GetId() != first.GetId() {
			t.Errorf("back as %v, %v; want the number %d again", again, err, first.GetId())
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if !slices.Equal(r.joined, []string{"a", "b", "a"}) || !slices.Equal(r.lost, []string{"b", "a"}) {
			t.Errorf("joined %v, lost %v", r.joined, r.lost)
		}
	})
}

func TestRefusals(t *testing.T) {
	run(t, nil, func(t *testing.T, r *rig) {
		unspecified := update("a", "0.0.0.0", 1)
		for name, c := range map[string]struct {
			call func() error
			want codes.Code
		}{
			"a scheduler at no address": {func() error { _, err := r.UpdateScheduler(t.Context(), unspecified); return err }, codes.InvalidArgument},
			"a host name with spaces":   {func() error { _, err := r.UpdateScheduler(t.Context(), update("a b", "10.0.0.1", 1)); return err }, codes.InvalidArgument},
			"nobody by that name": {func() error {
				_, err := r.GetScheduler(t.Context(), &managerv2.GetSchedulerRequest{Hostname: "a", Ip: "10.0.0.1", SchedulerClusterId: 1})
				return err
			}, codes.NotFound},
			"keep alive of nobody": {func() error {
				return keepAlive(t, r, &managerv2.KeepAliveRequest{Hostname: "a", Ip: "10.0.0.1", ClusterId: 1})
			}, codes.NotFound},
			"keep alive of a seed": {func() error {
				return keepAlive(t, r, &managerv2.KeepAliveRequest{SourceType: managerv2.SourceType_SEED_PEER_SOURCE, Hostname: "a", Ip: "10.0.0.1", ClusterId: 1})
			}, codes.InvalidArgument},
			"a seed's own row": {func() error {
				_, err := r.UpdateSeedPeer(t.Context(), &managerv2.UpdateSeedPeerRequest{})
				return err
			}, codes.Unimplemented},
		} {
			if err := c.call(); status.Code(err) != c.want {
				t.Errorf("%s: %v, want %s", name, err, c.want)
			}
		}
		for i := range 1100 { // nobody can fill the memory
			ip := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
			_, err := r.UpdateScheduler(t.Context(), update("x", ip.String(), 1))
			if full := i >= 1024; full != (status.Code(err) == codes.Unavailable) {
				t.Fatalf("scheduler %d: %v", i, err)
			}
		}
		apps, err := r.ListApplications(t.Context(), &managerv2.ListApplicationsRequest{})
		if err != nil || len(apps.GetApplications()) != 0 {
			t.Errorf("applications %v, %v", apps, err)
		}
	})
}

func keepAlive(t *testing.T, r *rig, m *managerv2.KeepAliveRequest) error {
	stream, err := r.KeepAlive(t.Context())
	if err != nil {
		return err
	}
	if err := stream.Send(m); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_, err = stream.CloseAndRecv()
	return err
}

func TestAStopDoesNotWaitForSignsOfLife(t *testing.T) {
	run(t, []Scheduler{{Hostname: "a", IP: netip.MustParseAddr("10.0.0.1"), Port: 8002}}, func(t *testing.T, r *rig) {
		stream, err := r.KeepAlive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&managerv2.KeepAliveRequest{Hostname: "a", Ip: "10.0.0.1", ClusterId: 1}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.stop()
		began := time.Now()
		if err := stream.RecvMsg(&managerv2.SchedulerCluster{}); status.Code(err) != codes.Unavailable || time.Since(began) != 0 {
			t.Errorf("the stream ended with %v after %s, want unavailable at once", err, time.Since(began))
		}
	})
}
