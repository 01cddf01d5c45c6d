package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	dfdaemonv2 "d7y.io/api/v2/pkg/apis/dfdaemon/v2"
	"google.golang.org/grpc/metadata"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/store"
)

// DownloadTask runs one download for a local client and tells it of every piece; with the bytes, in
// ascending order, when it asked for them.
func (s *Socket) DownloadTask(m *dfdaemonv2.DownloadTaskRequest, stream dfdaemonv2.DfdaemonDownload_DownloadTaskServer) error {
	return failure(s.download(m, stream), stream.SetTrailer)
}

func (s *Socket) download(m *dfdaemonv2.DownloadTaskRequest, stream dfdaemonv2.DfdaemonDownload_DownloadTaskServer) error {
	want, err := wire.ToWant(m.GetDownload())
	if err != nil {
		return err
	}
	if want.Rate, err = rateOf(stream.Context()); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	if want.Timeout > 0 {
		ctx, cancel = context.WithTimeout(ctx, want.Timeout)
		defer cancel()
	}
	if want.OutputPath != "" {
		if !filepath.IsAbs(want.OutputPath) {
			return &darter.Error{Kind: darter.Invalid, Op: "download " + want.OutputPath, Err: errors.New("the output path is not absolute"),
				Hint: "the daemon does not know the client's working folder; send the full path"}
		}
		want.OutputPath = filepath.Clean(want.OutputPath)
		if err := s.permit(ctx, "DownloadTask", "have the daemon write files", "ask for the content instead of an output path"); err != nil {
			return err
		}
	}
	d, err := s.cfg.Downloads.Start(ctx, want)
	if err != nil {
		return err
	}
	defer d.Close()
	f := follower{stream: stream, started: d.Started()}
	if err := stream.Send(f.begin()); err != nil {
		return err
	}
	if want.NeedContent {
		return f.withContent(ctx, d, s.cfg.Store)
	}
	return f.follow(ctx, d, func(p darter.Piece) error { return stream.Send(f.piece(p)) })
}

// rateOf returns the limit that a client of ours asks for.
func rateOf(ctx context.Context) (darter.Size, error) {
	text := first(metadata.ValueFromIncomingContext(ctx, wire.MetaRate))
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		return 0, &darter.Error{Kind: darter.Invalid, Op: "download", Err: fmt.Errorf("the rate %q is not a number of bytes per second", text),
			Hint: "send " + wire.MetaRate + " as a positive number, or not at all"}
	}
	return darter.Size(n), nil
}

// follower tells one client of one download.
type follower struct {
	stream  dfdaemonv2.DfdaemonDownload_DownloadTaskServer
	started Started
}

func (f *follower) envelope() *dfdaemonv2.DownloadTaskResponse {
	return &dfdaemonv2.DownloadTaskResponse{HostId: string(f.started.Host), TaskId: string(f.started.Task), PeerId: string(f.started.Peer)}
}

// begin says what is to come. Clients count the pieces named here against those that arrive.
func (f *follower) begin() *dfdaemonv2.DownloadTaskResponse {
	st := f.started
	begin := &dfdaemonv2.DownloadTaskStartedResponse{
		ContentLength: uint64(max(st.Layout.Length, 0)), Range: wire.FromRange(st.Range), ResponseHeader: st.Header, IsFinished: st.Finished}
	for n := range st.Pieces.All() {
		span := st.Layout.Span(n)
		begin.Pieces = append(begin.Pieces, wire.FromPiece(darter.Piece{Number: n, Offset: span.Offset, Length: span.Length}))
	}
	m := f.envelope()
	m.Response = &dfdaemonv2.DownloadTaskResponse_DownloadTaskStartedResponse{DownloadTaskStartedResponse: begin}
	return m
}

func (f *follower) piece(p darter.Piece) *dfdaemonv2.DownloadTaskResponse {
	return f.carry(wire.FromPiece(p))
}

func (f *follower) carry(p *commonv2.Piece) *dfdaemonv2.DownloadTaskResponse {
	m := f.envelope()
	m.Response = &dfdaemonv2.DownloadTaskResponse_DownloadPieceFinishedResponse{
		DownloadPieceFinishedResponse: &dfdaemonv2.DownloadPieceFinishedResponse{Piece: p}}
	return m
}

// follow calls tell for each piece, until the download ended well.
func (f *follower) follow(ctx context.Context, d Download, tell func(darter.Piece) error) error {
	for {
		p, err := d.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return f.late(ctx, err)
		}
		if err := tell(p); err != nil {
			return err
		}
	}
}

// late names the limit that was passed, where Next only says that it was told to stop.
func (f *follower) late(ctx context.Context, err error) error {
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) || darter.KindOf(err) != darter.Internal {
		return err
	}
	return &darter.Error{Kind: darter.TimedOut, Op: "download task " + f.started.Task.Short(), Err: err,
		Hint: "what arrived is kept; ask again to go on from there, or raise the timeout"}
}

// withContent sends the bytes along. Pieces arrive in any order but leave in ascending order, so that a client can
// pipe them; those that wait are only numbers, the bytes lie in the store.
func (f *follower) withContent(ctx context.Context, d Download, held store.Store) error {
	var task store.Task
	var buffer []byte
	waiting := make(map[uint32]darter.Piece)
	order := f.started.Pieces.Numbers()
	err := f.follow(ctx, d, func(p darter.Piece) error {
		waiting[p.Number] = p
		for len(order) > 0 {
			next, here := waiting[order[0]]
			if !here {
				return nil
			}
			if task == nil {
				var err error
				if task, err = held.Open(f.started.Task); err != nil {
					return err
				}
			}
			message, err := f.filled(task, next, &buffer)
			if err != nil {
				return err
			}
			if err := f.stream.Send(message); err != nil { // it has copied the bytes when it returns
				return err
			}
			delete(waiting, next.Number)
			order = order[1:]
		}
		return nil
	})
	if err == nil && len(order) > 0 {
		err = &darter.Error{Kind: darter.Internal, Op: "download task " + f.started.Task.Short(),
			Err: fmt.Errorf("it ended without piece %d", order[0])}
	}
	return err
}

// filled returns the message of a piece with its bytes, which lie in buffer until the next call.
func (f *follower) filled(task store.Task, p darter.Piece, buffer *[]byte) (*dfdaemonv2.DownloadTaskResponse, error) {
	r, err := task.OpenPiece(p.Number)
	if err != nil {
		return nil, err
	}
	if p.Length != r.Piece.Length || p.Length > darter.MaxPieceLength {
		return nil, errors.Join(&darter.Error{Kind: darter.Corrupt, Op: fmt.Sprintf("read piece %d of task %s", p.Number, f.started.Task.Short()),
			Err: fmt.Errorf("it has %d bytes here, %d were told", r.Piece.Length, p.Length)}, r.Close())
	}
	if int64(cap(*buffer)) < p.Length {
		*buffer = make([]byte, p.Length)
	}
	content := (*buffer)[:p.Length]
	_, err = io.ReadFull(r.Body, content)
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, &darter.Error{Kind: darter.Internal, Op: fmt.Sprintf("read piece %d of task %s", p.Number, f.started.Task.Short()), Err: err}
	}
	m := wire.FromPiece(p)
	m.Content = content
	return f.carry(m), nil
}
