package rpc

import (
	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	dfdaemonv2 "d7y.io/api/v2/pkg/apis/dfdaemon/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Prepare makes the tables that encode and decode the messages of a download. The first use of a message makes them
// otherwise, and a small download waits for that longer than for its bytes. It may run beside anything.
func Prepare() {
	p := &commonv2.Piece{Length: 1, CreatedAt: &timestamppb.Timestamp{Seconds: 1}, Cost: &durationpb.Duration{Seconds: 1}}
	for _, m := range []proto.Message{
		&dfdaemonv2.DownloadTaskRequest{Download: &commonv2.Download{Url: "u"}},
		&dfdaemonv2.DownloadTaskResponse{Response: &dfdaemonv2.DownloadTaskResponse_DownloadTaskStartedResponse{
			DownloadTaskStartedResponse: &dfdaemonv2.DownloadTaskStartedResponse{Pieces: []*commonv2.Piece{p}}}},
		&dfdaemonv2.DownloadTaskResponse{Response: &dfdaemonv2.DownloadTaskResponse_DownloadPieceFinishedResponse{
			DownloadPieceFinishedResponse: &dfdaemonv2.DownloadPieceFinishedResponse{Piece: p}}},
	} {
		_ = proto.Size(m)
	}
}
