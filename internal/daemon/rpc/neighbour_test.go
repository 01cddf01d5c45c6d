package rpc

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	dfdaemonv2 "d7y.io/api/v2/pkg/apis/dfdaemon/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/store"
	"github.com/darter-p2p/darter/internal/store/mem"
	"github.com/darter-p2p/darter/internal/vortex"
)

// loneParent is a parent of another make: it says what its script says.
type loneParent struct {
	dfdaemonv2.UnimplementedDfdaemonUploadServer
	script func(*dfdaemonv2.SyncPiecesRequest, dfdaemonv2.DfdaemonUpload_SyncPiecesServer) error
}

func (p loneParent) SyncPieces(m *dfdaemonv2.SyncPiecesRequest, stream dfdaemonv2.DfdaemonUpload_SyncPiecesServer) error {
	return p.script(m, stream)
}

var parentHost = darter.Parent{Peer: "p", Host: darter.Host{ID: "parent", IP: netip.MustParseAddr("10.0.0.9"), Port: 4000}}

func piecesOver(t *testing.T) *vortex.Client {
	c, err := vortex.NewClient(vortex.DefaultClientConfig())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// watch runs Watch in a bubble against a scripted parent.
func watch(t *testing.T, script func(*dfdaemonv2.SyncPiecesRequest, dfdaemonv2.DfdaemonUpload_SyncPiecesServer) error,
	test func(t *testing.T, n *Neighbours),
) {
	synctest.Test(t, func(t *testing.T) {
		pipes := newUpPipes()
		server := grpc.NewServer(grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second})) // Rust has no such policy
		dfdaemonv2.RegisterDfdaemonUploadServer(server, loneParent{script: script})
		go server.Serve(pipes)
		defer server.Stop()
		cfg := DefaultNeighboursConfig()
		cfg.Host, cfg.Pieces, cfg.Dial = "child", piecesOver(t), pipes.dial
		n, err := NewNeighbours(cfg)
		require.NoError(t, err)
		test(t, n)
		require.NoError(t, n.Close())
	})
}

func report(n uint32, ip string, port int32) *dfdaemonv2.SyncPiecesResponse {
	return &dfdaemonv2.SyncPiecesResponse{Number: n, Ip: ip, TcpPort: &port}
}

func TestWatchReportsHoldings(t *testing.T) {
	watch(t, func(m *dfdaemonv2.SyncPiecesRequest, stream dfdaemonv2.DfdaemonUpload_SyncPiecesServer) error {
		in, _ := metadata.FromIncomingContext(stream.Context())
		if first(in.Get(wire.MetaVersion)) != "v1" || first(in.Get(wire.MetaNative)) != "1" || m.GetHostId() != "child" {
			return errors.New("the child did not say who it is")
		}
		if _, timed := stream.Context().Deadline(); timed {
			return errors.New("the stream has a deadline")
		}
		for _, n := range []uint32{3, 3, 1} {
			if err := stream.Send(report(n, "10.1.1.1", 4005)); err != nil {
				return err
			}
		}
		return stream.Send(report(0, "0.0.0.0", 4005))
	}, func(t *testing.T, n *Neighbours) {
		var heard []darter.Holding
		require.NoError(t, n.Watch(t.Context(), upTask, "v1", parentHost, darter.Pieces(0, 1, 3), func(h darter.Holding) { heard = append(heard, h) }))
		there := netip.MustParseAddrPort("10.1.1.1:4005")
		require.Equal(t, []darter.Holding{{Number: 3, From: there}, {Number: 1, From: there},
			{Number: 0, From: netip.MustParseAddrPort("10.0.0.9:4005")}}, heard)
	})
}

func TestWatchTakesACleanEndForAll(t *testing.T) {
	watch(t, func(_ *dfdaemonv2.SyncPiecesRequest, stream dfdaemonv2.DfdaemonUpload_SyncPiecesServer) error {
		return stream.Send(report(1, "10.1.1.1", 4005))
	}, func(t *testing.T, n *Neighbours) {
		heard := 0
		require.NoError(t, n.Watch(t.Context(), upTask, "", parentHost, darter.Pieces(0, 1), func(darter.Holding) { heard++ }))
		require.Equal(t, 1, heard)
	})
}

func TestWatchDistrustsParents(t *testing.T) {
	for name, c := range map[string]struct {
		reply   *dfdaemonv2.SyncPiecesResponse
		version string
		kind    darter.Kind
	}{
		"a piece nobody asked for": {reply: report(9, "10.1.1.1", 4005), kind: darter.Corrupt},
		"no port":                  {reply: &dfdaemonv2.SyncPiecesResponse{Number: 1, Ip: "10.1.1.1"}, kind: darter.Unavailable},
		"a port out of range":      {reply: report(1, "10.1.1.1", 70000), kind: darter.Unavailable},
		"a name for an address":    {reply: report(1, "localhost", 4005), kind: darter.Corrupt},
		"another version":          {reply: report(1, "10.1.1.1", 4005), version: "v2", kind: darter.Conflict},
	} {
		t.Run(name, func(t *testing.T) {
			watch(t, func(_ *dfdaemonv2.SyncPiecesRequest, stream dfdaemonv2.DfdaemonUpload_SyncPiecesServer) error {
				if c.version != "" {
					_ = stream.SendHeader(metadata.Pairs(wire.MetaVersion, c.version))
				}
				return stream.Send(c.reply)
			}, func(t *testing.T, n *Neighbours) {
				err := n.Watch(t.Context(), upTask, "v1", parentHost, darter.Pieces(0, 1), func(darter.Holding) { t.Error("it was believed") })
				require.Equal(t, c.kind, darter.KindOf(err), "%v", err)
			})
		})
	}
}

func TestWatchGivesUpOnSilence(t *testing.T) {
	for name, c := range map[string]struct {
		header metadata.MD // nil: not even headers
		after  time.Duration
	}{
		"no headers":         {nil, 10 * time.Second},
		"a plain parent":     {metadata.MD{}, 70 * time.Second},
		"one of our parents": {metadata.Pairs(wire.MetaNative, "1"), 10*time.Minute + 10*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			watch(t, func(_ *dfdaemonv2.SyncPiecesRequest, stream dfdaemonv2.DfdaemonUpload_SyncPiecesServer) error {
				if c.header != nil {
					_ = stream.SendHeader(c.header)
					pass(10 * time.Second)
					_ = stream.Send(report(0, "10.1.1.1", 4005))
				}
				<-stream.Context().Done()
				return nil
			}, func(t *testing.T, n *Neighbours) {
				began := time.Now()
				err := n.Watch(t.Context(), upTask, "", parentHost, darter.Pieces(0, 1), func(darter.Holding) {})
				require.Equal(t, darter.TimedOut, darter.KindOf(err), "%v", err)
				require.Equal(t, c.after, time.Since(began))
			})
		})
	}
}

func TestWatchEndsWithItsContext(t *testing.T) {
	watch(t, func(_ *dfdaemonv2.SyncPiecesRequest, stream dfdaemonv2.DfdaemonUpload_SyncPiecesServer) error {
		<-stream.Context().Done()
		return nil
	}, func(t *testing.T, n *Neighbours) {
		enough := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(enough) })
		require.ErrorIs(t, n.Watch(ctx, upTask, "", parentHost, darter.Pieces(0), func(darter.Holding) {}), enough)
	})
}

func TestWatchOfNobody(t *testing.T) {
	watch(t, nil, func(t *testing.T, n *Neighbours) {
		nowhere := darter.Parent{Host: darter.Host{ID: "x"}}
		require.Equal(t, darter.Invalid, darter.KindOf(n.Watch(t.Context(), upTask, "", nowhere, darter.Pieces(0), nil)))
	})
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultNeighboursConfig()
		cfg.Host, cfg.Pieces = "child", piecesOver(t)
		cfg.Dial = func(ctx context.Context, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
		n, err := NewNeighbours(cfg)
		require.NoError(t, err)
		began := time.Now()
		err = n.Watch(t.Context(), upTask, "", parentHost, darter.Pieces(0), nil)
		require.Equal(t, darter.Unavailable, darter.KindOf(err), "%v", err)
		require.Equal(t, 3*time.Second, time.Since(began))
		n.Close()
	})
}

func TestConnectionsAreSharedAndClosedWhenUnused(t *testing.T) {
	watch(t, func(m *dfdaemonv2.SyncPiecesRequest, stream dfdaemonv2.DfdaemonUpload_SyncPiecesServer) error {
		return stream.Send(report(m.GetInterestedPieceNumbers()[0], "10.1.1.1", 4005))
	}, func(t *testing.T, n *Neighbours) {
		dials, inner := 0, n.links.cfg.Dial
		n.links.cfg.Dial = func(ctx context.Context, a string) (net.Conn, error) { dials++; return inner(ctx, a) }
		ask := func() {
			require.NoError(t, n.Watch(t.Context(), upTask, "", parentHost, darter.Pieces(0), func(darter.Holding) {}))
		}
		ask()
		pass(50 * time.Second)
		ask()
		pass(50 * time.Second)
		ask()
		require.Equal(t, 1, dials)
		pass(61 * time.Second)
		synctest.Wait()
		n.links.mu.Lock()
		require.Empty(t, n.links.mu.open)
		n.links.mu.Unlock()
		ask()
		require.Equal(t, 2, dials)
	})
}

// A child follows a parent that is still downloading, over real sockets, and ends with the same bytes.
func TestChildFollowsAParent(t *testing.T) {
	shelf := newUpShelf()
	upListener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	pieceListener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	transport := vortex.DefaultServerConfig()
	transport.Listener, transport.Pieces = pieceListener, upPieces{shelf}
	pieces, err := vortex.NewServer(transport)
	require.NoError(t, err)
	cfg := DefaultUploadConfig()
	cfg.Listener, cfg.Tasks, cfg.Downloads = upListener, shelf, &upDownloads{}
	cfg.Pieces = pieceListener.Addr().(*net.TCPAddr).AddrPort()
	cfg.Host = func() darter.Host { return darter.Host{} }
	upload, err := NewUpload(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = upload.Run(ctx) })
	running.Go(func() { _ = pieces.Run(ctx) })
	defer running.Wait()
	defer cancel()

	ncfg := DefaultNeighboursConfig()
	ncfg.Host, ncfg.Pieces = "child", piecesOver(t)
	n, err := NewNeighbours(ncfg)
	require.NoError(t, err)
	defer n.Close()
	at := upListener.Addr().(*net.TCPAddr).AddrPort()
	parent := darter.Parent{Peer: "p", Host: darter.Host{ID: "parent", IP: at.Addr(), Port: at.Port()}}

	theirs := shelf.begin(t, 4)
	upWrite(t, theirs, 0)
	mine, err := mem.New(mem.Config{}).Create(theirs.Meta())
	require.NoError(t, err)
	err = n.Watch(t.Context(), upTask, "v1", parent, darter.Pieces(0, 1, 2, 3), func(h darter.Holding) {
		if h.Arriving { // the report that it is whole follows
			return
		}
		w, err := mine.Writer(h.Number)
		require.NoError(t, err)
		p, err := n.Fetch(t.Context(), upTask, h.Number, h.From, mine.Meta().Layout.Span(h.Number), w, nil)
		require.NoError(t, err)
		_, err = w.Commit(&p.CRC, p)
		require.NoError(t, err)
		if h.Number < 3 {
			upWrite(t, theirs, h.Number+1)
		}
	})
	require.NoError(t, err)
	require.NoError(t, mine.Finish(""))
	ours, yours := make([]byte, mine.Meta().Layout.Length), make([]byte, mine.Meta().Layout.Length)
	_, err = mine.ReadAt(ours, 0)
	require.NoError(t, err)
	_, err = theirs.ReadAt(yours, 0)
	require.NoError(t, err)
	require.True(t, bytes.Equal(ours, yours))
	require.Equal(t, crc32.ChecksumIEEE(yours), crc32.ChecksumIEEE(ours))
}

// upPieces is a store as the piece server sees it.
type upPieces struct{ s store.Store }

func (p upPieces) Open(id darter.TaskID, n uint32) (vortex.Content, error) {
	t, err := p.s.Open(id)
	if err != nil {
		return vortex.Content{}, err
	}
	r, err := t.OpenPiece(n)
	return vortex.Content(r), err
}

func (p upPieces) Follow(id darter.TaskID, n uint32) (vortex.Arrival, error) {
	t, err := p.s.Open(id)
	if err != nil {
		return vortex.Arrival{}, err
	}
	f, err := t.Follow(n)
	if err != nil {
		return vortex.Arrival{}, err
	}
	return vortex.Arrival{Span: t.Meta().Layout.Span(n), Following: f}, nil
}

// TestWatchTellsAnAnswerFromSilence: what the parent itself says is no sign that it cannot be reached.
func TestWatchTellsAnAnswerFromSilence(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		kind darter.Kind
	}{
		"ours, and its download failed": {wire.Status(&darter.Error{Kind: darter.Unavailable, Op: "sync", Err: errors.New("the origin is gone")}), darter.Denied},
		"ours, and it drains":           {wire.Status(shuttingDown("sync")), darter.Denied},
		"ours, without the task":        {wire.Status(&darter.Error{Kind: darter.NotFound, Op: "sync"}), darter.NotFound},
		"ours, with another version":    {wire.Status(&darter.Error{Kind: darter.Conflict, Op: "sync"}), darter.Conflict},
		"plain, without the task":       {status.Error(codes.NotFound, "no"), darter.NotFound},
		"plain, and it refuses":         {status.Error(codes.InvalidArgument, "no"), darter.Denied},
		"a proxy, or gRPC itself":       {status.Error(codes.Unavailable, "no"), darter.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			watch(t, func(_ *dfdaemonv2.SyncPiecesRequest, stream dfdaemonv2.DfdaemonUpload_SyncPiecesServer) error {
				_ = stream.SendHeader(nil)
				return c.err
			}, func(t *testing.T, n *Neighbours) {
				err := n.Watch(t.Context(), upTask, "", parentHost, darter.Pieces(0, 1), func(darter.Holding) {})
				require.Equal(t, c.kind, darter.KindOf(err), "%v", err)
			})
		})
	}
}
