package scheduler_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	managerv2 "d7y.io/api/v2/pkg/apis/manager/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/emptypb"

	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
	"github.com/darter-p2p/darter/internal/scheduler"
)

// placed is a listener in memory that says that it has an address.
type placed struct{ net.Listener }

func (placed) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 8002} }

// chief is a manager that can be away.
type chief struct {
	managerv2.UnimplementedManagerServer
	mu       sync.Mutex
	door     *bufconn.Listener // nil: away
	config   string
	features []string
	signs    int
	asked    int
}

func (c *chief) answer() *managerv2.Scheduler {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &managerv2.Scheduler{Id: 7, SchedulerClusterId: 3, SchedulerCluster: &managerv2.SchedulerCluster{Id: 3, Name: "three", Config: []byte(c.config)}}
}

func (c *chief) UpdateScheduler(_ context.Context, m *managerv2.UpdateSchedulerRequest) (*managerv2.Scheduler, error) {
	if err := m.Validate(); err != nil || m.GetHostname() != "a-b" || m.GetSchedulerClusterId() != 3 {
		return nil, status.Error(codes.InvalidArgument, m.String())
	}
	c.mu.Lock()
	c.features = m.GetFeatures()
	c.mu.Unlock()
	return c.answer(), nil
}

func (c *chief) GetScheduler(context.Context, *managerv2.GetSchedulerRequest) (*managerv2.Scheduler, error) {
	c.mu.Lock()
	c.asked++
	c.mu.Unlock()
	return c.answer(), nil
}

func (c *chief) KeepAlive(stream managerv2.Manager_KeepAliveServer) error {
	for {
		m, err := stream.Recv()
		if err != nil {
			return stream.SendAndClose(&emptypb.Empty{})
		}
		if err := m.Validate(); err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		c.mu.Lock()
		c.signs++
		c.mu.Unlock()
	}
}

// open lets the manager serve until close.
func (c *chief) open() (stop func()) {
	door, g := bufconn.Listen(64<<10), grpc.NewServer()
	managerv2.RegisterManagerServer(g, c)
	c.mu.Lock()
	c.door = door
	c.mu.Unlock()
	go func() { _ = g.Serve(door) }()
	return func() {
		c.mu.Lock()
		c.door = nil
		c.mu.Unlock()
		g.Stop()
	}
}

func (c *chief) dial(context.Context) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///manager", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		c.mu.Lock()
		door := c.door
		c.mu.Unlock()
		if door == nil {
			return nil, errors.New("connection refused")
		}
		return door.DialContext(ctx)
	}))
}

func (r *rig) policy() *darterv1.ShowPolicyResponse {
	r.t.Helper()
	p, err := darterv1.NewRosterClient(r.conn).ShowPolicy(r.t.Context(), &darterv1.ShowPolicyRequest{})
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// TestTheManagersWordHoldsWithoutTheManager: a scheduler registers, follows the liveness policy of its cluster, goes on
// with it when the manager is away, also after a restart, and drops it when the manager does.
func TestTheManagersWordHoldsWithoutTheManager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, c := t.TempDir(), &chief{config: `{"candidate_parent_limit":4,"liveness":{"number":5,"lease":{"interval":"12s"}}}`}
		change := func(cfg *scheduler.Config) {
			cfg.Listen, cfg.DataDir, cfg.Cluster, cfg.AdvertiseIP = placed{cfg.Listen}, dir, 3, netip.MustParseAddr("10.0.0.1")
			cfg.Manager = scheduler.ManagerConfig{Dial: c.dial, Hostname: "a_b", Version: "1"}
		}
		leave := c.open()
		r := start(t, change)
		<-time.After(12 * time.Second) // in the bubble
		first := r.policy()
		if first.GetSource() != "manager, cluster 3" || first.GetNumber() == 0 {
			t.Errorf("in force is %v", first)
		}
		c.mu.Lock()
		if c.signs < 2 || len(c.features) != 3 {
			t.Errorf("%d signs of life in 12 s, features %v", c.signs, c.features)
		}
		c.mu.Unlock()
		leave()
		<-time.After(time.Minute) // in the bubble
		r.announce("h1", 0, "10.0.0.9")
		if got := r.policy(); got.GetNumber() != first.GetNumber() {
			t.Errorf("without the manager: %v", got)
		}
		r.stop()

		r = start(t, change)
		<-time.After(time.Second) // in the bubble
		if got := r.policy(); got.GetSource() != "manager, cluster 3 (as of an earlier run)" || got.GetDocument() == "" {
			t.Errorf("after a restart without the manager: %v", got)
		}
		c.mu.Lock()
		c.config = `{}`
		c.mu.Unlock()
		leave = c.open()
		<-time.After(2 * time.Minute) // in the bubble: it is asked ever more seldom
		if got := r.policy(); got.GetSource() != "defaults" {
			t.Errorf("after the manager took it back: %v", got)
		}
		leave()
		r.stop()
	})
}

// TestADamagedWordIsNoWord: what cannot be read costs the configuration, not the scheduler.
func TestADamagedWordIsNoWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "manager.json"), []byte(`{"scheduler": tru`), 0o600); err != nil {
			t.Fatal(err)
		}
		kept := make(chan error, 1)
		r := start(t, func(cfg *scheduler.Config) {
			cfg.Listen, cfg.DataDir, cfg.AdvertiseIP = placed{cfg.Listen}, dir, netip.MustParseAddr("10.0.0.1")
			cfg.Manager = scheduler.ManagerConfig{Dial: (&chief{}).dial, Hostname: "a"}
			cfg.Manager.Events.Enlist.Kept = func(err error) { kept <- err }
		})
		if err := <-kept; err == nil {
			t.Error("nobody was told")
		}
		if got := r.policy(); got.GetSource() != "defaults" {
			t.Errorf("in force is %v", got)
		}
		r.stop()
	})
}
