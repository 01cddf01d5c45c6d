package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/spf13/cobra"

	"github.com/darter-p2p/darter/internal/config"
	"github.com/darter-p2p/darter/internal/manager"
	"github.com/darter-p2p/darter/internal/telemetry"
)

// process is what every role needs around it.
type process struct {
	role    string
	began   time.Time
	cfg     *config.Config
	log     *slog.Logger
	level   slog.LevelVar
	people  bool // the screen goes to a terminal
	doors   doors
	metrics *telemetry.Registry
	health  *telemetry.Health
	tracing *telemetry.Tracing
	roles   []role
	next    string           // command shown on the screen
	manager *manager.Manager // nil when this process is none
}

// roleCommand returns the command of a role. build opens listeners and adds roles to the process.
func roleCommand(name, short, long string, build func(context.Context, *process) error) *cobra.Command {
	c := &cobra.Command{Use: name, Short: short, Long: long, Args: noArguments}
	flags := config.Register(c.Flags(), name)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, _, err := load(flags)
		if err != nil {
			return err
		}
		p, err := newProcess(c.Context(), name, cfg)
		if err != nil {
			return err
		}
		defer p.close()
		if err := build(c.Context(), p); err != nil {
			return err
		}
		return p.run(c.Context())
	}
	return c
}

// close gives back what a start that failed has opened. After a run it does no harm.
func (p *process) close() {
	p.doors.close()
	if p.manager != nil {
		_ = p.manager.Close() // a run told of it already
	}
}

// setup says how the first administrator gets in; nothing when there is no manager here.
func (p *process) setup() manager.Setup {
	if p.manager == nil {
		return manager.Setup{}
	}
	return p.manager.Setup()
}

func newProcess(ctx context.Context, name string, cfg *config.Config) (*process, error) {
	p := &process{role: name, began: time.Now(), cfg: cfg, people: terminal(os.Stderr) && cfg.Log.Format != "json", health: &telemetry.Health{}}
	p.level.Set(telemetry.Level(cfg.Log.Level))
	if p.people {
		p.level.Set(max(slog.LevelWarn, p.level.Level())) // the screen tells all that matters of a start that went well
	}
	p.log = telemetry.NewLogger(telemetry.LogConfig{Out: os.Stderr, Level: &p.level,
		JSON: cfg.Log.Format == "json" || cfg.Log.Format == "auto" && !terminal(os.Stderr), Colour: p.colour()})
	// Nine tenths of the container's limit, if there is one, so that the collector works harder before the kernel kills.
	if _, err := memlimit.Set(memlimit.WithRatio(0.9), memlimit.WithProvider(memlimit.FromCgroup)); err != nil {
		p.log.Debug("no memory limit was found", "reason", err)
	}
	p.metrics = telemetry.NewRegistry(telemetry.Build{Version: version, Commit: commit()})
	tc := cfg.Telemetry.Tracing
	tracing := telemetry.TracingConfig{Endpoint: tc.Endpoint, Insecure: tc.Insecure, Ratio: tc.Ratio, Headers: tc.Headers, Role: name, Version: version}
	if !tracing.Enabled(os.Getenv) {
		return p, nil
	}
	var err error
	p.tracing, err = telemetry.StartTracing(ctx, tracing)
	return p, err
}

func (p *process) colour() bool { return terminal(os.Stderr) && os.Getenv("NO_COLOR") == "" }

// add runs a role in this process.
func (p *process) add(name string, run func(context.Context) error, ready <-chan struct{}) {
	p.roles = append(p.roles, role{name: name, run: run, ready: ready})
}

// serveMetrics, serveHealth and serveDebug open the ports that outlive the roles.
func (p *process) serveMetrics(flag, address string, alsoHealth bool) error {
	l, err := p.doors.tcp("metrics", "metrics", flag, address)
	if err != nil {
		return err
	}
	h := p.metrics.MetricsHandler()
	if alsoHealth {
		h = telemetry.Both(h, p.health.Handler())
	}
	p.roles = append(p.roles, role{name: "metrics", last: true, run: func(ctx context.Context) error { return telemetry.Serve(ctx, l, h) }})
	return nil
}

func (p *process) serveHealth(address string) error {
	l, err := p.doors.tcp("health", "health", "health-listen", address)
	if err != nil {
		return err
	}
	p.roles = append(p.roles, role{name: "health", last: true, run: func(ctx context.Context) error { return telemetry.Serve(ctx, l, p.health.Handler()) }})
	return nil
}

func (p *process) serveDebug(address string) error {
	if address == "" || address == "off" {
		return nil
	}
	l, err := p.doors.tcp("debug", "profiles", "debug-listen", address)
	if err != nil {
		return err
	}
	if a, ok := l.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() { // "localhost" may be anything in /etc/hosts
		return listenError("profiles", "debug-listen", address, errNotLoopback)
	}
	h := telemetry.NewDebug().Handler()
	p.roles = append(p.roles, role{name: "debug", last: true, run: func(ctx context.Context) error { return telemetry.Serve(ctx, l, h) }})
	return nil
}

// run runs the roles to their end.
func (p *process) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		p.health.Ready(false)
		p.log.Info("stopping", "reason", context.Cause(ctx))
		notify("STOPPING=1")
	})()
	err := runRoles(ctx, p.roles, func() {
		p.health.Ready(true)
		took := time.Since(p.began)
		if p.people {
			screen(os.Stderr, paint(p.colour()), p.role, p.cfg.DataDir, p.next, p.doors.shown, took)
			screenSetup(os.Stderr, paint(p.colour()), p.setup())
			p.level.Set(telemetry.Level(p.cfg.Log.Level))
		} else {
			announceReady(p.log, p.role, p.cfg.DataDir, p.doors.shown, took)
			if s := p.setup(); s.Needed {
				p.log.Warn("the manager has no administrator yet", "token_file", s.File, "do", "darter admin setup")
			}
		}
		notify("READY=1")
	})
	if terr := p.tracing.Stop(context.WithoutCancel(ctx)); terr != nil {
		p.log.Warn("some spans were not sent", "error", terr)
	}
	return err
}
