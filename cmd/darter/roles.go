package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/config"
	"github.com/darter-p2p/darter/internal/daemon"
	daemonrpc "github.com/darter-p2p/darter/internal/daemon/rpc"
	"github.com/darter-p2p/darter/internal/manager"
	"github.com/darter-p2p/darter/internal/pki"
	"github.com/darter-p2p/darter/internal/scheduler"
	controlrpc "github.com/darter-p2p/darter/internal/scheduler/control/rpc"
	"github.com/darter-p2p/darter/internal/telemetry"
	"github.com/darter-p2p/darter/internal/unixsocket"
)

var errNotLoopback = errors.New("it is not a loopback address, and profiles show the process's memory")

// debugUnlessDefault leaves the debug port to the daemon when it was not set: several roles on one machine would
// fight for it.
func debugUnlessDefault(p *process) string {
	if p.cfg.Daemon.DebugListen == "127.0.0.1:4004" {
		return "off"
	}
	return p.cfg.Daemon.DebugListen
}

func schedulerCommand() *cobra.Command {
	return roleCommand("scheduler", "Run a scheduler", "Run a scheduler: it tells daemons from whom to fetch.", func(ctx context.Context, p *process) error {
		own, err := p.joined(ctx, pki.Scheduler)
		if err != nil {
			return err
		}
		var dial managerDialer
		if at := p.cfg.Daemon.Manager; at != "" {
			dial = dialTo(func() (string, error) { return at, nil }, towardsManager(own))
		}
		if _, err := p.addScheduler(p.cfg.Scheduler.AdvertiseIP, dial); err != nil {
			return err
		}
		p.next = "darter daemon --scheduler <this host>:8002"
		if p.cfg.Daemon.Manager != "" {
			p.next = "darter daemon --manager " + p.cfg.Daemon.Manager
		}
		if err := p.serveMetrics("scheduler-metrics", p.cfg.Scheduler.Metrics, true); err != nil {
			return err
		}
		return p.serveDebug(debugUnlessDefault(p))
	})
}

// managerDialer opens connections to a manager, wherever it is by then.
type managerDialer = func(ctx context.Context) (*grpc.ClientConn, error)

func (p *process) addScheduler(advertise string, managerDial managerDialer) (*scheduler.Scheduler, error) {
	cfg := scheduler.DefaultConfig()
	var err error
	if cfg.Listen, err = p.doors.tcp("scheduler", "scheduler", "scheduler-listen", p.cfg.Scheduler.Listen); err != nil {
		return nil, err
	}
	if cfg.AdvertiseIP, err = outward(advertise); err != nil {
		return nil, err
	}
	if cfg.Operator, err = p.operatorSocket(); err != nil {
		return nil, err
	}
	cfg.PolicyFile = p.cfg.Scheduler.LivenessPolicy
	cfg.Swarm.MaxPeers, cfg.Swarm.MaxLocations = p.cfg.Scheduler.MaxPeers, p.cfg.Scheduler.MaxLocations
	cfg.DataDir, cfg.Log, cfg.Server = p.cfg.RoleDir("scheduler"), p.log, p.tracing.ServerOptions()
	if cfg.Cluster = uint64(p.cfg.Host.Cluster); cfg.Cluster == 0 {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "read --cluster", Err: errors.New("a scheduler belongs to one cluster"), Hint: "give its number; 1 is the first"}
	}
	sink := telemetry.NewScheduler(p.metrics, p.log)
	cfg.Manager = scheduler.ManagerConfig{Dial: managerDial, Hostname: hostname(p.cfg.Host.Hostname), IDC: p.cfg.Host.IDC, Location: p.cfg.Host.Location, Version: version,
		Events: sink.Manager()}
	cfg.Events, cfg.Snapshots = sink.Events(), sink.Snapshots()
	s, err := scheduler.New(cfg)
	if err != nil {
		return nil, err
	}
	sink.Watch(s.Count)
	sink.WatchHosts(s)
	p.add("scheduler", s.Run, s.Ready())
	return s, nil
}

// longestSocket is how long the path of a unix socket may be, in bytes.
const longestSocket = 107

// operatorSocket opens the scheduler's own socket.
func (p *process) operatorSocket() (net.Listener, error) {
	return p.ownSocket("operator", "orders", "operator-socket", p.cfg.OperatorSocketPath(), p.cfg.Scheduler.OperatorSocket == "")
}

// ownSocket opens a socket for this user and root. A default place whose path is too long is no reason not to serve.
func (p *process) ownSocket(key, what, flag, path string, byDefault bool) (net.Listener, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if byDefault && len(path) > longestSocket {
		p.log.Warn("there is no socket for "+what+": the default path is too long; set --"+flag, "path", path)
		return nil, nil
	}
	l, err := unixsocket.Listen(path, 0o600)
	if err != nil {
		return nil, err
	}
	p.doors.keep(key, what, path, l)
	return l, nil
}

func daemonCommand() *cobra.Command {
	return roleCommand("daemon", "Run a daemon", "Run a daemon: it fetches, keeps and serves content on this host.", func(ctx context.Context, p *process) error {
		kind := darter.Normal
		if p.cfg.Daemon.Seed {
			kind = darter.Seed
		}
		p.next = p.getCommand()
		own, err := p.joined(ctx, pki.Daemon)
		if err != nil {
			return err
		}
		return p.addDaemon(kind, p.cfg.Daemon.Manager, p.cfg.Daemon.Schedulers, own)
	})
}

// getCommand is what to type next, as it works from another terminal.
func (p *process) getCommand() string {
	if p.cfg.SocketPath() == config.DefaultSocket(config.DefaultDataDir()) {
		return "darter get URL"
	}
	return "darter get --socket " + p.cfg.SocketPath() + " URL"
}

// addDaemon opens the daemon's listeners and ports, and adds the role.
func (p *process) addDaemon(kind darter.HostKind, managerAt string, schedulers []string, own *pki.Source) error {
	cfg := daemon.DefaultConfig()
	sink := telemetry.NewDaemon(p.metrics, p.log, p.tracing)
	ip, err := outward(p.cfg.Host.IP)
	if err != nil {
		return err
	}
	cfg.Host = darter.Host{Kind: kind, IP: ip, Hostname: hostname(p.cfg.Host.Hostname), Name: p.cfg.Host.Name, IDC: p.cfg.Host.IDC,
		Location: p.cfg.Host.Location, OS: runtime.GOOS, Version: version, Commit: commit(), Cluster: uint64(p.cfg.Host.Cluster)}
	cfg.DataDir, cfg.Events = p.cfg.RoleDir("daemon"), sink.Events()
	cfg.Manager, cfg.Schedulers, cfg.ManagerTLS = managerAt, schedulers, towardsManager(own)
	tune(&cfg, p.cfg.Daemon)
	if err := p.openDaemonDoors(&cfg); err != nil {
		return err
	}
	d, err := daemon.New(cfg)
	if err != nil {
		return err
	}
	sink.WatchStore(d.Store().Usage)
	p.add("daemon", d.Run, d.Ready())
	return nil
}

// tune takes over the settings that are no address.
func tune(cfg *daemon.Config, c config.Daemon) {
	cfg.AnnounceInterval, cfg.Drain = c.AnnounceInterval.Std(), c.Drain.Std()
	cfg.DownloadRate, cfg.UploadRate, cfg.SourceRate = c.DownloadRate, c.UploadRate, c.SourceRate
	cfg.UploadSlots, cfg.MaxUnknown = c.UploadSlots, c.MaxUnknown
	cfg.Source.CAFile, cfg.Source.UserAgent = c.SourceCAFile, "darter/"+version
}

func (p *process) openDaemonDoors(cfg *daemon.Config) error {
	c := p.cfg.Daemon
	var err error
	if cfg.Upload, err = p.doors.tcp("upload", "uploads (gRPC)", "upload-listen", c.UploadListen); err != nil {
		return err
	}
	if cfg.Pieces, err = p.doors.tcp("pieces", "pieces", "piece-listen", c.PieceListen); err != nil {
		return err
	}
	if cfg.Download, err = p.socket(); err != nil {
		return err
	}
	if err := p.serveMetrics("metrics-listen", c.MetricsListen, false); err != nil {
		return err
	}
	if err := p.serveHealth(c.HealthListen); err != nil {
		return err
	}
	return p.serveDebug(c.DebugListen)
}

func (p *process) socket() (net.Listener, error) {
	path, err := filepath.Abs(p.cfg.SocketPath())
	if err != nil {
		return nil, fmt.Errorf("find the socket: %w", err)
	}
	l, err := daemonrpc.ListenSocket(path)
	if err != nil {
		return nil, err
	}
	p.doors.keep("socket", "socket", path, l)
	return l, nil
}

const upLong = `Run a manager, a scheduler and a daemon in one process on this machine.

Everything listens on loopback unless --listen-ip says otherwise, and keeps its data in one folder.
The three meet over the same API as in a cluster.`

func upCommand() *cobra.Command {
	var listenIP string
	c := roleCommand("up", "Run everything on this machine", upLong, func(ctx context.Context, p *process) error { return p.up(ctx, listenIP) })
	c.Flags().StringVar(&listenIP, "listen-ip", "127.0.0.1", "address that everything without one of its own listens on")
	return c
}

func (p *process) up(ctx context.Context, listenIP string) error {
	ip, err := netip.ParseAddr(listenIP)
	if err != nil {
		return &darter.Error{Kind: darter.Invalid, Op: "read --listen-ip", Err: err, Hint: "write it as 127.0.0.1, or 0.0.0.0 for all interfaces"}
	}
	p.doors.defaultIP = listenIP
	reach := p.cfg.Scheduler.AdvertiseIP
	if !ip.IsUnspecified() {
		if p.cfg.Host.IP == "" {
			p.cfg.Host.IP = listenIP
		}
		if reach == "" {
			reach = listenIP
		}
	}
	asScheduler, err := p.issued(pki.Scheduler, nil)
	if err != nil {
		return err
	}
	asDaemon, err := p.issued(pki.Daemon, nil)
	if err != nil {
		return err
	}
	s, err := p.addScheduler(reach, dialTo(func() (string, error) { return p.address("manager_grpc", ip) }, towardsManager(asScheduler))) // which is there when it is dialled
	if err != nil {
		return err
	}
	at := s.Address()
	name := hostname(p.cfg.Host.Hostname)
	if ip.IsLoopback() { // whoever reaches this manager reaches this machine's loopback anyway
		p.cfg.Manager.Exempt = append(p.cfg.Manager.Exempt, "127.0.0.0/8", "::1/128")
	}
	if err := p.addManager(ctx, []manager.Scheduler{{ID: 1, Cluster: 1, Hostname: name, IP: at.Addr(), Port: at.Port(), Features: []string{"schedule", "preheat", controlrpc.Feature}}}); err != nil {
		return err
	}
	managerAt, err := p.address("manager_grpc", at.Addr())
	if err != nil {
		return err
	}
	p.next = p.getCommand()
	return p.addDaemon(darter.Seed, managerAt, nil, asDaemon)
}

// address returns where a door of this process is reached.
func (p *process) address(key string, ip netip.Addr) (string, error) {
	for _, d := range p.doors.shown {
		if d.key != key {
			continue
		}
		a, err := netip.ParseAddrPort(d.address)
		if err != nil {
			return "", fmt.Errorf("read the address of %s: %w", key, err)
		}
		if a.Addr().IsUnspecified() {
			a = netip.AddrPortFrom(ip, a.Port())
		}
		return a.String(), nil
	}
	return "", fmt.Errorf("nothing listens as %s", key)
}
