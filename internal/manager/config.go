package manager

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/egress"
	"github.com/darter-p2p/darter/internal/manager/auth/account"
	"github.com/darter-p2p/darter/internal/manager/auth/oidc"
	"github.com/darter-p2p/darter/internal/manager/catalog"
	"github.com/darter-p2p/darter/internal/manager/jobs"
	jobsrpc "github.com/darter-p2p/darter/internal/manager/jobs/rpc"
	"github.com/darter-p2p/darter/internal/manager/notify"
	"github.com/darter-p2p/darter/internal/manager/records"
	"github.com/darter-p2p/darter/internal/manager/rpc"
	"github.com/darter-p2p/darter/internal/pki"
	"github.com/darter-p2p/darter/internal/rest"
)

// Scheduler is one scheduler as daemons are told of it.
type Scheduler = rpc.Member

// Config is what a manager needs.
type Config struct {
	GRPC     net.Listener // required; manager.v2.Manager, darter.v1.Control and health
	HTTP     net.Listener // required; the REST API and health
	Local    net.Listener // the REST API for this machine's tools, a unix socket; nil: there is none
	DataDir  string       // required; database file, key file, set-up token
	Database string       // URL; default the file darter.db in DataDir
	KeyFile  string       // seals secrets in rows; several managers of one database share it; default secret.key in DataDir

	Schedulers []Scheduler   // listed always, beside those that announce themselves
	TTL        time.Duration // an announced scheduler that says nothing for so long is inactive; default 20s
	Drain      time.Duration // how long calls may take to end at a stop; default 3s
	Reconnect  time.Duration // with TLS: how old a gRPC connection gets before its caller is asked to open another; default 2m

	Setup     string                  // the first sign-in's secret, brought by the operator; empty: one is made
	OIDC      oidc.Config             // an identity provider that vouches for people; without an issuer there is none
	Authority string                  // folder of the certificate authority; empty: nodes cannot join here
	TLS       *pki.Source             // this manager's certificate: gRPC callers need one then, HTTP ones may have one; nil: both ports are plain
	Egress    egress.Config           // where the manager may go for others; the setting "egress" adds to it
	PublicURL string                  // where browsers find the REST API if not here, such as https://darter.example
	Proxies   []netip.Prefix          // whose X-Forwarded-For says who calls the REST API
	Own       func() []netip.AddrPort // what this process listens on, never an origin; may be nil

	Version string       // of the build
	Commit  string       // of the build
	Log     *slog.Logger // default: no log
	Events  Events
}

// Events tells what happened. Any may be nil.
type Events struct {
	SchedulerJoined func(Scheduler)                 // it announced itself, or came back
	SchedulerLost   func(Scheduler)                 // it said nothing for TTL
	Listed          func(to netip.Addr, listed int) // a daemon asked

	Database database.Events
	Catalog  catalog.Events
	Accounts account.Events
	Jobs     jobs.Events
	Control  jobsrpc.Events
	Records  records.Events
	Notify   notify.Events
	REST     rest.Events
}

// DefaultConfig returns the defaults. Listeners and DataDir are still to be set.
func DefaultConfig() Config {
	return Config{TTL: 20 * time.Second, Drain: 3 * time.Second, Reconnect: 2 * time.Minute, Log: slog.New(slog.DiscardHandler), Egress: egress.DefaultConfig()}
}

// Validate fills what was left out and checks the rest.
func (c *Config) Validate() error {
	d := DefaultConfig()
	if c.TTL == 0 {
		c.TTL = d.TTL
	}
	if c.Drain == 0 {
		c.Drain = d.Drain
	}
	if c.Reconnect == 0 {
		c.Reconnect = d.Reconnect
	}
	if c.Log == nil {
		c.Log = d.Log
	}
	if c.Database == "" && c.DataDir != "" {
		c.Database = "sqlite:" + filepath.Join(c.DataDir, "darter.db")
	}
	if c.KeyFile == "" {
		c.KeyFile = c.path("secret.key")
	}
	switch {
	case c.GRPC == nil || c.HTTP == nil:
		return errors.New("manager: GRPC and HTTP listeners are required")
	case c.DataDir == "":
		return errors.New("manager: DataDir is required")
	case c.TTL < time.Second:
		return errors.New("manager: TTL is below 1s, less than schedulers take between two signs of life")
	case c.Drain < 0 || c.Reconnect < 0:
		return errors.New("manager: Drain or Reconnect is negative")
	}
	for _, s := range c.Schedulers {
		if err := s.Validate(); err != nil {
			return err
		}
	}
	_, err := c.origin()
	return err
}

// path names a file of the manager's own.
func (c *Config) path(name string) string { return filepath.Join(c.DataDir, name) }
