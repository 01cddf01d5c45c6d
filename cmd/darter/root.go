package main

import (
	"context"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/darter-p2p/darter/internal/cli"
	"github.com/darter-p2p/darter/internal/cli/manager"
	"github.com/darter-p2p/darter/internal/cli/rpc"
	"github.com/darter-p2p/darter/internal/config"
)

// root returns the command tree for a command line: of its first word alone where that names a command, because
// making what is not used would be a good part of a short command's time. Everything else (help, completion,
// misspelt words, no words at all) gets the whole tree.
func root(args ...string) *cobra.Command {
	c := &cobra.Command{
		Use: "darter", Short: "Move files, images and models so that the origin sends each byte once",
		Example: `  darter up                                   # manager, scheduler and daemon on this machine
  darter get https://example.com/big.iso      # through the daemon, or by itself when none runs
  darter status`,
		SilenceErrors: true, SilenceUsage: true, Version: version,
	}
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return cli.Usage(err) })
	c.CompletionOptions.HiddenDefaultCmd = false
	app := &cli.App{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv, Version: version, Commit: commit,
		Bind: bind,
		OpenDaemon: func(ctx context.Context, socket string) (cli.Daemon, error) {
			s, err := rpc.OpenSocket(ctx, socket)
			if err != nil {
				return nil, err // not a nil *Socket in an interface
			}
			return s, nil
		},
		OpenCluster: func(ctx context.Context, address string) (cli.Cluster, error) {
			s, err := rpc.OpenScheduler(ctx, address)
			if err != nil {
				return nil, err
			}
			return s, nil
		},
		OpenOperator: func(ctx context.Context, socket string) (cli.Operator, error) {
			o, err := rpc.OpenOperator(ctx, socket)
			if err != nil {
				return nil, err
			}
			return o, nil
		},
		Standalone: standalone,
	}
	makers := app.Commands()
	maps.Copy(makers, (&manager.App{App: app}).Commands())
	maps.Copy(makers, map[string]func() *cobra.Command{"config": configCommand, "up": upCommand, "manager": managerCommand,
		"scheduler": schedulerCommand, "daemon": daemonCommand})
	if len(args) > 0 && makers[args[0]] != nil {
		c.CompletionOptions.DisableDefaultCmd = true
		c.AddCommand(makers[args[0]]())
		return c
	}
	for _, name := range slices.Sorted(maps.Keys(makers)) {
		c.AddCommand(makers[name]())
	}
	return c
}

// bind gives the client commands their part of the configuration.
func bind(set *pflag.FlagSet) func() (cli.Settings, error) {
	flags := config.Register(set, config.Client)
	return func() (cli.Settings, error) {
		cfg, _, err := load(flags)
		if err != nil {
			return cli.Settings{}, err
		}
		return cli.Settings{Socket: cfg.SocketPath(), Operator: cfg.OperatorSocketPath(), Manager: cfg.ManagerSocketPath(), Scheduler: cfg.Daemon.Schedulers, DataDir: cfg.DataDir}, nil
	}
}

func load(flags *config.Flags) (*config.Config, config.Origins, error) {
	return config.Load(config.Layers{File: flags.File(), Environ: os.Environ(), Flags: flags})
}

// noArguments refuses words after a command that takes none.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return cli.Usage(&wordError{c.CommandPath(), args[0]})
	}
	return nil
}

type wordError struct{ command, word string }

func (e *wordError) Error() string {
	return e.command + " takes no arguments, got \"" + e.word + "\"; see " + e.command + " --help"
}
