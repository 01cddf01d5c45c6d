package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/config"
	"github.com/darter-p2p/darter/internal/egress"
	"github.com/darter-p2p/darter/internal/manager"
	"github.com/darter-p2p/darter/internal/manager/auth/oidc"
	"github.com/darter-p2p/darter/internal/pki"
	"github.com/darter-p2p/darter/internal/privatefile"
	"github.com/darter-p2p/darter/internal/telemetry"
)

const managerLong = `Run a manager: it tells daemons which schedulers there are, keeps policies, jobs and records, and serves the REST API.

Rows lie in a SQLite file of its own, or in a PostgreSQL that several managers share (--database). A password for it is
best left to the environment (DARTER_MANAGER_DATABASE) or to PostgreSQL's password file: command lines can be read by others.

With --ca FOLDER schedulers and daemons join with a token and prove who they are, and REST has TLS. Without it other machines
reach the manager only after --allow-plain.`

func managerCommand() *cobra.Command {
	return roleCommand("manager", "Run a manager", managerLong, func(ctx context.Context, p *process) error {
		var schedulers []manager.Scheduler
		for _, at := range p.cfg.Manager.Schedulers {
			a, err := netip.ParseAddrPort(at)
			if err != nil {
				return &darter.Error{Kind: darter.Invalid, Op: "read --manager-scheduler", Err: err, Hint: "write it as 10.0.0.1:8002"}
			}
			schedulers = append(schedulers, manager.Scheduler{Cluster: 1, Hostname: a.Addr().String(), IP: a.Addr(), Port: a.Port()})
		}
		p.next = "darter daemon --manager <this host>:65003"
		if p.cfg.Manager.Authority != "" {
			p.next = "darter admin join-token create --role daemon --cluster 1"
		}
		if err := p.addManager(ctx, schedulers); err != nil {
			return err
		}
		if err := p.serveMetrics("manager-metrics", p.cfg.Manager.Metrics, true); err != nil {
			return err
		}
		return p.serveDebug(debugUnlessDefault(p))
	})
}

func (p *process) addManager(ctx context.Context, schedulers []manager.Scheduler) error {
	c := p.cfg.Manager
	cfg := manager.DefaultConfig()
	var err error
	if cfg.GRPC, err = p.doors.tcp("manager_grpc", "manager gRPC", "manager-grpc", c.GRPC); err != nil {
		return err
	}
	if cfg.HTTP, err = p.doors.tcp("manager_http", "manager REST", "manager-http", c.HTTP); err != nil {
		return err
	}
	if err := p.guarded(cfg.GRPC, cfg.HTTP); err != nil {
		return err
	}
	if cfg.Local, err = p.ownSocket("manager_socket", "manager (local)", "manager-socket", p.cfg.ManagerSocketPath(), c.Socket == ""); err != nil {
		return err
	}
	if cfg.Setup, err = setupSecret(c.SetupFile); err != nil {
		return err
	}
	if cfg.PublicURL, cfg.Proxies, err = front(c); err != nil {
		return err
	}
	if cfg.OIDC, err = identityProvider(c.OIDCFile); err != nil {
		return err
	}
	if err := allow(&cfg.Egress, c); err != nil {
		return err
	}
	if cfg.TLS, err = p.issued(pki.Manager, func(serial string) bool { return p.manager.Revoked(serial) }); err != nil { // which is there before anybody calls
		return err
	}
	p.doors.secure("manager_http", cfg.TLS != nil)
	cfg.DataDir, cfg.Database, cfg.KeyFile, cfg.Authority = p.cfg.RoleDir("manager"), c.Database, c.KeyFile, c.Authority
	cfg.Schedulers, cfg.Version, cfg.Commit, cfg.Log, cfg.Own = schedulers, version, commit(), p.log, p.doors.own
	cfg.Events = telemetry.NewManager(p.metrics, p.log).Events()
	if p.manager, err = manager.New(ctx, cfg); err != nil {
		return err
	}
	p.add("manager", p.manager.Run, p.manager.Ready())
	return nil
}

// maxSetupFile bounds the file with the first sign-in's secret.
const maxSetupFile = 4 << 10

func setupSecret(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := privatefile.Read(path, maxSetupFile)
	return strings.TrimSpace(string(text)), err
}

// maxProviderFile bounds the description of an identity provider.
const maxProviderFile = 64 << 10

func identityProvider(path string) (oidc.Config, error) {
	if path == "" {
		return oidc.Config{}, nil
	}
	text, err := privatefile.Read(path, maxProviderFile)
	if err != nil {
		return oidc.Config{}, err
	}
	return oidc.Parse(text)
}

// allow adds what the configuration lets preheats name.
func allow(cfg *egress.Config, c config.Manager) error {
	for _, text := range c.Private {
		rule, err := egress.ParseRule(text)
		if err != nil {
			return &darter.Error{Kind: darter.Invalid, Op: "read --egress-private", Err: err, Hint: "write it as registry.example, registry.example:5000 or 10.0.0.0/8"}
		}
		cfg.Private = append(cfg.Private, rule)
	}
	for _, text := range c.Exempt {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return &darter.Error{Kind: darter.Invalid, Op: "read --egress-exempt", Err: fmt.Errorf("%q is not a prefix", text), Hint: "write it as 127.0.0.0/8"}
		}
		cfg.Exempt = append(cfg.Exempt, prefix)
	}
	return nil
}

// front says what stands before the manager: the site that browsers see, and whose word on callers counts.
func front(c config.Manager) (site string, proxies []netip.Prefix, err error) {
	for _, text := range c.Proxies {
		p, err := config.Network(text)
		if err != nil {
			return "", nil, &darter.Error{Kind: darter.Invalid, Op: "read --trusted-proxy", Err: err, Hint: "write it as 10.0.0.1 or 10.0.0.0/8"}
		}
		proxies = append(proxies, p)
	}
	return c.PublicURL, proxies, nil
}

// own returns what this process listens on, so that nobody can make it call itself.
func (d *doors) own() []netip.AddrPort {
	var out []netip.AddrPort
	for _, l := range d.open {
		if at, err := netip.ParseAddrPort(l.Addr().String()); err == nil {
			out = append(out, at)
		}
	}
	return out
}

// dialTo opens connections to a manager at an address that is asked for each time; plain ones without secure.
func dialTo(where func() (string, error), secure *tls.Config) managerDialer {
	return func(context.Context) (*grpc.ClientConn, error) {
		at, err := where()
		if err != nil {
			return nil, err
		}
		delays := backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second}
		return grpc.NewClient("passthrough:///"+strings.TrimPrefix(at, "http://"), grpc.WithTransportCredentials(transport(secure)), grpc.WithNoProxy(), grpc.WithDisableServiceConfig(),
			grpc.WithConnectParams(grpc.ConnectParams{Backoff: delays, MinConnectTimeout: 3 * time.Second}), grpc.WithReadBufferSize(8<<10), grpc.WithWriteBufferSize(8<<10),
			grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}))
	}
}
