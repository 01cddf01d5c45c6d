package manager

import (
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	managerv2 "d7y.io/api/v2/pkg/apis/manager/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/manager/catalog"
)

// caller is a stock client of manager.v2.
type caller struct {
	managerv2.ManagerClient
	*rig
	t *testing.T
}

func (r *rig) caller(t *testing.T) *caller { return &caller{managerv2.NewManagerClient(r.conn), r, t} }

// names lists as a daemon does. Its host name need not be one: it is only compared.
func (c *caller) names(cluster uint64) (out []string) {
	c.t.Helper()
	list, err := c.ListSchedulers(c.t.Context(), &managerv2.ListSchedulersRequest{SourceType: managerv2.SourceType_PEER_SOURCE, Hostname: "a_b", Ip: "10.0.0.9", SchedulerClusterId: cluster})
	require.NoError(c.t, err)
	for _, s := range list.GetSchedulers() {
		out = append(out, s.GetHostname()+" "+s.GetState())
	}
	return out
}

func (c *caller) cluster(s catalog.ClusterSpec) uint64 {
	c.t.Helper()
	out, err := c.rooms.Catalog.CreateCluster(c.t.Context(), s, catalog.Edit{Actor: darter.System("test")})
	require.NoError(c.t, err)
	require.NoError(c.t, c.server.Renew(c.t.Context()))
	return uint64(out.CompatID)
}

func updateOf(host, ip string, cluster uint64) *managerv2.UpdateSchedulerRequest {
	return &managerv2.UpdateSchedulerRequest{Hostname: host, Ip: ip, Port: 8002, SchedulerClusterId: cluster}
}

func TestListedAsAPlainDaemonNeedsIt(t *testing.T) {
	fixed := []Scheduler{{Hostname: "late", IP: netip.MustParseAddr("10.0.0.2"), Port: 8002}, {Hostname: "early", IP: netip.MustParseAddr("fd00::1"), Port: 8002, IDC: "here"}}
	runWith(t, func(c *Config) { c.Schedulers = fixed }, func(t *testing.T, r *rig) {
		c := r.caller(t)
		second := c.cluster(catalog.ClusterSpec{Name: "second", Client: json.RawMessage(`{"block_list":{"task":{"urls":null,"tags":[]}},"load_limit":7}`)})
		_, err := c.UpdateScheduler(t.Context(), updateOf("other", "10.0.0.3", second))
		require.NoError(t, err)
		list, err := c.ListSchedulers(t.Context(), &managerv2.ListSchedulersRequest{Hostname: "h", Ip: "10.0.0.9"})
		require.NoError(t, err)
		require.Len(t, list.GetSchedulers(), 3)
		s := list.GetSchedulers()[1]
		require.Equal(t, "early fd00::1 8002 1 active here", s.GetHostname()+" "+s.GetIp()+" 8002 1 "+s.GetState()+" "+s.GetIdc())
		require.EqualValues(t, 1, s.GetSchedulerClusterId())
		require.Equal(t, "{}", string(s.GetSchedulerCluster().GetClientConfig()), "anything else than an object is an error to a plain daemon")
		require.Equal(t, "{}", string(s.GetSchedulerCluster().GetSeedClientConfig()))
		require.JSONEq(t, `["schedule"]`, string(s.GetFeatures()))
		require.JSONEq(t, `{"block_list":{"task":{"tags":[]}},"load_limit":7}`, string(list.GetSchedulers()[2].GetSchedulerCluster().GetClientConfig()), "nothing is null")
		require.NotEqual(t, s.GetId(), list.GetSchedulers()[0].GetId())
		require.Equal(t, []string{"other active"}, c.names(second))
	})
}

func TestDaemonsGetTheClusterThatFitsFirst(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		c := r.caller(t)
		near := c.cluster(catalog.ClusterSpec{Name: "near", Scopes: catalog.Scopes{CIDRs: []string{"10.7.0.0/16"}, IDC: "b1|b2"}})
		empty := c.cluster(catalog.ClusterSpec{Name: "empty", Scopes: catalog.Scopes{CIDRs: []string{"10.7.0.0/16"}, Hostnames: []string{"^h"}}})
		for name, cluster := range map[string]uint64{"far": 1, "close": near} {
			_, err := c.UpdateScheduler(t.Context(), updateOf(name, map[string]string{"far": "10.0.0.1", "close": "10.7.0.1"}[name], cluster))
			require.NoError(t, err)
		}
		ask := func(ip string) (out []string) {
			list, err := c.ListSchedulers(t.Context(), &managerv2.ListSchedulersRequest{Hostname: "h", Ip: ip})
			require.NoError(t, err)
			for _, s := range list.GetSchedulers() {
				out = append(out, s.GetHostname())
			}
			return out
		}
		require.Equal(t, []string{"close", "far"}, ask("10.7.1.1"))
		require.Equal(t, []string{"far", "close"}, ask("10.8.1.1"), "the default cluster, then the others")

		members, err := r.rooms.Catalog.Members(t.Context(), catalog.MemberFilter{Kind: catalog.SchedulerMember})
		require.NoError(t, err)
		for _, m := range members {
			if m.Hostname == "close" {
				require.NoError(t, r.rooms.Catalog.Drain(t.Context(), m.ID, true, catalog.Edit{Actor: darter.System("test")}))
			}
		}
		require.NoError(t, r.server.Renew(t.Context()))
		require.Equal(t, []string{"far"}, ask("10.7.1.1"), "one that is drained gets nobody new")
		require.Empty(t, c.names(empty))
	})
}

func TestAnnouncedSchedulersLiveAsLongAsTheyKeepAlive(t *testing.T) {
	var mu sync.Mutex
	var joined, lost []string
	note := func(list *[]string) func(Scheduler) {
		return func(s Scheduler) { mu.Lock(); defer mu.Unlock(); *list = append(*list, s.Hostname) }
	}
	runWith(t, func(c *Config) { c.Events.SchedulerJoined, c.Events.SchedulerLost = note(&joined), note(&lost) }, func(t *testing.T, r *rig) {
		c := r.caller(t)
		first, err := c.UpdateScheduler(t.Context(), updateOf("a", "10.0.0.1", 1))
		require.NoError(t, err)
		require.Equal(t, "active", first.GetState())
		require.NotZero(t, first.GetId())
		_, err = c.UpdateScheduler(t.Context(), updateOf("b", "10.0.0.2", 1))
		require.NoError(t, err)
		alive, err := c.KeepAlive(t.Context())
		require.NoError(t, err)
		for range 12 {
			require.NoError(t, alive.Send(&managerv2.KeepAliveRequest{Hostname: "a", Ip: "10.0.0.1", ClusterId: 1}))
			<-time.After(5 * time.Second) // in the bubble
		}
		require.Equal(t, []string{"a active"}, c.names(0), "after a minute of a's life")
		require.Equal(t, []string{"a active", "b inactive"}, c.names(1))
		_, err = alive.CloseAndRecv()
		require.NoError(t, err)
		<-time.After(time.Minute) // in the bubble
		again, err := c.UpdateScheduler(t.Context(), updateOf("a", "10.0.0.1", 1))
		require.NoError(t, err)
		require.Equal(t, first.GetId(), again.GetId())
		mu.Lock()
		require.Equal(t, []string{"a", "b", "a"}, joined)
		require.Equal(t, []string{"b", "a"}, lost)
		mu.Unlock()

		_, err = r.rooms.Catalog.Put(t.Context(), catalog.Edit{Class: catalog.Setting, Name: LifecycleSetting, Body: []byte(`{"scheduler_remove_after":"5m"}`), Actor: darter.System("test")})
		require.NoError(t, err)
		<-time.After(7 * time.Minute) // in the bubble: nobody spoke for longer than the setting bears
		require.Empty(t, c.names(1))
	})
}

func TestSeedPeersAndApplications(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		c := r.caller(t)
		_, err := c.UpdateScheduler(t.Context(), updateOf("s", "10.0.0.1", 1))
		require.NoError(t, err)
		seed, err := c.UpdateSeedPeer(t.Context(), &managerv2.UpdateSeedPeerRequest{Hostname: "seed", Ip: "10.0.0.5", Port: 4000, DownloadPort: 4001, Type: "super", SeedPeerClusterId: 1})
		require.NoError(t, err)
		require.Equal(t, "active", seed.GetState())
		list, err := c.ListSeedPeers(t.Context(), &managerv2.ListSeedPeersRequest{Hostname: "h", Ip: "10.0.0.9"})
		require.NoError(t, err)
		require.Len(t, list.GetSeedPeers(), 1)
		s, err := c.GetScheduler(t.Context(), &managerv2.GetSchedulerRequest{Hostname: "s", Ip: "10.0.0.1", SchedulerClusterId: 1})
		require.NoError(t, err)
		require.Equal(t, "seed", s.GetSeedPeers()[0].GetHostname())
		got, err := c.GetSeedPeer(t.Context(), &managerv2.GetSeedPeerRequest{Hostname: "seed", Ip: "10.0.0.5", SeedPeerClusterId: 1})
		require.NoError(t, err)
		require.Equal(t, "s", got.GetSchedulers()[0].GetHostname())
		require.EqualValues(t, 4001, got.GetDownloadPort())
		require.NoError(t, keepAlive(t, c, &managerv2.KeepAliveRequest{SourceType: managerv2.SourceType_SEED_PEER_SOURCE, Hostname: "seed", Ip: "10.0.0.5", ClusterId: 1}))
		for range 2 { // twice is the same as once
			_, err = c.DeleteSeedPeer(t.Context(), &managerv2.DeleteSeedPeerRequest{Hostname: "seed", Ip: "10.0.0.5", SeedPeerClusterId: 1})
			require.NoError(t, err)
		}
		list, err = c.ListSeedPeers(t.Context(), &managerv2.ListSeedPeersRequest{Hostname: "h", Ip: "10.0.0.9"})
		require.NoError(t, err)
		require.Empty(t, list.GetSeedPeers())

		_, err = r.rooms.Catalog.SaveApplication(t.Context(), catalog.Application{Name: "app", URL: "https://a.example", Priority: json.RawMessage(`{"value":3,"urls":[{"regex":"blob","value":6}]}`)}, catalog.Edit{Actor: darter.System("test")})
		require.NoError(t, err)
		require.NoError(t, r.server.Renew(t.Context()))
		apps, err := c.ListApplications(t.Context(), &managerv2.ListApplicationsRequest{Hostname: "h", Ip: "10.0.0.9"})
		require.NoError(t, err)
		require.Len(t, apps.GetApplications(), 1)
		require.NoError(t, apps.GetApplications()[0].Validate())
		require.EqualValues(t, 3, apps.GetApplications()[0].GetPriority().GetValue())
		require.EqualValues(t, 6, apps.GetApplications()[0].GetPriority().GetUrls()[0].GetValue())
	})
}

func TestRefusals(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		c := r.caller(t)
		for name, x := range map[string]struct {
			call func() error
			want codes.Code
		}{
			"a scheduler at no address": {func() error { _, err := c.UpdateScheduler(t.Context(), updateOf("a", "0.0.0.0", 1)); return err }, codes.InvalidArgument},
			"a host name with spaces":   {func() error { _, err := c.UpdateScheduler(t.Context(), updateOf("a b", "10.0.0.1", 1)); return err }, codes.InvalidArgument},
			"a cluster that is not there": {func() error {
				_, err := c.UpdateScheduler(t.Context(), updateOf("a", "10.0.0.1", 77))
				return err
			}, codes.NotFound},
			"nobody by that name": {func() error {
				_, err := c.GetScheduler(t.Context(), &managerv2.GetSchedulerRequest{Hostname: "a", Ip: "10.0.0.1", SchedulerClusterId: 1})
				return err
			}, codes.NotFound},
			"keep alive of nobody": {func() error {
				return keepAlive(t, c, &managerv2.KeepAliveRequest{Hostname: "a", Ip: "10.0.0.1", ClusterId: 1})
			}, codes.NotFound},
			"keep alive of a daemon": {func() error {
				return keepAlive(t, c, &managerv2.KeepAliveRequest{SourceType: managerv2.SourceType_PEER_SOURCE, Hostname: "a", Ip: "10.0.0.1", ClusterId: 1})
			}, codes.InvalidArgument},
		} {
			require.Equal(t, x.want, status.Code(x.call()), name)
		}
	})
}

func keepAlive(t *testing.T, c *caller, m *managerv2.KeepAliveRequest) error {
	t.Helper()
	stream, err := c.KeepAlive(t.Context())
	require.NoError(t, err)
	if err := stream.Send(m); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_, err = stream.CloseAndRecv()
	return err
}

func TestAStopDoesNotWaitForSignsOfLife(t *testing.T) {
	runWith(t, func(c *Config) {
		c.Schedulers = []Scheduler{{Hostname: "a", IP: netip.MustParseAddr("10.0.0.1"), Port: 8002}}
	}, func(t *testing.T, r *rig) {
		c := r.caller(t)
		stream, err := c.KeepAlive(t.Context())
		require.NoError(t, err)
		require.NoError(t, stream.Send(&managerv2.KeepAliveRequest{Hostname: "a", Ip: "10.0.0.1", ClusterId: 1}))
		synctest.Wait()
		r.stop()
		began := time.Now()
		err = stream.RecvMsg(&managerv2.SchedulerCluster{})
		require.Equal(t, codes.Unavailable, status.Code(err))
		require.Zero(t, time.Since(began))
	})
}

// TestListsGoOnWithoutTheDatabase closes the rows under a running manager: daemons are still sent to schedulers.
func TestListsGoOnWithoutTheDatabase(t *testing.T) {
	runWith(t, func(c *Config) {
		c.Schedulers = []Scheduler{{Hostname: "a", IP: netip.MustParseAddr("10.0.0.1"), Port: 8002}}
	}, func(t *testing.T, r *rig) {
		c := r.caller(t)
		require.NoError(t, r.Close())
		<-time.After(10 * time.Second) // in the bubble
		require.Equal(t, []string{"a active"}, c.names(0))
		require.GreaterOrEqual(t, r.server.Age(), 9*time.Second)
		_, err := c.UpdateScheduler(t.Context(), updateOf("b", "10.0.0.2", 1))
		require.Equal(t, codes.Unavailable, status.Code(err))
		require.False(t, slices.Contains(c.names(0), "b active"))
	})
}
