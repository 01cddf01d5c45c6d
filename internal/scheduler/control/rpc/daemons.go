package rpc

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	dfdaemonv2 "d7y.io/api/v2/pkg/apis/dfdaemon/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/scheduler/control"
)

// maxIdle is how many connections are kept when nobody uses them.
const maxIdle = 512

// Daemons speaks to daemons' upload servers. Close it.
type Daemons struct {
	dial func(ctx context.Context, addr string) (net.Conn, error)
	opts []grpc.DialOption

	mu struct {
		sync.Mutex
		links map[netip.AddrPort]*link
	}
}

type link struct {
	conn  *grpc.ClientConn
	users int
	last  time.Time
}

// NewDaemons returns a client. Dial is nil for TCP; opts replace the plain transport.
func NewDaemons(dial func(ctx context.Context, addr string) (net.Conn, error), opts ...grpc.DialOption) *Daemons {
	d := &Daemons{dial: dial, opts: opts}
	d.mu.links = map[netip.AddrPort]*link{}
	return d
}

// Close ends all connections.
func (d *Daemons) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var err error
	for at, l := range d.mu.links {
		err = errors.Join(err, l.conn.Close())
		delete(d.mu.links, at)
	}
	return err
}

// to returns a client of a daemon; done gives its connection back.
func (d *Daemons) to(t darter.Target) (client dfdaemonv2.DfdaemonUploadClient, done func(), err error) {
	at := netip.AddrPortFrom(t.IP, t.Port)
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.mu.links[at]
	if l == nil {
		opts := append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithReadBufferSize(8 << 10), grpc.WithWriteBufferSize(8 << 10)}, d.opts...)
		if d.dial != nil {
			opts = append(opts, grpc.WithContextDialer(d.dial))
		}
		conn, err := grpc.NewClient("passthrough:///"+at.String(), opts...)
		if err != nil {
			return nil, nil, &control.Failed{Class: darter.FailedHostLost, Err: err}
		}
		l = &link{conn: conn}
		d.mu.links[at] = l
		d.prune()
	}
	l.users++
	return dfdaemonv2.NewDfdaemonUploadClient(l.conn), func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		l.users--
		l.last = time.Now()
	}, nil
}

// prune closes what nobody uses when there is too much of it.
func (d *Daemons) prune() {
	if len(d.mu.links) <= maxIdle {
		return
	}
	for at, l := range d.mu.links {
		if l.users == 0 && time.Since(l.last) > time.Minute {
			_ = l.conn.Close() // nothing runs on it
			delete(d.mu.links, at)
		}
	}
}

// Fetch has a host fetch.
func (d *Daemons) Fetch(ctx context.Context, to darter.Target, want darter.Want) (task darter.TaskID, bytes int64, err error) {
	client, done, err := d.to(to)
	if err != nil {
		return "", 0, err
	}
	defer done()
	ctx = metadata.AppendToOutgoingContext(ctx, wire.MetaNative, "1")
	stream, err := client.DownloadTask(ctx, &dfdaemonv2.DownloadTaskRequest{Download: wire.FromWant(want)})
	if err != nil {
		return "", 0, failure(nil, err)
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return task, bytes, nil
		}
		if err != nil {
			return task, bytes, failure(stream.Trailer(), err)
		}
		if m.GetTaskId() != "" {
			task = darter.TaskID(m.GetTaskId())
		}
		if p := m.GetDownloadPieceFinishedResponse().GetPiece(); p != nil {
			bytes += int64(p.GetLength())
		}
	}
}

// Holds asks a host whether it holds the whole of a task.
func (d *Daemons) Holds(ctx context.Context, at darter.Target, task darter.TaskID) (bool, error) {
	client, done, err := d.to(at)
	if err != nil {
		return false, err
	}
	defer done()
	m, err := client.StatLocalTask(ctx, &dfdaemonv2.StatLocalTaskRequest{TaskId: string(task)})
	if status.Code(err) == codes.NotFound {
		return false, nil
	}
	if err != nil {
		return false, asked(err)
	}
	return m.GetFinishedAt() != nil, nil
}

// Drop has a host forget a task.
func (d *Daemons) Drop(ctx context.Context, at darter.Target, task darter.TaskID) error {
	client, done, err := d.to(at)
	if err != nil {
		return err
	}
	defer done()
	_, err = client.DeleteTask(ctx, &dfdaemonv2.DeleteTaskRequest{TaskId: string(task)})
	if err == nil || status.Code(err) == codes.NotFound || strings.Contains(status.Convert(err).Message(), "not found") {
		return nil // plain daemons say INTERNAL when they do not hold it; the question that follows tells
	}
	return asked(err)
}

// asked classes the failure of a question: it is the host's own, not an origin's.
func asked(err error) error {
	class := darter.FailedInternal
	switch status.Code(err) {
	case codes.Unavailable:
		class = darter.FailedHostLost
	case codes.DeadlineExceeded, codes.Canceled:
		class = darter.FailedTimeout
	}
	return &control.Failed{Class: class, Err: wire.FromStatus("ask host", err)}
}

// failure classes what a fetch failed with: what the origin said, if it said anything, else what the host said.
func failure(trailer metadata.MD, err error) error {
	out := &control.Failed{Class: darter.FailedInternal, Err: wire.FromStatus("fetch", err)}
	if raw := trailer.Get(wire.BackendTrailer); len(raw) > 0 {
		if b, bad := wire.ParseBackend([]byte(raw[0])); bad == nil && b.Status != 0 {
			out.Class = ofStatus(b.Status)
			return out
		}
	}
	switch darter.KindOf(out.Err) {
	case darter.Invalid:
		out.Class = darter.FailedInvalid
	case darter.NotFound:
		out.Class = darter.Failed404
	case darter.Denied:
		out.Class = darter.Failed403
	case darter.Corrupt:
		out.Class = darter.FailedDigest
	case darter.NoSpace:
		out.Class = darter.FailedDiskFull
	case darter.TimedOut:
		out.Class = darter.FailedTimeout
	case darter.Unavailable:
		out.Class = darter.FailedConnect
		if status.Code(err) == codes.Unavailable && strings.Contains(status.Convert(err).Message(), "connection error") {
			out.Class = darter.FailedHostLost // gRPC never reached the host
		}
	}
	return out
}

func ofStatus(code int) darter.Failure {
	switch {
	case code == 401:
		return darter.Failed401
	case code == 403:
		return darter.Failed403
	case code == 404 || code == 410:
		return darter.Failed404
	case code == 429:
		return darter.Failed429
	case code >= 500:
		return darter.Failed5xx
	}
	return darter.FailedInvalid
}
