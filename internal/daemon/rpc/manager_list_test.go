package rpc

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	managerv2 "d7y.io/api/v2/pkg/apis/manager/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/darter-p2p/darter"
)

// fakeManager holds requests against the generated rules, as the Go manager does.
type fakeManager struct {
	managerv2.UnimplementedManagerServer
	named []*managerv2.Scheduler
	slow  bool
	asked []*managerv2.ListSchedulersRequest
}

func (f *fakeManager) ListSchedulers(ctx context.Context, m *managerv2.ListSchedulersRequest) (*managerv2.ListSchedulersResponse, error) {
	f.asked = append(f.asked, m)
	if err := m.ValidateAll(); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if f.slow {
		<-ctx.Done()
	}
	return &managerv2.ListSchedulersResponse{Schedulers: f.named}, nil
}

func withManager(t *testing.T, f *fakeManager, h darter.Host, test func(*testing.T, *Manager)) {
	synctest.Test(t, func(t *testing.T) {
		door, server := bufconn.Listen(64<<10), grpc.NewServer()
		managerv2.RegisterManagerServer(server, f)
		go server.Serve(door)
		cfg := DefaultManagerConfig()
		cfg.Address, cfg.Host = "http://manager.example:65003", h
		cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			if address != "manager.example:65003" {
				return nil, fmt.Errorf("dialled %s", address)
			}
			return door.DialContext(ctx)
		}
		m, err := NewManager(cfg)
		if err != nil {
			t.Fatal(err)
		}
		test(t, m)
		_ = m.Close()
		server.Stop()
	})
}

func list(t *testing.T, m *Manager) ([]string, error) {
	var out []string
	err := m.ListSchedulers(t.Context(), func(at netip.AddrPort, cluster uint64) { out = append(out, fmt.Sprintf("%s in %d", at, cluster)) })
	return out, err
}

func TestManagerNamesSchedulers(t *testing.T) {
	f := &fakeManager{named: []*managerv2.Scheduler{
		{Ip: "scheduler.example", Port: 8002, SchedulerClusterId: 1}, {Ip: "10.0.0.1", Port: 0}, {Ip: "10.0.0.1", Port: 70000},
		{Ip: "10.0.0.2", Port: 8002, SchedulerClusterId: 4}, {Ip: "::ffff:10.0.0.3", Port: 8003},
	}}
	h := darter.Host{Kind: darter.Seed, Hostname: "_my_host", IP: netip.MustParseAddr("10.0.0.9"), IDC: "here", Version: "1", Commit: "abc", Cluster: 4}
	withManager(t, f, h, func(t *testing.T, m *Manager) {
		got, err := list(t, m)
		if want := []string{"10.0.0.2:8002 in 4", "10.0.0.3:8003 in 0"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("named %v, %v; want %v", got, err, want)
		}
		asked := f.asked[0]
		if asked.GetSourceType() != managerv2.SourceType_SEED_PEER_SOURCE || asked.GetHostname() != "my-host" || asked.GetIdc() != "here" || asked.GetSchedulerClusterId() != 4 {
			t.Errorf("asked as %v", asked)
		}
		f.named = f.named[:1]
		if _, err := list(t, m); darter.KindOf(err) != darter.Invalid || darter.HintOf(err) == "" {
			t.Errorf("when only a name is named: %v", err)
		}
		f.named = nil
		if got, err := list(t, m); err != nil || len(got) != 0 {
			t.Errorf("when nobody is named: %v, %v", got, err)
		}
		f.slow = true
		began := time.Now()
		if _, err := list(t, m); darter.KindOf(err) != darter.TimedOut || time.Since(began) != 10*time.Second {
			t.Errorf("a slow manager: %v after %s", err, time.Since(began))
		}
	})
}

func TestManagerAddress(t *testing.T) {
	for text, want := range map[string]string{
		"m:65003": "m:65003", "http://m:65003": "m:65003", "http://m:65003/": "m:65003", "[::1]:65003": "[::1]:65003",
		"": "", "m": "", ":65003": "", "https://m:65003": "", "http://m:65003/x": "",
	} {
		got, err := managerAddress(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q reads as %q, %v; want %q", text, got, err, want)
		}
	}
}
