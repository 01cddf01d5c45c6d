package daemon

import (
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/daemon/fetch"
	"github.com/darter-p2p/darter/internal/daemon/rpc"
	"github.com/darter-p2p/darter/internal/inventory"
	"github.com/darter-p2p/darter/internal/store"
)

var scheduler = netip.MustParseAddrPort("127.0.0.1:8002")

// open builds a daemon over a folder, without running it.
func open(t *testing.T, dir string) *Daemon {
	t.Helper()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { l.Close() })
		return l
	}
	socket, err := rpc.ListenSocket(filepath.Join(t.TempDir(), "d.sock"))
	require.NoError(t, err)
	t.Cleanup(func() { socket.Close() })
	cfg := DefaultConfig()
	cfg.DataDir, cfg.Schedulers = dir, []string{scheduler.String()}
	cfg.Upload, cfg.Pieces, cfg.Download = listen(), listen(), socket
	cfg.Host = darter.Host{Hostname: "h", IP: netip.MustParseAddr("127.0.0.1")}
	d, err := New(cfg)
	require.NoError(t, err)
	return d
}

func put(t *testing.T, s store.Store, digit string, pieces int, finish bool) darter.TaskID {
	t.Helper()
	id := darter.TaskID(strings.Repeat(digit, 64))
	task, err := s.Create(store.Meta{ID: id, URL: "http://origin/" + digit, Layout: darter.LayoutOf(darter.MinPieceLength+1, 0)})
	require.NoError(t, err)
	for n := range uint32(pieces) {
		w, err := task.Writer(n)
		require.NoError(t, err)
		_, err = w.Write(make([]byte, task.Meta().Layout.Span(n).Length))
		require.NoError(t, err)
		_, err = w.Commit(nil, darter.Piece{})
		require.NoError(t, err)
	}
	if finish {
		require.NoError(t, task.Finish(""))
	}
	return id
}

// told returns what the scheduler would be told.
func told(t *testing.T, d *Daemon) (out []string) {
	t.Helper()
	a, err := d.holdings.Answer(scheduler, inventory.Question{Limit: 100})
	require.NoError(t, err)
	for _, l := range a.Locations {
		text := string(l.Task[:1]) + " whole"
		if !l.Complete {
			text = string(l.Task[:1]) + " " + l.Pieces.String()
		}
		out = append(out, text)
	}
	return out
}

func TestHoldingsFollowTheStore(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	d.regrouped([]netip.AddrPort{scheduler})
	whole, part := put(t, d.store, "a", 2, true), put(t, d.store, "b", 1, false)
	none := put(t, d.store, "c", 0, false)
	unverified := put(t, d.store, "d", 2, false)
	require.Empty(t, told(t, d), "nothing was noted yet")
	for _, id := range []darter.TaskID{whole, part, none, unverified} {
		d.ended(fetch.Ended{Task: id})
	}
	require.Equal(t, []string{"a whole", "b 0"}, told(t, d))
	_, known := d.holdings.Digest(scheduler)
	require.False(t, known, "before the store was looked through, a host would seem to have lost what it holds")
	d.begun(fetch.Begun{Task: whole}) // a hit: it stays
	require.NoError(t, d.store.Remove(part))
	require.Equal(t, []string{"a whole"}, told(t, d))
	d.close()

	again := open(t, dir) // another run over the same folder
	again.regrouped([]netip.AddrPort{scheduler})
	require.NoError(t, again.noteAll(t.Context()))
	require.Equal(t, []string{"a whole"}, told(t, again))
	_, known = again.holdings.Digest(scheduler)
	require.True(t, known)
	require.NoError(t, again.shelf.Remove(whole), "as a scheduler's or a user's deletion does")
	require.Empty(t, told(t, again))
	again.close()
}
