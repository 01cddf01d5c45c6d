package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	dfdaemonv2 "d7y.io/api/v2/pkg/apis/dfdaemon/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/cli"
	"github.com/darter-p2p/darter/internal/source"
)

// connectLimit bounds the wait for a socket to take a connection.
const connectLimit = 2 * time.Second

// Socket is a daemon behind its unix socket.
type Socket struct {
	path   string
	conn   *grpc.ClientConn
	spare  chan net.Conn // the connection that proved the daemon alive, until the first call takes it
	daemon dfdaemonv2.DfdaemonDownloadClient
	writes bool
}

// OpenSocket reaches the daemon behind a unix socket. When none listens there, it is darter.Unavailable at once.
func OpenSocket(ctx context.Context, path string) (*Socket, error) {
	dial := net.Dialer{Timeout: connectLimit}
	first, err := dial.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, noSocket(path, err)
	}
	spare := make(chan net.Conn, 1)
	spare <- first
	conn, err := grpc.NewClient("passthrough:///darter", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			select {
			case c := <-spare:
				return c, nil
			default:
				return dial.DialContext(ctx, "unix", path)
			}
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)),
		grpc.WithStaticStreamWindowSize(4<<20), grpc.WithStaticConnWindowSize(8<<20),
		grpc.WithDisableServiceConfig())
	if err != nil {
		first.Close()
		return nil, &darter.Error{Kind: darter.Internal, Op: "reach the daemon", Err: err}
	}
	conn.Connect() // the handshake goes on while the command looks at its files
	return &Socket{path: path, conn: conn, spare: spare, daemon: dfdaemonv2.NewDfdaemonDownloadClient(conn), writes: sameUser(path)}, nil
}

func noSocket(path string, err error) error {
	e := &darter.Error{Kind: darter.Unavailable, Op: "reach the daemon", Err: err, Hint: "start one with \"darter up\" or \"darter daemon\""}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Err = fmt.Errorf("there is no socket %s", path)
	case errors.Is(err, syscall.ECONNREFUSED):
		e.Err = fmt.Errorf("nobody listens at %s", path)
	case errors.Is(err, fs.ErrPermission):
		e.Kind, e.Hint = darter.Denied, "run as the daemon's user, or name another socket with --socket"
	}
	return e
}

// sameUser reports whether the daemon can write files for this process: whether it runs as the same
// user. Of files that another user made for us we could not even tell that they are whole.
func sameUser(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

// Writes implements cli.Getter.
func (s *Socket) Writes() bool { return s.writes }

// Close ends the connection.
func (s *Socket) Close() error {
	err := s.conn.Close()
	select {
	case unused := <-s.spare:
		return errors.Join(err, unused.Close())
	default:
		return err
	}
}

// Get implements cli.Getter with DownloadTask.
func (s *Socket) Get(ctx context.Context, w darter.Want, sink cli.Sink) (cli.Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if w.Rate > 0 {
		ctx = metadata.AppendToOutgoingContext(ctx, wire.MetaRate, strconv.FormatInt(int64(w.Rate), 10))
	}
	stream, err := s.daemon.DownloadTask(ctx, &dfdaemonv2.DownloadTaskRequest{Download: wire.FromWant(w)})
	if err != nil {
		return cli.Result{}, s.failed(w, nil, err)
	}
	var out cli.Result
	seen := darter.PieceSet{}
	for started := false; ; {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out, complete(started)
		}
		if err != nil {
			return out, s.failed(w, stream.Trailer(), err)
		}
		switch r := m.GetResponse().(type) {
		case *dfdaemonv2.DownloadTaskResponse_DownloadTaskStartedResponse:
			if started {
				continue
			}
			started = true
			if out, err = begin(darter.TaskID(m.GetTaskId()), r.DownloadTaskStartedResponse, sink); err != nil {
				return out, err
			}
		case *dfdaemonv2.DownloadTaskResponse_DownloadPieceFinishedResponse:
			if err := piece(r.DownloadPieceFinishedResponse, w.NeedContent, &seen, sink); err != nil {
				return out, err
			}
		}
	}
}

func complete(started bool) error {
	if started {
		return nil
	}
	return &darter.Error{Kind: darter.Unavailable, Op: "download", Err: errors.New("the daemon ended the download before it began"), Hint: "look into the daemon's log"}
}

func begin(id darter.TaskID, m *dfdaemonv2.DownloadTaskStartedResponse, sink cli.Sink) (cli.Result, error) {
	out := cli.Result{Task: id, Length: int64(m.GetContentLength()), Header: m.GetResponseHeader()}
	if out.Length < 0 {
		return out, &darter.Error{Kind: darter.Corrupt, Op: "read the daemon's answer", Err: fmt.Errorf("a content of %d bytes cannot be", m.GetContentLength())}
	}
	start := cli.Start{Task: id, Length: out.Length, Held: m.GetIsFinished()}
	if r := m.GetRange(); r != nil {
		var err error
		if start.Range, err = wire.ToRange(r); err != nil {
			return out, err
		}
	}
	if sink.Started != nil {
		sink.Started(start)
	}
	return out, nil
}

func piece(m *dfdaemonv2.DownloadPieceFinishedResponse, needContent bool, seen *darter.PieceSet, sink cli.Sink) error {
	p, err := wire.ToPiece(m.GetPiece())
	if err != nil {
		return err
	}
	content := m.GetPiece().GetContent()
	if needContent && int64(len(content)) != p.Length {
		return &darter.Error{Kind: darter.Corrupt, Op: "read the daemon's answer", Err: fmt.Errorf("piece %d has %d bytes, %d were announced", p.Number, len(content), p.Length)}
	}
	if !seen.Add(p.Number) || sink.Piece == nil {
		return nil
	}
	return sink.Piece(p, content)
}

// failed turns the end of a call into an error of ours. A daemon tells what the source answered in a trailer.
func (s *Socket) failed(w darter.Want, trailer metadata.MD, err error) error {
	for _, text := range trailer.Get(wire.BackendTrailer) {
		b, perr := wire.ParseBackend([]byte(text))
		if perr != nil || b.Status == 0 {
			continue
		}
		answer := &source.Error{URL: wire.PublicURL(w.URL), Status: b.Status, Header: b.Header, Message: http.StatusText(b.Status)}
		return &darter.Error{Kind: darter.KindOf(answer), Op: "download " + wire.PublicURL(w.URL), Err: answer}
	}
	return wire.FromStatus("download "+wire.PublicURL(w.URL), err)
}

// Schedulers implements cli.Daemon.
func (s *Socket) Schedulers(ctx context.Context) ([]string, error) {
	var header metadata.MD
	if err := s.check(ctx, grpc.Header(&header)); err != nil {
		return nil, err
	}
	told := header.Get(wire.MetaSchedulers)
	if len(told) == 0 {
		return nil, nil
	}
	return strings.FieldsFunc(told[0], func(r rune) bool { return r == ',' }), nil
}

// Health implements cli.Daemon.
func (s *Socket) Health(ctx context.Context) error { return s.check(ctx) }

func (s *Socket) check(ctx context.Context, options ...grpc.CallOption) error {
	r, err := grpc_health_v1.NewHealthClient(s.conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{}, options...)
	if err != nil {
		return wire.FromStatus("check health", err)
	}
	if r.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return &darter.Error{Kind: darter.Unavailable, Op: "check health", Err: fmt.Errorf("the daemon is %s", r.GetStatus())}
	}
	return nil
}

// Tasks implements cli.Daemon.
func (s *Socket) Tasks(ctx context.Context) ([]cli.LocalTask, error) {
	r, err := s.daemon.ListLocalTasks(ctx, &dfdaemonv2.ListLocalTasksRequest{})
	if err != nil {
		return nil, wire.FromStatus("list tasks", err)
	}
	out := make([]cli.LocalTask, 0, len(r.GetTasks()))
	for _, t := range r.GetTasks() {
		out = append(out, localTask(t))
	}
	return out, nil
}

// Task implements cli.Daemon.
func (s *Socket) Task(ctx context.Context, id darter.TaskID) (cli.LocalTask, error) {
	r, err := s.daemon.StatLocalTask(ctx, &dfdaemonv2.StatLocalTaskRequest{TaskId: string(id)})
	if err != nil {
		return cli.LocalTask{}, wire.FromStatus("show task", err)
	}
	return localTask(r), nil
}

func localTask(m *dfdaemonv2.StatLocalTaskResponse) cli.LocalTask {
	return cli.LocalTask{ID: darter.TaskID(m.GetTaskId()), Length: int64(m.GetContentLength()), PieceLength: int64(m.GetPieceLength()),
		Complete: m.GetFinishedAt().IsValid(), Uploading: m.GetUploadingCount(), Uploaded: m.GetUploadedCount(),
		Created: wire.ToTime(m.GetCreatedAt()), Updated: wire.ToTime(m.GetUpdatedAt())}
}
