package daemon

import (
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/daemon/announce"
	"github.com/darter-p2p/darter/internal/daemon/fetch"
	"github.com/darter-p2p/darter/internal/daemon/rpc"
	httpsource "github.com/darter-p2p/darter/internal/source/http"
	"github.com/darter-p2p/darter/internal/store/disk"
	"github.com/darter-p2p/darter/internal/vortex"
)

// Config is what a Daemon is made of. Start from DefaultConfig.
type Config struct {
	DataDir  string       // required; content and the last known schedulers are kept here
	Host     darter.Host  // Hostname, IP and Kind are required; ID and ports are filled in from the listeners
	Upload   net.Listener // required; gRPC for other hosts and schedulers
	Pieces   net.Listener // required; piece transport
	Download net.Listener // required; unix socket for local clients (rpc.ListenSocket)

	Schedulers []string // host:port each; used when Manager is empty. None of both: every download goes to the source
	Manager    string   // host:port of a manager that knows the schedulers

	ManagerTLS *tls.Config // of connections to the manager, with this host's certificate; nil: they are plain

	AnnounceInterval time.Duration // between two announcements; default 5m
	DownloadRate     darter.Size   // bytes per second from parents and source; 0 means no limit
	UploadRate       darter.Size   // bytes per second to others; 0 means no limit
	SourceRate       darter.Size   // bytes per second from the source; 0 means no limit
	MaxUnknown       darter.Size   // bytes of a content whose length its source does not say; 0 means no limit but free space; default as package fetch
	UploadSlots      int           // pieces sent at once while the uplink is the limit; default as package vortex
	Drain            time.Duration // how long running uploads may take at a stop; default 5s

	Source httpsource.Config // how origins are reached; default as package source/http
	Fetch  fetch.Config      // tunables of downloads; required fields are filled in here

	Events Events
}

// Events are those of the rooms. Every function may be nil.
type Events struct {
	Fetch      fetch.Events
	Pieces     vortex.ServerEvents
	Store      disk.Events
	Upload     rpc.UploadEvents
	Socket     rpc.SocketEvents
	Announce   announce.Events
	Membership announce.MembershipEvents
	Schedulers rpc.SchedulersEvents
	Source     httpsource.Events
	Recalled   func(tasks, failed int) // complete tasks were told to schedulers that may have forgotten them
}

// DefaultConfig returns the defaults; what is required is missing.
func DefaultConfig() Config {
	return Config{AnnounceInterval: 5 * time.Minute, MaxUnknown: fetch.DefaultConfig().MaxUnknown, UploadSlots: vortex.DefaultServerConfig().Slots, Drain: 5 * time.Second,
		Source: httpsource.DefaultConfig(), Fetch: fetch.DefaultConfig()}
}

// Validate reports every setting that cannot be. The parts check their own.
func (c *Config) Validate() error {
	var errs []error
	if c.DataDir == "" {
		errs = append(errs, errors.New("no data folder was given"))
	}
	if c.Upload == nil || c.Pieces == nil || c.Download == nil {
		errs = append(errs, errors.New("the listeners Upload, Pieces and Download are required"))
	}
	if !c.Host.IP.IsValid() || c.Host.IP.IsUnspecified() || c.Host.Hostname == "" {
		errs = append(errs, errors.New("the host needs a name and an IP address that others can reach"))
	}
	if c.DownloadRate < 0 || c.UploadRate < 0 || c.SourceRate < 0 || c.Drain < 0 {
		errs = append(errs, errors.New("rates and the drain time cannot be negative"))
	}
	if err := errors.Join(errs...); err != nil {
		return &darter.Error{Kind: darter.Invalid, Op: "configure daemon", Err: err, Hint: "see darter config schema"}
	}
	return nil
}
