package http

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/darter-p2p/darter/internal/retry"
)

// Config is how servers are reached. Start from DefaultConfig.
type Config struct {
	UserAgent string // sent when the request has none; default "darter"

	ConnectTimeout time.Duration // for name lookup and TCP connect; default 10s
	TLSTimeout     time.Duration // for the TLS handshake; default 10s
	QueueTimeout   time.Duration // for a free connection, the two above included; default 60s
	HeaderTimeout  time.Duration // from the request to the answer's headers; default 30s
	StallTimeout   time.Duration // without a single byte of the body; default 30s
	IdleTimeout    time.Duration // after which an unused connection is closed; default 30s

	MaxRedirects    int           // followed per request; default 10
	AllowDowngrade  bool          // follow a redirect from https to http; default false
	RememberTargets time.Duration // how long Open goes straight to where a URL led; 0 never; default 5m

	MaxConnsPerHost int // connections to one host, more requests wait; default 16
	ReadBuffer      int // bytes per connection; larger reads bypass it; default 64 KiB

	// Retry is for what fails before the first byte of a body: connecting, 408, 425, 429, 500, 502,
	// 503, 504. Default: 4 attempts, 200ms to 5s apart, none later than 60s after the first. A
	// Retry-After that reaches past that ends the attempts.
	Retry retry.Policy

	CAFile             string // PEM certificates trusted beside the system's
	InsecureSkipVerify bool   // do not verify certificates; for tests in the field only; default false

	// Proxy chooses the proxy of a request; default http.ProxyFromEnvironment.
	Proxy func(*http.Request) (*url.URL, error)
	// Allow decides whether a host may be reached; nil allows all. It is called with the address before
	// each connection, redirects included, and with the zero address where a proxy looks up the name.
	Allow func(host string, ip netip.Addr) error
	// Dial replaces the network; nil is TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	Events Events
}

// Events are told as they happen. Nil functions are skipped.
type Events struct {
	Retried    func(host string, err error) // an attempt failed and the next one begins
	Redirected func(from, to string)        // hosts
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		UserAgent:       "darter",
		ConnectTimeout:  10 * time.Second,
		TLSTimeout:      10 * time.Second,
		QueueTimeout:    time.Minute,
		HeaderTimeout:   30 * time.Second,
		StallTimeout:    30 * time.Second,
		IdleTimeout:     30 * time.Second,
		MaxRedirects:    10,
		RememberTargets: 5 * time.Minute,
		MaxConnsPerHost: 16,
		ReadBuffer:      64 << 10,
		Retry:           retry.Policy{Attempts: 4, First: 200 * time.Millisecond, Max: 5 * time.Second, Total: time.Minute},
		Proxy:           http.ProxyFromEnvironment,
	}
}

// Validate names every setting that cannot be.
func (c *Config) Validate() error {
	var errs []error
	for _, d := range []struct {
		name string
		is   time.Duration
	}{
		{"connect timeout", c.ConnectTimeout}, {"TLS timeout", c.TLSTimeout}, {"queue timeout", c.QueueTimeout},
		{"header timeout", c.HeaderTimeout}, {"stall timeout", c.StallTimeout}, {"idle timeout", c.IdleTimeout},
	} {
		if d.is <= 0 {
			errs = append(errs, fmt.Errorf("%s %v must be above 0", d.name, d.is))
		}
	}
	if c.MaxRedirects < 0 || c.MaxRedirects > 50 {
		errs = append(errs, fmt.Errorf("redirects %d must be 0 to 50", c.MaxRedirects))
	}
	if c.MaxConnsPerHost < 1 {
		errs = append(errs, fmt.Errorf("connections per host %d must be at least 1", c.MaxConnsPerHost))
	}
	if c.ReadBuffer < 4<<10 || c.ReadBuffer > 16<<20 {
		errs = append(errs, fmt.Errorf("read buffer %d must be 4 KiB to 16 MiB", c.ReadBuffer))
	}
	if c.Retry.Attempts < 1 {
		errs = append(errs, fmt.Errorf("attempts %d must be at least 1", c.Retry.Attempts))
	}
	return errors.Join(errs...)
}
