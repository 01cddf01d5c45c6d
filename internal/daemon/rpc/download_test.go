package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	dfdaemonv2 "d7y.io/api/v2/pkg/apis/dfdaemon/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/source"
	"github.com/darter-p2p/darter/internal/store"
)

// shelf is a store with one complete task, whose pieces are filled with their numbers.
type shelf struct {
	store.Store
	layout darter.Layout

	mu      sync.Mutex
	removed []darter.TaskID
}

type shelved struct {
	store.Task
	s *shelf
}

func (s *shelf) info() store.Info {
	return store.Info{Meta: store.Meta{ID: testTask, URL: "https://origin.example/secret", Layout: s.layout, Created: time.Unix(1000, 0)},
		State: store.Complete, Pieces: s.layout.Covering(nil), Finished: time.Unix(2000, 0)}
}

func (s *shelf) List() []store.Info { return []store.Info{s.info()} }

func (s *shelf) Open(id darter.TaskID) (store.Task, error) {
	if id != testTask {
		return nil, &darter.Error{Kind: darter.NotFound, Op: "open task " + id.Short(), Err: errors.New("it is not here")}
	}
	return shelved{s: s}, nil
}

func (s *shelf) Remove(id darter.TaskID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removed = append(s.removed, id)
	return nil
}

func (t shelved) Info() store.Info { return t.s.info() }

func (t shelved) OpenPiece(n uint32) (store.PieceReader, error) {
	span := t.s.layout.Span(n)
	body := bytes.NewReader(bytes.Repeat([]byte{byte(n)}, int(span.Length)))
	return store.PieceReader{Piece: darter.Piece{Number: n, Offset: span.Offset, Length: span.Length}, Body: body, Closer: io.NopCloser(nil)}, nil
}

// scripted is a Downloads whose only download yields pieces in a given order.
type scripted struct {
	layout darter.Layout
	order  []uint32
	refuse error
	end    error // instead of io.EOF
	hang   chan struct{}

	mu       sync.Mutex
	wants    []darter.Want
	deadline time.Time
}

func (s *scripted) Start(ctx context.Context, w darter.Want) (Download, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wants = append(s.wants, w)
	s.deadline, _ = ctx.Deadline()
	if s.refuse != nil {
		return nil, s.refuse
	}
	return &scriptedDownload{s: s, left: s.order}, nil
}

type scriptedDownload struct {
	s    *scripted
	left []uint32
}

func (d *scriptedDownload) Started() Started {
	return Started{Host: "10.0.0.1-h", Task: testTask, Peer: "10.0.0.1-h-1", Layout: d.s.layout, Pieces: darter.Pieces(d.s.order...), Header: map[string]string{"Etag": "x"}}
}

func (d *scriptedDownload) Next(ctx context.Context) (darter.Piece, error) {
	if len(d.left) == 0 {
		if d.s.hang != nil {
			select {
			case <-d.s.hang:
			case <-ctx.Done():
				return darter.Piece{}, ctx.Err()
			}
		}
		if d.s.end != nil {
			return darter.Piece{}, d.s.end
		}
		return darter.Piece{}, io.EOF
	}
	n := d.left[0]
	d.left = d.left[1:]
	span := d.s.layout.Span(n)
	return darter.Piece{Number: n, Offset: span.Offset, Length: span.Length, CRC: n, HasCRC: true, Traffic: darter.FromPeer}, nil
}

func (d *scriptedDownload) Close() {}

// swarmLog notes what schedulers would be told.
type swarmLog struct {
	mu   sync.Mutex
	said []string
	fail error
}

func (s *swarmLog) say(what string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, what)
	return s.fail
}

func (s *swarmLog) StatTask(_ context.Context, id darter.TaskID) (*commonv2.Task, error) {
	return &commonv2.Task{Id: string(id)}, s.say("stat")
}
func (s *swarmLog) DeleteTask(context.Context, darter.TaskID) error          { return s.say("delete") }
func (s *swarmLog) Leave(context.Context, darter.HostID, darter.Epoch) error { return s.say("leave") }

// socketRig is the server on a real socket and a client of it.
type socketRig struct {
	dfdaemonv2.DfdaemonDownloadClient
	conn  *grpc.ClientConn
	shelf *shelf
	swarm *swarmLog
	stop  context.CancelFunc
	ran   chan error
}

func newSocketRig(t testing.TB, downloads Downloads, change func(*SocketConfig)) *socketRig {
	t.Helper()
	layout := darter.LayoutOf(2*darter.MinPieceLength+5, 0)
	r := &socketRig{shelf: &shelf{layout: layout}, swarm: &swarmLog{}, ran: make(chan error, 1)}
	path := filepath.Join(t.TempDir(), "d.sock")
	l, err := ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	cfg := SocketConfig{Listener: l, Downloads: downloads, Store: r.shelf, Swarm: r.swarm, Host: "10.0.0.1-h"}
	if change != nil {
		change(&cfg)
	}
	s, err := NewSocket(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	go func() { r.ran <- s.Run(ctx) }()
	r.conn, err = grpc.NewClient("unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(65<<20)))
	if err != nil {
		t.Fatal(err)
	}
	r.DfdaemonDownloadClient = dfdaemonv2.NewDfdaemonDownloadClient(r.conn)
	t.Cleanup(func() {
		_ = r.conn.Close()
		cancel()
		if r.ran != nil {
			<-r.ran
		}
	})
	return r
}

func newScripted(order ...uint32) *scripted {
	return &scripted{layout: darter.LayoutOf(2*darter.MinPieceLength+5, 0), order: order}
}

// download runs one download to its end.
func (r *socketRig) download(ctx context.Context, d *commonv2.Download) (all []*dfdaemonv2.DownloadTaskResponse, trailer metadata.MD, err error) {
	stream, err := r.DownloadTask(ctx, &dfdaemonv2.DownloadTaskRequest{Download: d})
	if err != nil {
		return nil, nil, err
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all, stream.Trailer(), nil
		}
		if err != nil {
			return all, stream.Trailer(), err
		}
		if err := m.ValidateAll(); err != nil {
			return all, nil, err
		}
		all = append(all, m)
	}
}

func TestDownloadToAFile(t *testing.T) {
	downloads := newScripted(2, 0, 1)
	r := newSocketRig(t, downloads, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	out := "/tmp/somewhere/../out"
	all, _, err := r.download(ctx, &commonv2.Download{Url: "https://origin.example/f", OutputPath: &out})
	if err != nil {
		t.Fatal(err)
	}
	begin := all[0].GetDownloadTaskStartedResponse()
	if len(begin.GetPieces()) != 3 || begin.GetContentLength() != 2*darter.MinPieceLength+5 || begin.GetResponseHeader()["Etag"] != "x" {
		t.Errorf("started with %v", begin)
	}
	if len(all) != 4 { // the released tool counts pieces against those announced
		t.Fatalf("%d messages, want 4", len(all))
	}
	if p := all[1].GetDownloadPieceFinishedResponse().GetPiece(); p.GetNumber() != 2 || p.GetDigest() != "crc32:2" || p.Content != nil {
		t.Errorf("first piece %v", p)
	}
	if w := downloads.wants[0]; w.OutputPath != "/tmp/out" {
		t.Errorf("the output path came as %q", w.OutputPath)
	}
	if left := time.Until(downloads.deadline); left < 30*time.Minute || left > time.Hour {
		t.Errorf("the client's limit of an hour came as %s", left)
	}
}

func TestDownloadWithContentLeavesInAscendingOrder(t *testing.T) {
	r := newSocketRig(t, newScripted(2, 1, 0), nil)
	all, _, err := r.download(t.Context(), &commonv2.Download{Url: "https://origin.example/f", NeedPieceContent: true})
	if err != nil {
		t.Fatal(err)
	}
	var content []byte
	for _, m := range all[1:] {
		p := m.GetDownloadPieceFinishedResponse().GetPiece()
		if p.GetOffset() != uint64(len(content)) {
			t.Fatalf("piece %d at %d came after %d bytes", p.GetNumber(), p.GetOffset(), len(content))
		}
		content = append(content, p.GetContent()...)
	}
	want := slices.Concat(bytes.Repeat([]byte{0}, darter.MinPieceLength), bytes.Repeat([]byte{1}, darter.MinPieceLength), bytes.Repeat([]byte{2}, 5))
	if !bytes.Equal(content, want) {
		t.Errorf("%d bytes came, or other ones; want %d", len(content), len(want))
	}
}

func TestDownloadErrorsKeepTheirMeaning(t *testing.T) {
	answered := &source.Error{URL: "https://origin.example/f", Status: 404, Header: map[string]string{"Server": "x"}, Message: "Not Found"}
	relative := "out"
	for name, c := range map[string]struct {
		downloads *scripted
		request   *commonv2.Download
		code      codes.Code
		status    int // in the JSON details
	}{
		"the source's answer at the start": {&scripted{refuse: answered}, &commonv2.Download{Url: "https://o/f"}, codes.Internal, 404},
		"the source's answer on the way":   {&scripted{layout: darter.LayoutOf(5, 0), order: []uint32{0}, end: answered}, &commonv2.Download{Url: "https://o/f"}, codes.Internal, 404},
		"wrong digest":                     {&scripted{end: &darter.Error{Kind: darter.Corrupt, Op: "check"}}, &commonv2.Download{Url: "https://o/f"}, codes.DataLoss, 0},
		"a relative output path":           {newScripted(), &commonv2.Download{Url: "https://o/f", OutputPath: &relative}, codes.InvalidArgument, 0},
		"no download":                      {newScripted(), nil, codes.InvalidArgument, 0},
		"content promised and not there":   {&scripted{layout: darter.LayoutOf(5, 0), order: []uint32{0}, end: io.ErrUnexpectedEOF}, &commonv2.Download{Url: "https://o/f", NeedPieceContent: true}, codes.Unknown, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newSocketRig(t, c.downloads, nil)
			r.shelf.layout = c.downloads.layout
			_, trailer, err := r.download(t.Context(), c.request)
			if got := status.Code(err); got != c.code && !(c.code == codes.Unknown && err != nil) {
				t.Errorf("%v, want %s", err, c.code)
			}
			raw := trailer.Get(wire.BackendTrailer)
			if c.status == 0 {
				return
			}
			if len(raw) != 1 {
				t.Fatalf("trailer %v, want the source's answer", trailer)
			}
			if b, err := wire.ParseBackend([]byte(raw[0])); err != nil || b.Status != c.status || b.Header["Server"] != "x" {
				t.Errorf("details %q: %v, %v", raw[0], b, err)
			}
		})
	}
}

func TestARateTravelsToTheDownload(t *testing.T) {
	d := newScripted(0)
	r := newSocketRig(t, d, nil)
	for text, want := range map[string]darter.Size{"": 0, "1048576": 1 << 20, "0": -1, "-5": -1, "fast": -1, "9223372036854775808": -1} {
		ctx := t.Context()
		if text != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, wire.MetaRate, text)
		}
		d.mu.Lock()
		d.wants = nil
		d.mu.Unlock()
		_, _, err := r.download(ctx, &commonv2.Download{Url: "http://x/y"})
		if (status.Code(err) == codes.InvalidArgument) != (want < 0) {
			t.Errorf("rate %q: %v", text, err)
		}
		if want >= 0 && (len(d.wants) != 1 || d.wants[0].Rate != want) {
			t.Errorf("rate %q arrived as %+v", text, d.wants)
		}
	}
}

func TestDownloadPastItsTimeoutSaysSo(t *testing.T) {
	downloads := newScripted(0)
	downloads.hang = make(chan struct{})
	r := newSocketRig(t, downloads, nil)
	short := time.Millisecond
	request := wire.FromWant(darter.Want{URL: "https://o/f", Timeout: short})
	_, _, err := r.download(t.Context(), request)
	if e := wire.FromStatus("get", err); darter.KindOf(e) != darter.TimedOut || darter.HintOf(e) == "" {
		t.Errorf("%v, hint %q; want timed out with a hint", e, darter.HintOf(e))
	}
}

func TestOnlyOwnerAndRootMayHaveFilesWritten(t *testing.T) {
	owner := uint32(1000)
	s := &Socket{cfg: SocketConfig{Owner: &owner}}
	for _, c := range []struct {
		who  asker
		want bool
	}{{asker{uid: 1000, known: true}, true}, {asker{uid: 0, known: true}, true}, {asker{uid: 1001, known: true}, false}, {asker{}, false}} {
		ctx := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: c.who})
		err := s.permit(ctx, "DownloadTask", "write", "ask for the content")
		if (err == nil) != c.want {
			t.Errorf("%+v: %v, want permitted %v", c.who, err, c.want)
		}
		if err != nil && (status.Code(wire.Status(err)) != codes.PermissionDenied || darter.HintOf(err) == "") {
			t.Errorf("%+v: %v without code or hint", c.who, err)
		}
	}
	if s.permit(t.Context(), "DownloadTask", "write", "hint") == nil {
		t.Error("somebody without any credentials was permitted")
	}
}

func TestTheKernelSaysWhoAsks(t *testing.T) {
	l, err := ListenSocket(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	_, info, err := askers{}.ServerHandshake(server)
	if a := info.(asker); err != nil || !a.known || a.uid != uint32(os.Getuid()) {
		t.Errorf("asker %+v, %v; want user %d", a, err, os.Getuid())
	}
}

func TestListenSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "run", "d.sock")
	l, err := ListenSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("mode %v, %v; want 0666", info.Mode(), err)
	}
	if _, err := ListenSocket(path); darter.KindOf(err) != darter.Conflict || darter.HintOf(err) == "" {
		t.Errorf("while another listens: %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as a killed process leaves it
	_ = l.Close()
	again, err := ListenSocket(path)
	if err != nil {
		t.Fatalf("over a stale socket: %v", err)
	}
	_ = again.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenSocket(file); darter.KindOf(err) != darter.Conflict {
		t.Errorf("over a file: %v", err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "mine" {
		t.Errorf("the file that was no socket now holds %q, %v", text, err)
	}
	if _, err := ListenSocket(filepath.Join(dir, strings.Repeat("x", 120))); err == nil || darter.HintOf(err) == "" {
		t.Errorf("a path too long: %v", err)
	}
}

func TestLocalTasks(t *testing.T) {
	r := newSocketRig(t, newScripted(), func(c *SocketConfig) {
		c.Served = func(darter.TaskID) (uint64, uint64) { return 1, 9 }
	})
	list, err := r.ListLocalTasks(t.Context(), &dfdaemonv2.ListLocalTasksRequest{})
	if err != nil || len(list.GetTasks()) != 1 {
		t.Fatal(list, err)
	}
	one := list.GetTasks()[0]
	if err := one.ValidateAll(); err != nil || one.GetUploadedCount() != 9 || one.GetFinishedAt().GetSeconds() != 2000 {
		t.Errorf("%v, %v", one, err)
	}
	if strings.Contains(one.String(), "secret") {
		t.Errorf("the URL is told to any local user: %v", one)
	}
	for name, c := range map[string]struct {
		id   string
		want codes.Code
	}{"here": {string(testTask), codes.OK}, "elsewhere": {strings.Repeat("0", 64), codes.NotFound}, "nonsense": {"../..", codes.InvalidArgument}} {
		if _, err := r.StatLocalTask(t.Context(), &dfdaemonv2.StatLocalTaskRequest{TaskId: c.id}); status.Code(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestDeleteWithdrawsFirst(t *testing.T) {
	for name, c := range map[string]struct {
		fail    error
		removed int
	}{
		"scheduler agrees":  {nil, 1},
		"scheduler is away": {&darter.Error{Kind: darter.Unavailable, Op: "x"}, 1},
		"scheduler refuses": {&darter.Error{Kind: darter.Denied, Op: "x"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newSocketRig(t, newScripted(), func(c *SocketConfig) { uid := uint32(os.Getuid()); c.Owner = &uid })
			r.swarm.fail = c.fail
			_, err := r.DeleteTask(t.Context(), &dfdaemonv2.DeleteTaskRequest{TaskId: string(testTask)})
			if len(r.shelf.removed) != c.removed || (err == nil) != (c.removed == 1) {
				t.Errorf("removed %v, error %v", r.shelf.removed, err)
			}
		})
	}
	r := newSocketRig(t, newScripted(), nil)
	if _, err := r.DeleteHost(t.Context(), &emptypb.Empty{}); err != nil || !slices.Equal(r.swarm.said, []string{"leave"}) {
		t.Errorf("DeleteHost: %v, said %v", err, r.swarm.said)
	}
	if _, err := r.StatTask(t.Context(), &dfdaemonv2.StatTaskRequest{TaskId: string(testTask)}); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNotServedSaysSo(t *testing.T) {
	r := newSocketRig(t, newScripted(), nil)
	_, err := r.ListTaskEntries(t.Context(), &dfdaemonv2.ListTaskEntriesRequest{TaskId: "x"})
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "folders") {
		t.Errorf("ListTaskEntries: %v", err)
	}
	stream, err := r.DownloadPersistentTask(t.Context(), &dfdaemonv2.DownloadPersistentTaskRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "persistent") {
		t.Errorf("DownloadPersistentTask: %v", err)
	}
	health, err := healthv1.NewHealthClient(r.conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil || health.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v", health, err)
	}
}

func TestStopLetsRunningDownloadsEnd(t *testing.T) {
	downloads := newScripted(0)
	downloads.hang = make(chan struct{})
	r := newSocketRig(t, downloads, func(c *SocketConfig) { c.Drain = time.Minute })
	stream, err := r.DownloadTask(t.Context(), &dfdaemonv2.DownloadTaskRequest{Download: &commonv2.Download{Url: "https://o/f"}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	r.stop()
	close(downloads.hang)
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the running download ended with %v, want a clean end", err)
	}
	if err := <-r.ran; !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
	r.ran = nil
}

// BenchmarkContent measures the way to a client's pipe: store, gRPC, socket.
func BenchmarkContent(b *testing.B) {
	s := newScripted()
	s.layout = darter.LayoutOf(64*darter.MinPieceLength, 0)
	for n := range s.layout.Count() {
		s.order = append(s.order, n)
	}
	r := newSocketRig(b, s, nil)
	r.shelf.layout = s.layout
	b.SetBytes(s.layout.Length)
	for b.Loop() {
		stream, err := r.DownloadTask(b.Context(), &dfdaemonv2.DownloadTaskRequest{Download: &commonv2.Download{Url: "https://o/f", NeedPieceContent: true}})
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = stream.Recv()
		}
		if !errors.Is(err, io.EOF) {
			b.Fatal(err)
		}
	}
}

func TestHealthTellsWhichSchedulersAreAsked(t *testing.T) {
	var at []Status
	r := newSocketRig(t, newScripted(), func(c *SocketConfig) { c.Schedulers = func() []Status { return at } })
	ask := func() []string {
		var header metadata.MD
		if _, err := healthv1.NewHealthClient(r.conn).Check(t.Context(), &healthv1.HealthCheckRequest{}, grpc.Header(&header)); err != nil {
			t.Fatal(err)
		}
		return header.Get(wire.MetaSchedulers)
	}
	if got := ask(); !slices.Equal(got, []string{""}) {
		t.Errorf("without schedulers: %q, want that there are none", got)
	}
	at = []Status{{At: netip.MustParseAddrPort("10.0.0.1:8002")}, {At: netip.MustParseAddrPort("[fd00::1]:8002")}}
	if got := ask(); !slices.Equal(got, []string{"10.0.0.1:8002,[fd00::1]:8002"}) {
		t.Errorf("told %q", got)
	}
}
