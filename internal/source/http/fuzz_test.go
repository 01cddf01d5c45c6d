package http_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/source"
	"github.com/darter-p2p/darter/internal/source/http"
)

// canned is a server that says the same whatever it is asked.
type canned struct {
	*bytes.Reader
	asked chan struct{} // closed by the first write: a server does not answer before the question
}

func (c *canned) Read(p []byte) (int, error) { <-c.asked; return c.Reader.Read(p) }
func (c *canned) Write(p []byte) (int, error) {
	select {
	case <-c.asked:
	default:
		close(c.asked)
	}
	return len(p), nil
}

func (c *canned) Close() error {
	_, _ = c.Write(nil)
	return nil
}
func (c *canned) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *canned) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *canned) SetDeadline(time.Time) error      { return nil }
func (c *canned) SetReadDeadline(time.Time) error  { return nil }
func (c *canned) SetWriteDeadline(time.Time) error { return nil }

// Whatever a server says, a span ends cleanly only after exactly its bytes.
func FuzzServer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-5/10\r\nContent-Length: 4\r\n\r\nabcd",
		"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-5/*\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
		"HTTP/1.1 206 OK\r\nContent-Range: bytes 0-0/18446744073709551615\r\nContent-Length: 1\r\n\r\na",
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: W/\"\xff\"\r\n\r\nabcdefghij",
		"HTTP/1.0 200 OK\r\n\r\nabc",
		"HTTP/1.1 302 Found\r\nLocation: //\\@%00\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 416 No\r\nContent-Range: bytes */0\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 503 x\r\nRetry-After: 99999999999999999999\r\nContent-Length: 4096\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"SSH-2.0-server\r\n",
	} {
		f.Add([]byte(s), uint8(2), uint8(4))
	}
	f.Fuzz(func(t *testing.T, answer []byte, offset, length uint8) {
		cfg := http.DefaultConfig()
		cfg.Proxy = nil
		once(&cfg)
		cfg.HeaderTimeout, cfg.StallTimeout = time.Second, time.Second
		cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
			return &canned{bytes.NewReader(answer), make(chan struct{})}, nil
		}
		s, err := http.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		r := source.Request{URL: "http://canned.test/f"}
		info, err := s.Stat(t.Context(), r)
		if err == nil && info.Length < -1 {
			t.Errorf("Stat = %+v", info)
		}
		span := darter.Span{Offset: int64(offset), Length: int64(length)}
		body, err := s.Open(t.Context(), r, &span, source.Info{Length: -1, Ranges: true})
		if err != nil {
			return
		}
		defer body.Close()
		got, err := io.ReadAll(body)
		if err == nil && int64(len(got)) != span.Length || int64(len(got)) > span.Length {
			t.Errorf("%d bytes and %v for %d", len(got), err, span.Length)
		}
	})
}
