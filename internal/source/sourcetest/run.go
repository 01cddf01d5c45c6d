package sourcetest

import (
	"context"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// NewOrigin serves an origin on a loopback port until the test ends.
func NewOrigin(tb testing.TB) *Origin {
	tb.Helper()
	o := New()
	server := httptest.NewServer(o.Handler())
	tb.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	o.base = server.URL
	return o
}

// NewTLSOrigin is NewOrigin with a certificate that CAFile holds.
func NewTLSOrigin(tb testing.TB) *Origin {
	tb.Helper()
	o := New()
	server := httptest.NewUnstartedServer(o.Handler())
	server.Config.ErrorLog = quiet()
	server.StartTLS()
	tb.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	o.base = server.URL
	o.caFile = filepath.Join(tb.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(o.caFile, block, 0o600); err != nil {
		tb.Fatal(err)
	}
	return o
}

// NewPipeOrigin serves an origin in memory at http://origin.test until the test ends. Reads and writes on it let the
// virtual time of a synctest bubble pass.
func NewPipeOrigin(tb testing.TB) *Origin {
	tb.Helper()
	o := New()
	o.base = "http://origin.test"
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	o.dial = l.dial
	server := &http.Server{Handler: o.Handler()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // ends with Close
	}()
	tb.Cleanup(func() { _ = server.Close(); <-done })
	return o
}

// pipeListener accepts the far ends of net.Pipe.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "origin.test", Net: "pipe"} }
