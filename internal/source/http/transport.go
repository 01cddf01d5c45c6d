package http

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"syscall"
	"time"

	"github.com/darter-p2p/darter"
)

func newTransport(cfg Config) (*http.Transport, error) {
	roots, err := trusted(cfg.CAFile)
	if err != nil {
		return nil, err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  chosenProxy,
		DialContext:            dialer(cfg),
		TLSClientConfig:        &tls.Config{RootCAs: roots, InsecureSkipVerify: cfg.InsecureSkipVerify, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    cfg.TLSTimeout,
		ResponseHeaderTimeout:  cfg.HeaderTimeout,
		IdleConnTimeout:        cfg.IdleTimeout,
		MaxIdleConns:           4 * cfg.MaxConnsPerHost,
		MaxIdleConnsPerHost:    cfg.MaxConnsPerHost,
		MaxConnsPerHost:        cfg.MaxConnsPerHost,
		MaxResponseHeaderBytes: 256 << 10,
		DisableCompression:     true, // a body inflated on the way has no length and no ranges
		ReadBufferSize:         cfg.ReadBuffer,
		Protocols:              protocols,
	}, nil
}

// trusted is nil, which means the system's certificates, without a file.
func trusted(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	invalid := func(err error) error {
		return &darter.Error{Kind: darter.Invalid, Op: "read the CA file " + file, Err: err,
			Hint: "give a file with certificates in PEM form"}
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, invalid(err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // the system has none; the file's suffice
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, invalid(errors.New("it holds no certificate"))
	}
	return pool, nil
}

// proxyKey carries the proxy of a request from the check to the connection.
type proxyKey struct{}

func chosenProxy(r *http.Request) (*url.URL, error) {
	u, _ := r.Context().Value(proxyKey{}).(*url.URL)
	return u, nil
}

// throughProxy chooses the proxy of a request once, and asks Allow for a host whose address only the
// proxy will know.
func (s *Source) throughProxy(r *http.Request) (*http.Request, error) {
	if s.cfg.Proxy == nil {
		return r, nil
	}
	u, err := s.cfg.Proxy(r)
	if err != nil {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "choose a proxy", Err: err,
			Hint: "check HTTP_PROXY, HTTPS_PROXY and NO_PROXY"}
	}
	if u == nil {
		return r, nil
	}
	if err := allowed(s.cfg, r.URL.Hostname(), netip.Addr{}); err != nil {
		return nil, err
	}
	return r.WithContext(context.WithValue(r.Context(), proxyKey{}, u)), nil
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// dialer asks Allow about the very address that is connected to, so that a name that changes its
// address between a check and a connection gains nothing.
func dialer(cfg Config) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
		defer cancel()
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		isProxy := ctx.Value(proxyKey{}) != nil
		if cfg.Dial != nil {
			ip, _ := netip.ParseAddr(host) // a name stays the zero address
			if err := allowed(cfg, host, ip); err != nil && !isProxy {
				return nil, err
			}
			return cfg.Dial(ctx, network, address)
		}
		d := net.Dialer{KeepAlive: 30 * time.Second}
		if !isProxy {
			d.ControlContext = func(_ context.Context, _, reached string, _ syscall.RawConn) error {
				at, err := netip.ParseAddrPort(reached)
				if err != nil {
					return err
				}
				return allowed(cfg, host, at.Addr().Unmap())
			}
		}
		return d.DialContext(ctx, network, address)
	}
}

func allowed(cfg Config, host string, ip netip.Addr) error {
	if cfg.Allow == nil {
		return nil
	}
	if err := cfg.Allow(host, ip); err != nil {
		return &darter.Error{Kind: darter.Denied, Op: "reach " + host,
			Err: fmt.Errorf("the rules forbid it: %w", err), Hint: "ask who runs this cluster to allow the host"}
	}
	return nil
}
