package main

import (
	"context"
	"os"
	"runtime/debug"
	_ "time/tzdata" // schedules name zones, and containers often have no list of them

	"github.com/darter-p2p/darter/internal/cli"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signals(context.Background())
	defer stop()
	ahead(os.Args[1:])
	err := root(os.Args[1:]...).ExecuteContext(ctx)
	if err != nil && !cli.WasPrinted(err) {
		cli.PrintError(os.Stderr, err)
	}
	return int(cli.ExitOf(err))
}

// commit returns what the build was made from, as the toolchain recorded it.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "unknown"
}
