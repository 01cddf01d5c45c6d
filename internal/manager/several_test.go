package manager

import (
	"context"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/test/bufconn"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database/databasetest"
	"github.com/darter-p2p/darter/internal/gc/retention"
	"github.com/darter-p2p/darter/internal/manager/catalog"
	"github.com/darter-p2p/darter/internal/manager/records"
	"github.com/darter-p2p/darter/internal/manager/rpc"
)

// TestThreeManagersShareAPostgres runs three at once: what is announced to one is listed by all, a policy published at
// one is followed by all, and a run is carried out by exactly one of them.
func TestThreeManagersShareAPostgres(t *testing.T) {
	url, key := databasetest.Postgres(t), filepath.Join(t.TempDir(), "secret.key")
	applied, led := make(chan int64, 100), make(chan string, 100)
	var all []*Manager
	ctx, stop := context.WithCancel(t.Context())
	var running errgroup.Group
	for range 3 {
		cfg := DefaultConfig()
		cfg.GRPC, cfg.HTTP, cfg.DataDir, cfg.Database, cfg.KeyFile = bufconn.Listen(1<<16), bufconn.Listen(1<<16), t.TempDir(), url, key
		cfg.Events.Catalog.Applied = func(d catalog.Document, _ time.Duration) {
			if d.Class == catalog.GCPolicy {
				applied <- d.Number
			}
		}
		cfg.Events.Records.Started = func(r darter.Run) { led <- r.ID }
		m, err := New(t.Context(), cfg)
		require.NoError(t, err)
		all = append(all, m)
		running.Go(func() error { return m.Run(ctx) })
		<-m.Ready()
	}
	clusters, err := all[2].rooms.Catalog.Clusters(t.Context(), "", 10)
	require.NoError(t, err)
	require.Len(t, clusters, 1, "the first cluster is made once")

	_, err = book{all[0].rooms.Catalog}.Announce(t.Context(), rpc.Member{Hostname: "s", IP: netip.MustParseAddr("10.0.0.1"), Port: 8002})
	require.NoError(t, err)
	for _, m := range all {
		require.NoError(t, m.server.Renew(t.Context()))
		require.Len(t, m.Schedulers(), 1)
	}

	_, err = all[1].rooms.Catalog.Put(t.Context(), catalog.Edit{Class: catalog.GCPolicy, Name: retention.Audit, Body: []byte(`{"rules":[{"after":"30d"}]}`), Actor: darter.System("test")})
	require.NoError(t, err)
	for range all {
		require.EqualValues(t, 1, <-applied)
	}

	run, err := all[1].rooms.Records.Start(t.Context(), records.StartRequest{Kind: retention.HostEvent, Trigger: darter.ByAPI, Actor: darter.System("test")})
	require.NoError(t, err)
	for now, err := range all[2].rooms.Records.Watch(t.Context(), run.ID) {
		require.NoError(t, err)
		run = now
	}
	require.Equal(t, darter.RunSucceeded, run.State, run.Message)
	stop()
	require.NoError(t, running.Wait())
	close(led)
	started := 0
	for id := range led {
		if id == run.ID {
			started++
		}
	}
	require.Equal(t, 1, started)
}

// TestAManagerWithAnotherKeyIsRefused finds out at the start what would show only when a secret is needed.
func TestAManagerWithAnotherKeyIsRefused(t *testing.T) {
	databasetest.EachURL(t, func(t *testing.T, url string) {
		open := func() (*Manager, error) {
			cfg := DefaultConfig()
			cfg.GRPC, cfg.HTTP, cfg.DataDir, cfg.Database = bufconn.Listen(1), bufconn.Listen(1), t.TempDir(), url
			return New(t.Context(), cfg)
		}
		m, err := open()
		require.NoError(t, err)
		require.NoError(t, m.Close())
		_, err = open()
		require.Equal(t, darter.Conflict, darter.KindOf(err))
		require.Contains(t, darter.HintOf(err), "--secret-key")
	})
}
