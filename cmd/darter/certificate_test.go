package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/pki"
)

// TestAManagerThatOthersReachIsNotPlainByAccident opens a manager on all interfaces: without a word, with one, and with
// an authority.
func TestAManagerThatOthersReachIsNotPlainByAccident(t *testing.T) {
	bare := testProcess(t, "manager")
	defer bare.close()
	err := bare.addManager(t.Context(), nil)
	require.Equal(t, darter.Invalid, darter.KindOf(err))
	require.Contains(t, darter.HintOf(err), "--ca")
	require.Contains(t, darter.HintOf(err), "--allow-plain")

	asked := testProcess(t, "manager")
	defer asked.close()
	asked.cfg.Manager.Plain = true
	require.NoError(t, asked.addManager(t.Context(), nil))

	secure := testProcess(t, "manager")
	defer secure.close()
	secure.cfg.Manager.Authority = t.TempDir()
	_, err = pki.Init(secure.cfg.Manager.Authority, time.Now())
	require.NoError(t, err)
	require.NoError(t, secure.addManager(t.Context(), nil))
	about, err := os.Stat(filepath.Join(secure.cfg.DataDir, "manager", "tls", "node.pem"))
	require.NoError(t, err)
	require.EqualValues(t, 0o600, about.Mode().Perm())
}

// TestUpWithAnAuthority has the three roles of one process meet with certificates, without any token.
func TestUpWithAnAuthority(t *testing.T) {
	p := testProcess(t, "up")
	defer p.close()
	p.cfg.Manager.Authority = t.TempDir()
	_, err := pki.Init(p.cfg.Manager.Authority, time.Now())
	require.NoError(t, err)
	require.NoError(t, p.up(t.Context(), "127.0.0.1"))
	defer running(t, p)()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		workers, err := p.manager.Rooms().Jobs.Workers(ctx, 1)
		require.NoError(t, err)
		if len(workers) == 1 { // the scheduler is attached, over gRPC that takes nobody without a certificate
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal("the scheduler never attached to its manager")
		case <-tick.C:
		}
	}
}

// TestAJoinTokenNeedsAManager refuses what would leave a node in the clear without a word.
func TestAJoinTokenNeedsAManager(t *testing.T) {
	p := testProcess(t, "scheduler")
	defer p.close()
	p.cfg.Daemon.JoinTokenFile = "/nowhere"
	_, err := p.joined(t.Context(), pki.Scheduler)
	require.Equal(t, darter.Invalid, darter.KindOf(err))

	p.cfg.Daemon.Manager = "127.0.0.1:1"
	_, err = p.joined(t.Context(), pki.Scheduler)
	require.Equal(t, darter.NotFound, darter.KindOf(err), "the file is read before anybody is asked: %v", err)

	p.cfg.Daemon.JoinTokenFile = ""
	own, err := p.joined(t.Context(), pki.Scheduler)
	require.NoError(t, err)
	require.Nil(t, own, "nobody told it to join")
	require.Equal(t, "127.0.0.1:8080", p.restOfManager())

	t.Setenv(joinTokenEnv, "from the environment")
	text, err := joinToken("/nowhere")()
	require.NoError(t, err)
	require.Equal(t, "from the environment", text)
	_, err = p.joined(t.Context(), pki.Scheduler)
	require.Equal(t, darter.Invalid, darter.KindOf(err), "it is no token, and nobody goes on without: %v", err)
	p.cfg.Daemon.Manager = ""
	_, err = p.joined(t.Context(), pki.Scheduler)
	require.Equal(t, darter.Invalid, darter.KindOf(err))
}
