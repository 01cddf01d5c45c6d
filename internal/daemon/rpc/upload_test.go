package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	dfdaemonv2 "d7y.io/api/v2/pkg/apis/dfdaemon/v2"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/source"
	"github.com/darter-p2p/darter/internal/store"
	"github.com/darter-p2p/darter/internal/store/mem"
)

const upTask = darter.TaskID("aaaa456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")

// upShelf is a store with the two things that the upload side needs to hear of.
type upShelf struct {
	store.Store
	mu       sync.Mutex
	appeared chan struct{}
	failing  []func(error)
}

func newUpShelf() *upShelf {
	return &upShelf{Store: mem.New(mem.Config{}), appeared: make(chan struct{})}
}

func (s *upShelf) Await(ctx context.Context, id darter.TaskID) (store.Task, error) {
	for {
		s.mu.Lock()
		appeared := s.appeared
		s.mu.Unlock()
		t, err := s.Open(id)
		if err == nil {
			return t, nil
		}
		select {
		case <-appeared:
		case <-ctx.Done():
			return nil, err
		}
	}
}

func (s *upShelf) Find(id darter.TaskID) (store.Task, error) { return s.Open(id) }
func (s *upShelf) Uploads(darter.TaskID) (uint64, uint64)    { return 1, 7 }

func (s *upShelf) OnFailure(_ darter.TaskID, do func(error)) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = append(s.failing, do)
	return func() {}
}

func (s *upShelf) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, do := range s.failing {
		do(err)
	}
}

// begin makes a task of as many pieces of 4 MiB as said, the last of three bytes.
func (s *upShelf) begin(t *testing.T, pieces int) store.Task {
	layout := darter.LayoutOf(int64(pieces-1)*darter.MinPieceLength+3, 0)
	task, err := s.Create(store.Meta{ID: upTask, URL: "http://origin/file", Layout: layout, Version: "v1", Created: time.Now()})
	require.NoError(t, err)
	s.mu.Lock()
	close(s.appeared)
	s.appeared = make(chan struct{})
	s.mu.Unlock()
	return task
}

func upWrite(t *testing.T, task store.Task, numbers ...uint32) {
	for _, n := range numbers {
		w, err := task.Writer(n)
		require.NoError(t, err)
		body := bytes.Repeat([]byte{byte(n)}, int(task.Meta().Layout.Span(n).Length))
		_, err = w.Write(body)
		require.NoError(t, err)
		sum := crc32.ChecksumIEEE(body)
		_, err = w.Commit(&sum, darter.Piece{Created: time.Now()})
		require.NoError(t, err)
	}
}

// upPipes is a listener whose connections are pipes, for bubbles.
type upPipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newUpPipes() *upPipes { return &upPipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *upPipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *upPipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *upPipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4000} }

func (p *upPipes) dial(ctx context.Context, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

type upWorld struct {
	shelf     *upShelf
	pipes     *upPipes
	upload    *Upload
	downloads *upDownloads
	scheduler *upScheduler
	stop      context.CancelFunc
	ended     chan error
}

// inUpload runs a test against an upload server in a bubble.
func inUpload(t *testing.T, change func(*UploadConfig), test func(t *testing.T, w *upWorld)) {
	synctest.Test(t, func(t *testing.T) {
		w := &upWorld{shelf: newUpShelf(), pipes: newUpPipes(), downloads: &upDownloads{}, scheduler: &upScheduler{}, ended: make(chan error, 1)}
		cfg := DefaultUploadConfig()
		cfg.Listener, cfg.Tasks, cfg.Downloads, cfg.Scheduler = w.pipes, w.shelf, w.downloads, w.scheduler
		cfg.Pieces = netip.MustParseAddrPort("10.0.0.9:4005")
		cfg.Host = func() darter.Host { return darter.Host{Network: darter.Network{MaxTx: 100, Tx: 7}} }
		if change != nil {
			change(&cfg)
		}
		var err error
		w.upload, err = NewUpload(cfg)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(context.Background())
		w.stop = cancel
		go func() { w.ended <- w.upload.Run(ctx) }()
		test(t, w)
		cancel()
		require.NoError(t, <-w.ended)
	})
}

// pass lets virtual time pass: it is for bubbles only.
func pass(d time.Duration) { time.Sleep(d) }

func (w *upWorld) client(t *testing.T) dfdaemonv2.DfdaemonUploadClient {
	return dfdaemonv2.NewDfdaemonUploadClient(w.conn(t))
}

func (w *upWorld) conn(t *testing.T) *grpc.ClientConn {
	conn, err := grpc.NewClient("passthrough:///upload", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(),
		grpc.WithContextDialer(w.pipes.dial))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func upSync(numbers ...uint32) *dfdaemonv2.SyncPiecesRequest {
	return &dfdaemonv2.SyncPiecesRequest{HostId: "child", TaskId: string(upTask), InterestedPieceNumbers: numbers}
}

func upRecv(t *testing.T, stream dfdaemonv2.DfdaemonUpload_SyncPiecesClient) uint32 {
	t.Helper()
	m, err := stream.Recv()
	require.NoError(t, err)
	require.NoError(t, m.Validate())
	require.Equal(t, "10.0.0.9", m.GetIp())
	require.Equal(t, int32(4005), m.GetTcpPort())
	require.Equal(t, uint64(m.GetNumber())*darter.MinPieceLength, m.GetOffset())
	return m.GetNumber()
}

func TestSyncPiecesReportsEachPieceAsItComes(t *testing.T) {
	inUpload(t, nil, func(t *testing.T, w *upWorld) {
		task := w.shelf.begin(t, 4)
		upWrite(t, task, 1)
		stream, err := w.client(t).SyncPieces(t.Context(), upSync(0, 1, 3))
		require.NoError(t, err)
		header, err := stream.Header()
		require.NoError(t, err)
		require.Equal(t, []string{"v1"}, header.Get(wire.MetaVersion))
		require.Equal(t, uint32(1), upRecv(t, stream))
		upWrite(t, task, 2) // nobody asked for it
		upWrite(t, task, 3)
		require.Equal(t, uint32(3), upRecv(t, stream))
		upWrite(t, task, 0)
		require.Equal(t, uint32(0), upRecv(t, stream))
		_, err = stream.Recv()
		require.ErrorIs(t, err, io.EOF)
	})
}

func TestSyncPiecesEndsWithACompleteTask(t *testing.T) {
	inUpload(t, nil, func(t *testing.T, w *upWorld) {
		task := w.shelf.begin(t, 1)
		upWrite(t, task, 0)
		require.NoError(t, task.Finish(""))
		stream, err := w.client(t).SyncPieces(t.Context(), upSync(0, 5))
		require.NoError(t, err)
		require.Equal(t, uint32(0), upRecv(t, stream))
		_, err = stream.Recv()
		require.ErrorIs(t, err, io.EOF)
	})
}

func TestSyncPiecesWaitsForATaskToAppear(t *testing.T) {
	inUpload(t, nil, func(t *testing.T, w *upWorld) {
		client := w.client(t)
		began := time.Now()
		stream, err := client.SyncPieces(t.Context(), upSync(0))
		require.NoError(t, err)
		_, err = stream.Recv()
		require.Equal(t, codes.NotFound, status.Code(err))
		require.Equal(t, 5*time.Second, time.Since(began))

		stream, err = client.SyncPieces(t.Context(), upSync(0))
		require.NoError(t, err)
		began = time.Now()
		pass(4 * time.Second)
		upWrite(t, w.shelf.begin(t, 1), 0)
		require.Equal(t, uint32(0), upRecv(t, stream))
		require.Equal(t, 4*time.Second, time.Since(began))
	})
}

func TestSyncPiecesEndsInAnError(t *testing.T) {
	for name, c := range map[string]struct {
		happen func(w *upWorld)
		code   codes.Code
	}{
		"removed":  {func(w *upWorld) { _ = w.shelf.Remove(upTask) }, codes.NotFound},
		"failed":   {func(w *upWorld) { w.shelf.fail(errors.New("the origin is gone")) }, codes.Unavailable},
		"draining": {func(w *upWorld) { w.upload.Drain() }, codes.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			inUpload(t, nil, func(t *testing.T, w *upWorld) {
				w.shelf.begin(t, 2)
				stream, err := w.client(t).SyncPieces(t.Context(), upSync(0))
				require.NoError(t, err)
				_, err = stream.Header()
				require.NoError(t, err)
				c.happen(w)
				_, err = stream.Recv()
				require.Equal(t, c.code, status.Code(err), "%v", err)
			})
		})
	}
}

func TestSyncPiecesRefuses(t *testing.T) {
	inUpload(t, nil, func(t *testing.T, w *upWorld) {
		w.shelf.begin(t, 1)
		client := w.client(t)
		for name, m := range map[string]*dfdaemonv2.SyncPiecesRequest{
			"no pieces":   {HostId: "c", TaskId: string(upTask)},
			"no task":     {HostId: "c", InterestedPieceNumbers: []uint32{0}},
			"huge number": upSync(4_000_000_000),
		} {
			stream, err := client.SyncPieces(t.Context(), m)
			require.NoError(t, err)
			_, err = stream.Recv()
			require.Equal(t, codes.InvalidArgument, status.Code(err), name)
		}
		stream, err := client.SyncPieces(metadata.AppendToOutgoingContext(t.Context(), wire.MetaVersion, "v2"), upSync(0))
		require.NoError(t, err)
		_, err = stream.Recv()
		require.Equal(t, darter.Conflict, darter.KindOf(wire.FromStatus("", err)))
	})
}

// Dragonfly's children send a deadline of ten seconds and mean the headers: the stream must outlive it.
func TestStreamOutlivesTheDeadlineHeader(t *testing.T) {
	inUpload(t, nil, func(t *testing.T, w *upWorld) {
		task := w.shelf.begin(t, 2)
		var protocols http.Protocols
		protocols.SetUnencryptedHTTP2(true)
		transport := &http.Transport{Protocols: &protocols,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return w.pipes.dial(ctx, "") }}
		defer transport.CloseIdleConnections()
		ask, err := proto.Marshal(upSync(0, 1))
		require.NoError(t, err)
		frame := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(ask))), ask...)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://upload/dfdaemon.v2.DfdaemonUpload/SyncPieces", bytes.NewReader(frame))
		require.NoError(t, err)
		request.Header.Set("Content-Type", "application/grpc")
		request.Header.Set("Te", "trailers")
		request.Header.Set("Grpc-Timeout", "10S")
		answer, err := transport.RoundTrip(request)
		require.NoError(t, err)
		defer answer.Body.Close()
		for n := range uint32(2) {
			pass(45 * time.Second)
			upWrite(t, task, n)
			head := make([]byte, 5)
			_, err := io.ReadFull(answer.Body, head)
			require.NoError(t, err, "after %d × 45s; trailer %v", n+1, answer.Trailer)
			body := make([]byte, binary.BigEndian.Uint32(head[1:]))
			_, err = io.ReadFull(answer.Body, body)
			require.NoError(t, err)
			var m dfdaemonv2.SyncPiecesResponse
			require.NoError(t, proto.Unmarshal(body, &m))
			require.Equal(t, n, m.GetNumber())
		}
		_, err = io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.Equal(t, "0", answer.Trailer.Get("Grpc-Status"))
	})
}

func TestOtherDeadlinesStillCount(t *testing.T) {
	inUpload(t, nil, func(t *testing.T, w *upWorld) {
		w.scheduler.stat = func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		_, err := w.client(t).StatTask(ctx, &dfdaemonv2.StatTaskRequest{TaskId: string(upTask)})
		require.Equal(t, codes.DeadlineExceeded, status.Code(err))
		require.Equal(t, 3*time.Second, time.Since(began))
	})
}

func TestSyncHost(t *testing.T) {
	inUpload(t, nil, func(t *testing.T, w *upWorld) {
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := w.client(t).SyncHost(ctx, &dfdaemonv2.SyncHostRequest{HostId: "child", PeerId: "p"})
		require.NoError(t, err)
		began := time.Now()
		for i := range 3 {
			m, err := stream.Recv()
			require.NoError(t, err)
			require.Equal(t, uint64(100), m.GetNetwork().GetMaxTxBandwidth())
			require.Equal(t, uint64(7), m.GetNetwork().GetTxBandwidth())
			require.Equal(t, time.Duration(i)*time.Second, time.Since(began))
		}
		cancel()
	})
}

// upDownloads starts scripted downloads.
type upDownloads struct {
	mu    sync.Mutex
	wants []darter.Want
	fail  error
	next  *upDownload
}

func (d *upDownloads) Start(ctx context.Context, w darter.Want) (Download, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wants = append(d.wants, w)
	if d.fail != nil {
		return nil, d.fail
	}
	d.next.ctx = ctx
	return d.next, nil
}

type upDownload struct {
	started Started
	pieces  chan darter.Piece // closed at the end
	err     error             // after the last piece
	ctx     context.Context
	closed  chan struct{}
}

func newUpDownload(pieces int) *upDownload {
	layout := darter.LayoutOf(int64(pieces)*darter.MinPieceLength, 0)
	return &upDownload{pieces: make(chan darter.Piece), closed: make(chan struct{}), err: io.EOF,
		started: Started{Host: "h", Task: upTask, Peer: "p", Layout: layout, Pieces: layout.Covering(nil)}}
}

func (d *upDownload) Started() Started { return d.started }
func (d *upDownload) Close()           { close(d.closed) }
func (d *upDownload) Next(ctx context.Context) (darter.Piece, error) {
	select {
	case p, ok := <-d.pieces:
		if !ok {
			return darter.Piece{}, d.err
		}
		return p, nil
	case <-ctx.Done():
		return darter.Piece{}, context.Cause(ctx)
	}
}

type upScheduler struct {
	deleted []darter.TaskID
	err     error
	stat    func(context.Context) error
}

func (s *upScheduler) StatTask(ctx context.Context, id darter.TaskID) (*commonv2.Task, error) {
	if s.stat != nil {
		return nil, s.stat(ctx)
	}
	return &commonv2.Task{Id: string(id)}, nil
}

func (s *upScheduler) DeleteTask(_ context.Context, id darter.TaskID) error {
	s.deleted = append(s.deleted, id)
	return s.err
}

func upTrigger() *dfdaemonv2.DownloadTaskRequest {
	path := "/etc/passwd"
	return &dfdaemonv2.DownloadTaskRequest{Download: &commonv2.Download{Url: "http://origin/file", OutputPath: &path, Overwrite: true,
		NeedPieceContent: true, NeedBackToSource: true, RequestHeader: map[string]string{"Authorization": "secret"}}}
}

func TestTriggerReportsPieces(t *testing.T) {
	inUpload(t, nil, func(t *testing.T, w *upWorld) {
		d := newUpDownload(2)
		w.downloads.next = d
		stream, err := w.client(t).DownloadTask(t.Context(), upTrigger())
		require.NoError(t, err)
		m, err := stream.Recv()
		require.NoError(t, err)
		require.Len(t, m.GetDownloadTaskStartedResponse().GetPieces(), 2)
		require.Equal(t, uint64(2*darter.MinPieceLength), m.GetDownloadTaskStartedResponse().GetContentLength())
		d.pieces <- darter.Piece{Number: 1, Offset: darter.MinPieceLength, Length: darter.MinPieceLength, CRC: 5, HasCRC: true}
		m, err = stream.Recv()
		require.NoError(t, err)
		require.Equal(t, "crc32:5", m.GetDownloadPieceFinishedResponse().GetPiece().GetDigest())
		close(d.pieces)
		_, err = stream.Recv()
		require.ErrorIs(t, err, io.EOF)
		<-d.closed
		got := w.downloads.wants[0]
		require.Empty(t, got.OutputPath, "this port writes no files")
		require.False(t, got.Overwrite || got.NeedContent)
		require.True(t, got.NeedSource)
		require.Equal(t, "secret", got.Header["Authorization"])
	})
}

func TestTriggerOutlivesItsStream(t *testing.T) {
	inUpload(t, nil, func(t *testing.T, w *upWorld) {
		d := newUpDownload(1)
		w.downloads.next = d
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := w.client(t).DownloadTask(ctx, upTrigger())
		require.NoError(t, err)
		_, err = stream.Recv()
		require.NoError(t, err)
		cancel()
		synctest.Wait()
		pass(time.Minute)
		require.NoError(t, d.ctx.Err(), "the scheduler died, the swarm did not")
		d.pieces <- darter.Piece{Number: 0}
		close(d.pieces)
		<-d.closed
	})
}

func TestTriggerEndsWithTheServer(t *testing.T) {
	inUpload(t, nil, func(t *testing.T, w *upWorld) {
		d := newUpDownload(1)
		w.downloads.next = d
		stream, err := w.client(t).DownloadTask(t.Context(), upTrigger())
		require.NoError(t, err)
		_, err = stream.Recv()
		require.NoError(t, err)
		w.stop()
		_, err = stream.Recv()
		require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
		<-d.closed
	})
}

func TestTriggerOfACompleteTaskRemindsTheScheduler(t *testing.T) {
	var recalled []darter.TaskID
	inUpload(t, func(c *UploadConfig) {
		c.Recall = func(_ context.Context, id darter.TaskID, w darter.Want) error {
			recalled = append(recalled, id)
			require.Equal(t, "http://origin/file", w.URL)
			return nil
		}
	}, func(t *testing.T, w *upWorld) {
		d := newUpDownload(1)
		d.started.Finished = true
		w.downloads.next = d
		stream, err := w.client(t).DownloadTask(t.Context(), upTrigger())
		require.NoError(t, err)
		_, err = stream.Recv()
		require.ErrorIs(t, err, io.EOF, "nothing is sent for a task that is here")
		require.Equal(t, []darter.TaskID{upTask}, recalled)
	})
}

// The source's answer travels as JSON text in a trailer where gRPC expects something else.
func TestTriggerCarriesTheSourcesAnswer(t *testing.T) {
	inUpload(t, nil, func(t *testing.T, w *upWorld) {
		w.downloads.fail = &darter.Error{Kind: darter.NotFound, Op: "download", Err: &source.Error{URL: "http://origin/file", Status: 404,
			Header: map[string]string{"Server": "x"}, Message: "Not Found"}}
		stream, err := w.client(t).DownloadTask(t.Context(), upTrigger())
		require.NoError(t, err)
		_, err = stream.Recv()
		require.Equal(t, codes.Internal, status.Code(err))
		raw := first(stream.Trailer().Get(wire.BackendTrailer))
		require.JSONEq(t, `{"message":"the source http://origin/file answered 404 Not Found","header":{"Server":"x"},"status_code":404}`, raw)
	})
}

func TestTriggerWithoutAURL(t *testing.T) {
	inUpload(t, nil, func(t *testing.T, w *upWorld) {
		stream, err := w.client(t).DownloadTask(t.Context(), &dfdaemonv2.DownloadTaskRequest{})
		require.NoError(t, err)
		_, err = stream.Recv()
		require.Equal(t, codes.InvalidArgument, status.Code(err))
	})
}

func TestUploadTasks(t *testing.T) {
	inUpload(t, nil, func(t *testing.T, w *upWorld) {
		client := w.client(t)
		_, err := client.StatLocalTask(t.Context(), &dfdaemonv2.StatLocalTaskRequest{TaskId: string(upTask)})
		require.Equal(t, codes.NotFound, status.Code(err))
		w.shelf.begin(t, 2)
		local, err := client.StatLocalTask(t.Context(), &dfdaemonv2.StatLocalTaskRequest{TaskId: string(upTask)})
		require.NoError(t, err)
		require.NoError(t, local.Validate())
		require.Equal(t, uint64(7), local.GetUploadedCount())
		task, err := client.StatTask(t.Context(), &dfdaemonv2.StatTaskRequest{TaskId: string(upTask)})
		require.NoError(t, err)
		require.Equal(t, string(upTask), task.GetId())

		w.scheduler.err = &darter.Error{Kind: darter.Unavailable, Op: "withdraw"}
		_, err = client.DeleteTask(t.Context(), &dfdaemonv2.DeleteTaskRequest{TaskId: string(upTask)})
		require.NoError(t, err, "a scheduler that is away does not keep content alive")
		require.Equal(t, []darter.TaskID{upTask}, w.scheduler.deleted)
		_, err = client.DeleteTask(t.Context(), &dfdaemonv2.DeleteTaskRequest{TaskId: string(upTask)})
		require.Equal(t, codes.NotFound, status.Code(err))
		_, err = client.DeleteTask(t.Context(), &dfdaemonv2.DeleteTaskRequest{TaskId: "../../etc"})
		require.Equal(t, codes.InvalidArgument, status.Code(err))
	})
}

func TestUploadSaysWhatItDoesNotServe(t *testing.T) {
	inUpload(t, nil, func(t *testing.T, w *upWorld) {
		client := w.client(t)
		_, err := client.ListTaskEntries(t.Context(), &dfdaemonv2.ListTaskEntriesRequest{TaskId: "t"})
		require.Equal(t, codes.Unimplemented, status.Code(err))
		require.Contains(t, err.Error(), "name each file")
		_, err = client.StatPersistentTask(t.Context(), &dfdaemonv2.StatPersistentTaskRequest{})
		require.Equal(t, codes.Unimplemented, status.Code(err))
		require.Contains(t, err.Error(), "persistent")
	})
}

func TestUploadHealthAndRate(t *testing.T) {
	var refused int
	inUpload(t, func(c *UploadConfig) {
		c.RequestRate, c.RequestBurst = 1, 2
		c.Events.Served = func(_ string, _ time.Duration, err error) {
			if err != nil {
				refused++
			}
		}
	}, func(t *testing.T, w *upWorld) {
		conn := w.conn(t)
		var last error
		for range 3 {
			_, last = dfdaemonv2.NewDfdaemonUploadClient(conn).StatTask(t.Context(), &dfdaemonv2.StatTaskRequest{TaskId: string(upTask)})
		}
		require.Equal(t, codes.ResourceExhausted, status.Code(last))
		require.Equal(t, 1, refused)
		health, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
		require.NoError(t, err)
		require.Equal(t, healthv1.HealthCheckResponse_SERVING, health.GetStatus())
		pass(time.Second)
		_, err = dfdaemonv2.NewDfdaemonUploadClient(conn).StatTask(t.Context(), &dfdaemonv2.StatTaskRequest{TaskId: string(upTask)})
		require.NoError(t, err)
	})
}

func TestUploadLimitsStreams(t *testing.T) {
	inUpload(t, func(c *UploadConfig) { c.MaxStreams = 1 }, func(t *testing.T, w *upWorld) {
		w.shelf.begin(t, 2)
		client := w.client(t)
		stream, err := client.SyncPieces(t.Context(), upSync(0))
		require.NoError(t, err)
		_, err = stream.Header()
		require.NoError(t, err)
		more, err := client.SyncPieces(t.Context(), upSync(0))
		require.NoError(t, err)
		_, err = more.Recv()
		require.Equal(t, codes.ResourceExhausted, status.Code(err))
	})
}

func TestUploadConfigIsChecked(t *testing.T) {
	_, err := NewUpload(DefaultUploadConfig())
	require.Equal(t, darter.Invalid, darter.KindOf(err))
	require.True(t, strings.Contains(err.Error(), "required"))
}
