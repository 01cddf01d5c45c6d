package rpc

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	dfdaemonv2 "d7y.io/api/v2/pkg/apis/dfdaemon/v2"
	"golang.org/x/sync/errgroup"

	"github.com/darter-p2p/darter"
)

// Run serves until ctx ends; then it ends the streams, lets other calls finish within the drain limit, and returns
// when all that it started has ended. It closes the listener.
func (u *Upload) Run(ctx context.Context) error {
	web := u.web(ctx)
	group, serving := errgroup.WithContext(ctx)
	group.Go(func() error {
		err := web.Serve(u.cfg.Listener)
		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}
		return &darter.Error{Kind: darter.Unavailable, Op: "serve uploads on " + u.cfg.Listener.Addr().String(), Err: err}
	})
	group.Go(func() error {
		<-serving.Done()
		u.Drain()
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), u.cfg.DrainTimeout)
		defer cancel()
		if web.Shutdown(limited) != nil {
			_ = web.Close()
		}
		u.server.Stop()
		return nil
	})
	err := group.Wait()
	u.triggers.Wait()
	return err
}

// web is the HTTP/2 server under the gRPC server. Dragonfly's children send "grpc-timeout: 10s" with
// streams that last as long as a download, and mean the time until the headers come. gRPC for Go ends the whole
// stream by it, inside the transport, where no interceptor helps: so the header has to go before.
func (u *Upload) web(ctx context.Context) *http.Server {
	var plain http.Protocols
	plain.SetUnencryptedHTTP2(true)
	ctx = context.WithoutCancel(ctx) // requests end by draining
	return &http.Server{
		Handler:           patient(u.server),
		Protocols:         &plain,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 256,
			SendPingTimeout:      15 * time.Second, // finds children that died without a word
			PingTimeout:          10 * time.Second,
			WriteByteTimeout:     20 * time.Second,
		},
	}
}

// patient takes the deadline off the calls whose deadline does not mean what gRPC takes it for.
func patient(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		service, method, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if service == dfdaemonv2.DfdaemonUpload_ServiceDesc.ServiceName && strings.HasPrefix(method, "Sync") {
			r.Header.Del("Grpc-Timeout")
		}
		next.ServeHTTP(w, r)
	})
}
