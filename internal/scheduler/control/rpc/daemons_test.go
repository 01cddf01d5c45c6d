package rpc

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	dfdaemonv2 "d7y.io/api/v2/pkg/apis/dfdaemon/v2"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/scheduler/control"
)

// daemon answers as daemons do; the URL or task id says how.
type daemon struct {
	dfdaemonv2.UnimplementedDfdaemonUploadServer
}

func (daemon) DownloadTask(m *dfdaemonv2.DownloadTaskRequest, stream dfdaemonv2.DfdaemonUpload_DownloadTaskServer) error {
	var origin int
	if _, err := fmt.Sscanf(m.GetDownload().GetUrl(), "http://o/origin/%d", &origin); err == nil {
		stream.SetTrailer(metadata.Pairs(wire.BackendTrailer, string(wire.Backend{Status: origin, Message: "no"}.JSON())))
		return status.Error(codes.Internal, "the origin refused")
	}
	switch m.GetDownload().GetUrl() {
	case "http://o/full":
		return wire.Status(&darter.Error{Kind: darter.NoSpace, Op: "store", Err: fmt.Errorf("no space")})
	case "http://o/digest":
		return wire.Status(&darter.Error{Kind: darter.Corrupt, Op: "check", Err: fmt.Errorf("digest")})
	}
	for _, n := range []uint64{10, 5} {
		err := stream.Send(&dfdaemonv2.DownloadTaskResponse{HostId: "h", TaskId: "the-task", PeerId: "p", Response: &dfdaemonv2.DownloadTaskResponse_DownloadPieceFinishedResponse{
			DownloadPieceFinishedResponse: &dfdaemonv2.DownloadPieceFinishedResponse{Piece: &commonv2.Piece{Length: n}}}})
		if err != nil {
			return err
		}
	}
	return nil
}

func (daemon) StatLocalTask(_ context.Context, m *dfdaemonv2.StatLocalTaskRequest) (*dfdaemonv2.StatLocalTaskResponse, error) {
	switch m.GetTaskId() {
	case "whole":
		return &dfdaemonv2.StatLocalTaskResponse{FinishedAt: timestamppb.Now()}, nil
	case "half":
		return &dfdaemonv2.StatLocalTaskResponse{}, nil
	}
	return nil, status.Error(codes.NotFound, "no")
}

func (daemon) DeleteTask(_ context.Context, m *dfdaemonv2.DeleteTaskRequest) (*emptypb.Empty, error) {
	switch m.GetTaskId() {
	case "whole":
		return &emptypb.Empty{}, nil
	case "plain-missing":
		return nil, status.Error(codes.Internal, "task plain-missing not found")
	}
	return nil, status.Error(codes.Internal, "disk broke")
}

func serve(t *testing.T) darter.Target {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := grpc.NewServer()
	dfdaemonv2.RegisterDfdaemonUploadServer(g, daemon{})
	var group errgroup.Group
	group.Go(func() error { return g.Serve(listener) })
	t.Cleanup(func() { g.Stop(); require.NoError(t, group.Wait()) })
	at := netip.MustParseAddrPort(listener.Addr().String())
	return darter.Target{ID: "h", IP: at.Addr(), Port: at.Port()}
}

func classOf(t *testing.T, err error) darter.Failure {
	t.Helper()
	var f *control.Failed
	require.ErrorAs(t, err, &f)
	return f.Class
}

func TestDaemons(t *testing.T) {
	d, at := NewDaemons(nil), serve(t)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	task, bytes, err := d.Fetch(t.Context(), at, darter.Want{URL: "http://o/x"})
	require.NoError(t, err)
	require.Equal(t, darter.TaskID("the-task"), task)
	require.EqualValues(t, 15, bytes)
	for url, want := range map[string]darter.Failure{"http://o/origin/401": darter.Failed401, "http://o/origin/403": darter.Failed403, "http://o/origin/404": darter.Failed404,
		"http://o/origin/429": darter.Failed429, "http://o/origin/503": darter.Failed5xx, "http://o/full": darter.FailedDiskFull, "http://o/digest": darter.FailedDigest} {
		_, _, err := d.Fetch(t.Context(), at, darter.Want{URL: url})
		require.Equal(t, want, classOf(t, err), url)
	}
	for task, want := range map[darter.TaskID]bool{"whole": true, "half": false, "none": false} {
		got, err := d.Holds(t.Context(), at, task)
		require.NoError(t, err)
		require.Equal(t, want, got, task)
	}
	require.NoError(t, d.Drop(t.Context(), at, "whole"))
	require.NoError(t, d.Drop(t.Context(), at, "plain-missing"))
	require.Error(t, d.Drop(t.Context(), at, "broken"))

	gone := darter.Target{ID: "gone", IP: at.IP, Port: 1}
	_, err = d.Holds(t.Context(), gone, "whole")
	require.Equal(t, darter.FailedHostLost, classOf(t, err))
	_, _, err = d.Fetch(t.Context(), gone, darter.Want{URL: "http://o/x"})
	require.Equal(t, darter.FailedHostLost, classOf(t, err))
}
