package rpc

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// notServed answers, in plain words, calls that the API has and this daemon does not serve.
func notServed(method string) error {
	name := method[strings.LastIndexByte(method, '/')+1:]
	var why string
	switch {
	case strings.Contains(name, "PersistentCache"), strings.Contains(name, "Persistent"):
		why = "persistent content is not kept by this daemon; use DownloadTask"
	case strings.Contains(name, "Cache"):
		why = "cache tasks never left the drawing board of the API; use DownloadTask"
	case name == "ListTaskEntries":
		why = "folders are not listed by this daemon; name each file"
	default:
		why = "this daemon does not know it"
	}
	return status.Error(codes.Unimplemented, name+" is not served: "+why)
}

// clearUnary and clearStream put the words of notServed in place of the generated ones.
func clearUnary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	answer, err := handle(ctx, request)
	if status.Code(err) == codes.Unimplemented {
		err = notServed(info.FullMethod)
	}
	return answer, err
}

func clearStream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	err := handle(server, stream)
	if status.Code(err) == codes.Unimplemented {
		err = notServed(info.FullMethod)
	}
	return err
}
