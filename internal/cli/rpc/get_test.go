package rpc_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	dfdaemonv2 "d7y.io/api/v2/pkg/apis/dfdaemon/v2"
	schedulerv2 "d7y.io/api/v2/pkg/apis/scheduler/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/cli"
	"github.com/darter-p2p/darter/internal/cli/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const pieceLength = 1000

// fake is a daemon that knows one content.
type fake struct {
	dfdaemonv2.UnimplementedDfdaemonDownloadServer
	content []byte
	shuffle bool                                                       // pieces in any order
	refuse  error                                                      // answer to an output path
	blind   bool                                                       // says it wrote the file, but did not
	fail    func(dfdaemonv2.DfdaemonDownload_DownloadTaskServer) error // instead of the content
	hang    bool                                                       // after the first piece
	lie     func([]byte) []byte                                        // changes what is sent
	short   bool                                                       // one piece too few
	cut     bool                                                       // writes a file that lacks its last byte

	mu struct {
		sync.Mutex
		asked []*commonv2.Download
		rates []string
	}
}

func (f *fake) asked() []*commonv2.Download {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.asked
}

func (f *fake) DownloadTask(m *dfdaemonv2.DownloadTaskRequest, s dfdaemonv2.DfdaemonDownload_DownloadTaskServer) error {
	d := m.GetDownload()
	f.mu.Lock()
	f.mu.asked = append(f.mu.asked, d)
	f.mu.rates = append(f.mu.rates, strings.Join(metadata.ValueFromIncomingContext(s.Context(), wire.MetaRate), ","))
	f.mu.Unlock()
	if f.fail != nil || strings.HasSuffix(d.GetUrl(), "/missing") {
		if f.fail != nil {
			return f.fail(s)
		}
		return notFound(s)
	}
	if d.OutputPath != nil && f.refuse != nil {
		return f.refuse
	}
	if d.OutputPath != nil && !f.blind {
		written := f.content
		if f.cut {
			written = written[:len(written)-1]
		}
		if err := os.WriteFile(d.GetOutputPath(), written, 0o644); err != nil {
			return status.Error(codes.PermissionDenied, err.Error())
		}
	}
	return f.stream(d, s)
}

func notFound(s dfdaemonv2.DfdaemonDownload_DownloadTaskServer) error {
	s.SetTrailer(metadata.Pairs(wire.BackendTrailer, string(wire.Backend{Message: "gone", Status: 404}.JSON())))
	return status.Error(codes.Internal, "backend")
}

func (f *fake) stream(d *commonv2.Download, s dfdaemonv2.DfdaemonDownload_DownloadTaskServer) error {
	started := &dfdaemonv2.DownloadTaskStartedResponse{ContentLength: uint64(len(f.content))}
	wanted := darter.Span{Length: int64(len(f.content))}
	if r := d.GetRange(); r != nil {
		wanted = darter.Span{Offset: int64(r.GetStart()), Length: int64(r.GetLength())}
	}
	wanted.Length = min(wanted.Length, int64(len(f.content))-wanted.Offset)
	if wanted.Length != int64(len(f.content)) {
		started.Range = &commonv2.Range{Start: uint64(wanted.Offset), Length: uint64(wanted.Length)}
	}
	var pieces []*commonv2.Piece
	for at := 0; at < len(f.content); at += pieceLength {
		end := min(at+pieceLength, len(f.content))
		if int64(end) <= wanted.Offset || int64(at) >= wanted.End() {
			continue
		}
		p := wire.FromPiece(darter.Piece{Number: uint32(at / pieceLength), Offset: int64(at), Length: int64(end - at),
			Traffic: darter.Traffic((at / pieceLength) % 3), Cost: 1, Created: time.Unix(1, 0)})
		if d.GetNeedPieceContent() {
			p.Content = bytes.Clone(f.content[at:end])
			if f.lie != nil {
				p.Content = f.lie(p.Content)
			}
		}
		pieces = append(pieces, p)
	}
	if f.shuffle {
		rand.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
	}
	if f.short {
		pieces = pieces[:len(pieces)-1]
	}
	if err := s.Send(&dfdaemonv2.DownloadTaskResponse{HostId: "h", TaskId: "t", PeerId: "p",
		Response: &dfdaemonv2.DownloadTaskResponse_DownloadTaskStartedResponse{DownloadTaskStartedResponse: started}}); err != nil {
		return err
	}
	for _, p := range pieces {
		if err := s.Send(&dfdaemonv2.DownloadTaskResponse{HostId: "h", TaskId: "t", PeerId: "p",
			Response: &dfdaemonv2.DownloadTaskResponse_DownloadPieceFinishedResponse{
				DownloadPieceFinishedResponse: &dfdaemonv2.DownloadPieceFinishedResponse{Piece: p}}}); err != nil {
			return err
		}
		if f.hang {
			<-s.Context().Done()
			return s.Context().Err()
		}
	}
	return nil
}

func (f *fake) ListLocalTasks(context.Context, *dfdaemonv2.ListLocalTasksRequest) (*dfdaemonv2.ListLocalTasksResponse, error) {
	length, pl := uint64(5000), uint64(4<<20)
	return &dfdaemonv2.ListLocalTasksResponse{Tasks: []*dfdaemonv2.StatLocalTaskResponse{{TaskId: strings.Repeat("a", 64), ContentLength: &length, PieceLength: &pl,
		CreatedAt: timestamppb.New(time.Unix(1, 0)), UpdatedAt: timestamppb.New(time.Unix(2, 0)), FinishedAt: timestamppb.New(time.Unix(2, 0))}}}, nil
}

type cluster struct {
	schedulerv2.UnimplementedSchedulerServer
}

func (cluster) ListHosts(context.Context, *schedulerv2.ListHostsRequest) (*schedulerv2.ListHostsResponse, error) {
	return &schedulerv2.ListHostsResponse{Hosts: []*commonv2.Host{{Id: "10.0.0.1-b", Type: 1, Hostname: "b", Ip: "10.0.0.1", Port: 4000, DownloadPort: 4000},
		{Id: "10.0.0.1-a", Hostname: "a", Ip: "10.0.0.1", Port: 4001, DownloadPort: 4001}}}, nil
}

// world is a fake daemon behind a socket, a fake scheduler, and a folder.
type world struct {
	t        *testing.T
	f        *fake
	dir      string
	settings cli.Settings
	asks     []string // schedulers that the daemon tells of; nil: it does not say
	out, err bytes.Buffer
	own      func(context.Context, cli.StandaloneOptions) (cli.Getter, error)
	ctx      context.Context
}

func newWorld(t *testing.T, size int) *world {
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(rand.IntN(256))
	}
	w := &world{t: t, f: &fake{content: content}, dir: t.TempDir(), ctx: t.Context()}
	sock, err := os.MkdirTemp("", "dcli") // a short path: the test's own may be too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(sock) })
	w.settings.Socket = filepath.Join(sock, "s")
	l, err := net.Listen("unix", w.settings.Socket)
	require.NoError(t, err)
	serve(t, l, func(s *grpc.Server) {
		dfdaemonv2.RegisterDfdaemonDownloadServer(s, w.f)
		grpc_health_v1.RegisterHealthServer(s, teller{health.NewServer(), w})
	})
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w.settings.Scheduler = []string{tcp.Addr().String()}
	serve(t, tcp, func(s *grpc.Server) { schedulerv2.RegisterSchedulerServer(s, cluster{}) })
	return w
}

// teller is the health of a daemon that tells which schedulers it asks.
type teller struct {
	*health.Server
	w *world
}

func (h teller) Check(ctx context.Context, m *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	if h.w.asks != nil {
		if err := grpc.SetHeader(ctx, metadata.Pairs(wire.MetaSchedulers, strings.Join(h.w.asks, ","))); err != nil {
			return nil, err
		}
	}
	return h.Server.Check(ctx, m)
}

func serve(t *testing.T, l net.Listener, register func(*grpc.Server)) {
	s := grpc.NewServer()
	register(s)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); <-ended })
}

// run runs a command line and returns its exit code.
func (w *world) run(args ...string) cli.Exit {
	w.out.Reset()
	w.err.Reset()
	a := &cli.App{In: strings.NewReader(""), Out: &w.out, Err: &w.err, Version: "1", Commit: func() string { return "abc" },
		Bind: func(*pflag.FlagSet) func() (cli.Settings, error) {
			return func() (cli.Settings, error) { return w.settings, nil }
		},
		OpenDaemon: func(ctx context.Context, socket string) (cli.Daemon, error) {
			return daemonOrError(rpc.OpenSocket(ctx, socket))
		},
		OpenCluster: func(ctx context.Context, address string) (cli.Cluster, error) { return rpc.OpenScheduler(ctx, address) },
		Standalone:  w.own,
	}
	root := &cobra.Command{Use: "darter", SilenceErrors: true, SilenceUsage: true}
	for _, command := range a.Commands() {
		root.AddCommand(command())
	}
	root.SetArgs(args)
	err := root.ExecuteContext(w.ctx)
	if err != nil && !cli.WasPrinted(err) {
		cli.PrintError(&w.err, err)
	}
	return cli.ExitOf(err)
}

func daemonOrError(s *rpc.Socket, err error) (cli.Daemon, error) {
	if err != nil {
		return nil, err // a nil *Socket must not become a Daemon
	}
	return s, nil
}

func (w *world) digest() string {
	sum := sha256.Sum256(w.f.content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// clean fails when the folder holds anything but the names given.
func (w *world) clean(names ...string) {
	w.t.Helper()
	entries, err := os.ReadDir(w.dir)
	require.NoError(w.t, err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	require.ElementsMatch(w.t, names, got)
}

const url = "http://origin.test/a/file.bin"

func TestDaemonWritesTheFile(t *testing.T) {
	w := newWorld(t, 3500)
	require.Equal(t, cli.ExitOK, w.run("get", url, "-d", w.dir, "--json", "--digest", w.digest()), w.err.String())
	data, err := os.ReadFile(w.path("file.bin"))
	require.NoError(t, err)
	require.Equal(t, w.f.content, data)
	w.clean("file.bin")
	var r cli.Report
	require.NoError(t, json.Unmarshal(w.out.Bytes(), &r))
	require.Equal(t, cli.Report{TaskID: "t", Bytes: 3500, FromOrigin: 1500, FromPeers: 1000, FromCache: 1000, Seconds: r.Seconds,
		Digest: w.digest(), Output: w.path("file.bin"), URL: url}, r)
	require.Empty(t, w.err.String(), "with --json stderr is silent")
	asked := w.f.asked()[0]
	require.True(t, strings.HasPrefix(filepath.Base(asked.GetOutputPath()), ".file.bin."), asked.GetOutputPath())
	require.Equal(t, w.digest(), asked.GetDigest())
	require.Contains(t, asked.GetFilteredQueryParams(), "X-Amz-Signature")
}

func TestContentTransferWhereTheDaemonCannotWrite(t *testing.T) {
	for name, set := range map[string]func(*fake){
		"refused":          func(f *fake) { f.refuse = status.Error(codes.PermissionDenied, "not yours") },
		"another root":     func(f *fake) { f.blind = true },
		"refused, shuffle": func(f *fake) { f.refuse, f.shuffle = status.Error(codes.PermissionDenied, "not yours"), true },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 9500)
			set(w.f)
			require.Equal(t, cli.ExitOK, w.run("get", url, "-d", w.dir, "--json"), w.err.String())
			data, err := os.ReadFile(w.path("file.bin"))
			require.NoError(t, err)
			require.Equal(t, w.f.content, data)
			w.clean("file.bin")
			var r cli.Report
			require.NoError(t, json.Unmarshal(w.out.Bytes(), &r))
			require.Equal(t, r.Bytes, r.FromOrigin+r.FromPeers+r.FromCache, "the first attempt must not count")
		})
	}
}

func TestLimitRateReachesTheDaemon(t *testing.T) {
	w := newWorld(t, 9500)
	require.Equal(t, cli.ExitOK, w.run("get", url, "-d", w.dir, "--limit-rate", "20M"), w.err.String())
	require.Equal(t, cli.ExitOK, w.run("get", url, "-d", w.dir, "--overwrite"), w.err.String())
	require.Equal(t, []string{"20971520", ""}, w.f.mu.rates)
}

func TestStdoutIsTheContentOnly(t *testing.T) {
	w := newWorld(t, 9500)
	w.f.shuffle = true
	require.Equal(t, cli.ExitOK, w.run("get", url, "-o", "-", "--digest", w.digest()))
	require.Equal(t, w.f.content, w.out.Bytes())
	require.Contains(t, w.err.String(), "sha256 ok")
	require.Equal(t, cli.ExitMismatch, w.run("get", url, "-o", "-", "--digest", "sha256:"+strings.Repeat("0", 64)), "a wrong digest is an error, whatever was piped")
	require.Equal(t, cli.ExitOK, w.run("get", url, "-o", "-", "--json"))
	require.Equal(t, w.f.content, w.out.Bytes())
	require.True(t, json.Valid(w.err.Bytes()), "the object goes to stderr")
}

func TestEmptyContent(t *testing.T) {
	w := newWorld(t, 0)
	require.Equal(t, cli.ExitOK, w.run("get", url, "-d", w.dir), w.err.String())
	w.f.refuse = status.Error(codes.PermissionDenied, "")
	require.Equal(t, cli.ExitOK, w.run("get", url, "-o", w.path("e2")), w.err.String())
	w.clean("file.bin", "e2")
}

func TestRanges(t *testing.T) {
	w := newWorld(t, 9500)
	for text, span := range map[string][2]int{"0-0": {0, 1}, "500-2600": {500, 2601}, "9000-99999": {9000, 9500}, "-10": {9490, 9500}, "9200-": {9200, 9500}} {
		require.Equal(t, cli.ExitOK, w.run("get", url, "-o", w.path("r"), "--overwrite", "--range", text, "--json"), w.err.String())
		data, err := os.ReadFile(w.path("r"))
		require.NoError(t, err)
		want := w.f.content[span[0]:span[1]]
		require.Equal(t, want, data, text)
		var r cli.Report
		require.NoError(t, json.Unmarshal(w.out.Bytes(), &r))
		require.EqualValues(t, len(want), r.Bytes)
		require.Equal(t, r.Bytes, r.FromOrigin+r.FromPeers+r.FromCache)
	}
	part := sha256.Sum256(w.f.content[500:2601])
	require.Equal(t, cli.ExitOK, w.run("get", url, "-o", w.path("r"), "--overwrite", "--range", "500-2600", "--digest", "sha256:"+hex.EncodeToString(part[:])))
	require.Empty(t, w.f.asked()[len(w.f.asked())-1].GetDigest(), "the digest of a range is not the content's")
	require.Equal(t, cli.ExitMismatch, w.run("get", url, "-o", w.path("q"), "--range", "500-2600", "--digest", w.digest()))
	w.clean("r")
}

func TestExistingFiles(t *testing.T) {
	w := newWorld(t, 3000)
	require.NoError(t, os.WriteFile(w.path("file.bin"), w.f.content, 0o600))
	require.Equal(t, cli.ExitOK, w.run("get", url, "-d", w.dir, "--digest", w.digest(), "--json"))
	require.Empty(t, w.f.asked(), "a file that is right is not asked for")
	require.Equal(t, cli.ExitFile, w.run("get", url, "-d", w.dir))
	require.Contains(t, w.err.String(), "--overwrite")
	require.NoError(t, os.WriteFile(w.path("file.bin"), []byte("other"), 0o600))
	require.Equal(t, cli.ExitFile, w.run("get", url, "-d", w.dir, "--digest", w.digest()))
	require.Empty(t, w.f.asked())
	require.Equal(t, cli.ExitOK, w.run("get", url, "-d", w.dir, "--digest", w.digest(), "--overwrite"))
	data, _ := os.ReadFile(w.path("file.bin"))
	require.Equal(t, w.f.content, data)
	require.Equal(t, cli.ExitFile, w.run("get", url, "-o", w.path("none/x")), "a folder is only made with -d")
	require.Equal(t, cli.ExitOK, w.run("get", url, "-d", w.path("new/deep")))
	require.Equal(t, cli.ExitOK, w.run("get", url, "-o", "/dev/null"))
	info, err := os.Stat("/dev/null")
	require.NoError(t, err)
	require.False(t, info.Mode().IsRegular())
}

func TestNothingWrongGetsTheName(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*fake)
		args []string
		want cli.Exit
	}{
		"404":       {func(f *fake) { f.fail = notFound }, nil, cli.ExitNotFound},
		"one short": {func(f *fake) { f.short = true; f.refuse = status.Error(codes.PermissionDenied, "") }, nil, cli.ExitMismatch},
		"lies": {func(f *fake) {
			f.lie = func(b []byte) []byte { b[0]++; return b }
			f.refuse = status.Error(codes.PermissionDenied, "")
		}, nil, cli.ExitMismatch},
		"wrong length": {func(f *fake) {
			f.lie = func(b []byte) []byte { return b[1:] }
			f.refuse = status.Error(codes.PermissionDenied, "")
		}, nil, cli.ExitMismatch},
		"full disk": {func(f *fake) {
			f.fail = func(dfdaemonv2.DfdaemonDownload_DownloadTaskServer) error {
				return wire.Status(&darter.Error{Kind: darter.NoSpace, Op: "write", Err: syscall.ENOSPC})
			}
		}, nil, cli.ExitNoSpace},
		"silent end": {func(f *fake) { f.fail = func(dfdaemonv2.DfdaemonDownload_DownloadTaskServer) error { return nil } }, nil, cli.ExitNetwork},
		"timeout":    {func(f *fake) { f.hang = true }, []string{"--timeout", "100ms"}, cli.ExitTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 3000)
			digest := w.digest()
			c.set(w.f)
			require.Equal(t, c.want, w.run(append([]string{"get", url, "-d", w.dir, "--digest", digest}, c.args...)...), w.err.String())
			w.clean()
			require.Contains(t, w.err.String(), "error[")
		})
	}
}

func TestInterruptKeepsQuietlyAndLeavesNothing(t *testing.T) {
	w := newWorld(t, 3000)
	w.f.hang, w.f.refuse = true, status.Error(codes.PermissionDenied, "")
	ctx, cancel := context.WithCancelCause(t.Context())
	w.ctx = ctx
	w.f.lie = func(b []byte) []byte { cancel(cli.Interrupted{Signal: os.Interrupt}); return b }
	require.Equal(t, cli.ExitInterrupted, w.run("get", url, "-d", w.dir))
	require.Contains(t, w.err.String(), "the same command goes on")
	w.clean()
}

// TestHalfTruthsAreNoSuccess covers daemons that say all is well while bytes are missing.
func TestHalfTruthsAreNoSuccess(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*fake)
		args []string
	}{
		"the file is shorter":  {func(f *fake) { f.cut = true }, []string{"-d"}},
		"a piece is shorter":   {func(f *fake) { f.lie = func(b []byte) []byte { return b[1:] } }, []string{"--range", "0-2999", "-d"}},
		"a piece is too long":  {func(f *fake) { f.lie = func(b []byte) []byte { return append(b, 0) } }, []string{"--range", "0-2999", "-d"}},
		"a piece has no bytes": {func(f *fake) { f.lie = func([]byte) []byte { return nil } }, []string{"--range", "0-2999", "-d"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 3000)
			c.set(w.f)
			require.Equal(t, cli.ExitMismatch, w.run(append([]string{"get", url}, append(c.args, w.dir)...)...), w.err.String())
			w.clean()
		})
	}
}

// engine stands for the engine of the process itself.
type engine struct{ *world }

func (engine) Writes() bool { return true }
func (engine) Close() error { return nil }
func (e engine) Get(_ context.Context, w darter.Want, s cli.Sink) (cli.Result, error) {
	s.Started(cli.Start{Task: "own", Length: int64(len(e.f.content))})
	return cli.Result{Task: "own", Length: int64(len(e.f.content))}, os.WriteFile(w.OutputPath, e.f.content, 0o644)
}

func TestWithoutDaemon(t *testing.T) {
	w := newWorld(t, 3000)
	w.settings.Socket += "-none"
	require.Equal(t, cli.ExitNoDaemon, w.run("get", url, "-d", w.dir))
	var got cli.StandaloneOptions
	w.own = func(_ context.Context, o cli.StandaloneOptions) (cli.Getter, error) { got = o; return engine{w}, nil }
	require.Equal(t, cli.ExitNoDaemon, w.run("get", url, "-d", w.dir, "--require-daemon", "--json"))
	var e struct{ Error cli.Failure }
	require.NoError(t, json.Unmarshal(w.err.Bytes(), &e))
	require.Equal(t, 15, e.Error.Code)
	require.Equal(t, cli.ExitOK, w.run("get", url, "-d", w.dir, "--limit-rate", "1GiB"), w.err.String())
	require.EqualValues(t, 1<<30, got.LimitRate)
	w.clean("file.bin")
	require.Equal(t, cli.ExitUsage, w.run("get", url, "--require-daemon", "--standalone"))
}

func TestStandaloneLeavesTheDaemonAlone(t *testing.T) {
	w := newWorld(t, 3000)
	var got cli.StandaloneOptions
	w.own = func(_ context.Context, o cli.StandaloneOptions) (cli.Getter, error) { got = o; return engine{w}, nil }
	require.Equal(t, cli.ExitOK, w.run("get", url, "-o", w.path("a"), "--cacert", "ca.pem"))
	require.Equal(t, "ca.pem", got.CAFile)
	require.Equal(t, cli.ExitOK, w.run("get", url, "-o", w.path("b"), "--insecure-skip-verify"))
	require.True(t, got.Insecure)
	require.Empty(t, w.f.asked())
}

func TestLists(t *testing.T) {
	w := newWorld(t, 3000)
	list := filepath.Join(t.TempDir(), "l")
	require.NoError(t, os.WriteFile(list, []byte("http://o.test/a\nhttp://o.test/missing\n"+w.digest()+" http://o.test/c sub/named\n"), 0o600))
	require.Equal(t, cli.ExitSomeFailed, w.run("get", "-i", list, "-d", w.dir, "-j", "2", "--json"))
	outcome := map[string]int{}
	for line := range strings.Lines(w.out.String()) {
		var r cli.Report
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		outcome[r.URL] = 0
		if r.Error != nil {
			outcome[r.URL] = r.Error.Code
		}
	}
	require.Equal(t, map[string]int{"http://o.test/a": 0, "http://o.test/missing": 9, "http://o.test/c": 0}, outcome)
	w.clean("a", "sub")
	require.FileExists(t, w.path("sub/named"))
	require.NoError(t, os.WriteFile(list, []byte("http://o.test/a/x\nhttp://o.test/b/x\n"), 0o600))
	require.Equal(t, cli.ExitUsage, w.run("get", "-i", list, "-d", w.dir), "two contents, one name")
}

func TestUsageErrors(t *testing.T) {
	w := newWorld(t, 10)
	for _, args := range [][]string{{}, {"not a url"}, {url, url, "-o", "x"}, {url, "--digest", "sha256:12"}, {url, "--range", "b"}, {url, "-j", "0"},
		{url, "--piece-length", "1MiB"}, {url, "-p", "7"}, {url, "-H", "nocolon"}, {url, "--limit-rate", "fast"}, {url, "--progress", "loud"}} {
		require.Equal(t, cli.ExitUsage, w.run(append([]string{"get"}, args...)...), args)
	}
	require.Empty(t, w.f.asked())
}

func TestStatusAndLists(t *testing.T) {
	w := newWorld(t, 10)
	require.Equal(t, cli.ExitOK, w.run("status", "-o", "json"), w.err.String())
	var st cli.Status
	require.NoError(t, json.Unmarshal(w.out.Bytes(), &st))
	require.True(t, st.Daemon.Healthy)
	require.Equal(t, cli.StoreStatus{Tasks: 1, Complete: 1, Bytes: 5000}, *st.Store)
	require.Equal(t, []cli.SchedulerStatus{{Address: w.settings.Scheduler[0], Reachable: true, Hosts: 2, Seeds: 1}}, st.Schedulers)
	require.Equal(t, cli.ExitOK, w.run("host", "ls", "-o", "json"))
	var hosts []cli.HostRow
	require.NoError(t, json.Unmarshal(w.out.Bytes(), &hosts))
	require.EqualValues(t, "10.0.0.1-a", hosts[0].ID)
	require.Equal(t, "seed", hosts[1].Kind)
	require.Equal(t, cli.ExitOK, w.run("host", "ls"))
	require.Contains(t, w.out.String(), "ID          KIND")
	require.Equal(t, cli.ExitOK, w.run("task", "ls", "-o", "yaml"))
	require.Contains(t, w.out.String(), "complete: true")
	require.Equal(t, cli.ExitUsage, w.run("task", "show", "x"))
	require.Equal(t, cli.ExitUsage, w.run("host", "ls", "-o", "xml"))
	named := w.settings.Scheduler
	w.settings.Scheduler = nil // as the daemon says
	w.asks = named
	require.Equal(t, cli.ExitOK, w.run("status", "-o", "json"))
	require.NoError(t, json.Unmarshal(w.out.Bytes(), &st))
	require.Equal(t, []cli.SchedulerStatus{{Address: named[0], Reachable: true, Hosts: 2, Seeds: 1}}, st.Schedulers)
	require.Equal(t, cli.ExitOK, w.run("host", "ls"))
	w.asks = []string{}
	require.Equal(t, cli.ExitOK, w.run("status"))
	require.NotContains(t, w.out.String(), "scheduler")
	require.Equal(t, cli.ExitNetwork, w.run("host", "ls"))
	require.Contains(t, w.err.String(), "asks none")
	w.settings.Scheduler = named
	w.settings.Socket += "-none"
	require.Equal(t, cli.ExitNoDaemon, w.run("status"))
	require.Contains(t, w.out.String(), "not reachable", "what is known is shown all the same")
	w.settings.Scheduler = []string{"127.0.0.1:1"}
	require.Equal(t, cli.ExitNetwork, w.run("host", "ls"))
}

func TestOpenSocketTellsWhy(t *testing.T) {
	_, err := rpc.OpenSocket(t.Context(), filepath.Join(t.TempDir(), "s"))
	require.ErrorContains(t, err, "there is no socket")
	require.Equal(t, darter.Unavailable, darter.KindOf(err))
	require.False(t, errors.Is(err, io.EOF))
}
