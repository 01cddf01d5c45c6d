package rpc

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	dfdaemonv2 "d7y.io/api/v2/pkg/apis/dfdaemon/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// raw passes bytes through gRPC as they are.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = data
	return nil
}
func (raw) Name() string { return "proto" }

// methods are the calls of a service, by their full names.
func methods(d grpc.ServiceDesc) (out []string) {
	for _, m := range d.Methods {
		out = append(out, "/"+d.ServiceName+"/"+m.MethodName)
	}
	for _, s := range d.Streams {
		out = append(out, "/"+d.ServiceName+"/"+s.StreamName)
	}
	return out
}

// callRaw sends one request and reads what is answered, up to a limit.
func callRaw(ctx context.Context, conn *grpc.ClientConn, method string, request []byte) error {
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method, grpc.ForceCodec(raw{}))
	if err != nil {
		return err
	}
	if err := stream.SendMsg(&request); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for range 100 {
		var answer []byte
		if err := stream.RecvMsg(&answer); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// seed adds one request to every method.
func seed(f *testing.F, calls []string, messages ...proto.Message) {
	for i := range calls {
		for _, m := range messages {
			b, err := proto.Marshal(m)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(byte(i), b)
		}
		f.Add(byte(i), []byte{0xff, 0xff, 0xff})
	}
}

// answered checks that whoever was asked told what is wrong, and still serves.
func answered(t *testing.T, conn *grpc.ClientConn, method string, err error) {
	t.Helper()
	if code := status.Code(err); code == codes.Unknown {
		t.Errorf("%s: %v, which says nothing", method, err)
	}
	r, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil || r.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Fatalf("after %s: %v, %v", method, r, err)
	}
}

// FuzzUpload sends any bytes to any call that other hosts may make: nothing panics or is left behind, and the server serves on.
func FuzzUpload(f *testing.F) {
	calls := methods(dfdaemonv2.DfdaemonUpload_ServiceDesc)
	seed(f, calls, upSync(0, 1), upSync(4_000_000_000), &dfdaemonv2.StatTaskRequest{TaskId: string(upTask)},
		&dfdaemonv2.DownloadTaskRequest{Download: &commonv2.Download{Url: "http://origin/file", Range: &commonv2.Range{Start: 1 << 63, Length: 1 << 63}}})
	f.Fuzz(func(t *testing.T, which byte, request []byte) {
		inUpload(t, nil, func(t *testing.T, w *upWorld) {
			upWrite(t, w.shelf.begin(t, 2), 1)
			conn := w.conn(t)
			defer conn.Close()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			method := calls[int(which)%len(calls)]
			answered(t, conn, method, callRaw(ctx, conn, method, request))
		})
	})
}

// FuzzSocket does the same to the calls of local tools.
func FuzzSocket(f *testing.F) {
	calls := methods(dfdaemonv2.DfdaemonDownload_ServiceDesc)
	seed(f, calls, &dfdaemonv2.StatLocalTaskRequest{TaskId: string(testTask)},
		&dfdaemonv2.DownloadTaskRequest{Download: &commonv2.Download{Url: "http://origin/file", OutputPath: proto.String("../x"), NeedPieceContent: true}})
	r := newSocketRig(f, newScripted(0, 1, 2), nil)
	f.Fuzz(func(t *testing.T, which byte, request []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		method := calls[int(which)%len(calls)]
		err := callRaw(ctx, r.conn, method, request)
		if status.Code(err) == codes.DeadlineExceeded {
			t.Errorf("%s did not end: %v", method, err)
		}
		answered(t, r.conn, method, err)
	})
}
