package rpc

import (
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/source"
)

// failure turns the error of a download into a gRPC status error. When the source answered, the status
// is INTERNAL and the trailer set through setTrailer tells what it answered, as the released daemon
// does: JSON text where gRPC expects a google.rpc.Status. The library keeps it only on a status that
// has no details of its own.
func failure(err error, setTrailer func(metadata.MD)) error {
	if err == nil {
		return nil
	}
	answer, answered := errors.AsType[*source.Error](err)
	if !answered {
		return wire.Status(err)
	}
	details := wire.Backend{Message: answer.Error(), Header: answer.Header, Status: answer.Status}
	setTrailer(metadata.Pairs(wire.BackendTrailer, string(details.JSON())))
	return status.Error(codes.Internal, err.Error())
}
