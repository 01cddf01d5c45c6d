package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
)

// Settings is what the commands take from the configuration.
type Settings struct {
	Socket    string   // the daemon's unix socket
	Operator  string   // the scheduler's unix socket, for orders
	Scheduler []string // host:port; asked for hosts and tasks, the first that answers
	Manager   string   // the manager's unix socket
	DataDir   string
}

// App is the surroundings of the commands: streams, and how to reach daemons and schedulers.
type App struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string // nil: no environment
	Version  string
	Commit   func() string // what the build was made from. Required

	// Bind adds the flags of the configuration to a command and returns what reads them. Required.
	Bind func(*pflag.FlagSet) func() (Settings, error)
	// OpenDaemon reaches the daemon behind a socket; darter.Unavailable when none listens there. Required.
	OpenDaemon func(ctx context.Context, socket string) (Daemon, error)
	// OpenCluster reaches a scheduler. Required.
	OpenCluster func(ctx context.Context, address string) (Cluster, error)
	// OpenOperator reaches the scheduler behind its own socket; darter.Unavailable when none listens there. Required.
	OpenOperator func(ctx context.Context, socket string) (Operator, error)
	// Standalone starts an engine inside this process; nil means there is none.
	Standalone func(ctx context.Context, o StandaloneOptions) (Getter, error)
}

// Commands returns what makes get, status, host, zone, task and version. Each is made only where it is used.
func (a *App) Commands() map[string]func() *cobra.Command {
	return map[string]func() *cobra.Command{"get": a.getCommand, "status": a.statusCommand, "host": a.hostCommand, "zone": a.zoneCommand,
		"task": a.taskCommand, "version": a.versionCommand}
}

func (a *App) getenv(name string) string {
	if a.Getenv == nil {
		return ""
	}
	return a.Getenv(name)
}

// exactly is cobra.ExactArgs with errors that count as usage.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return Usage(fmt.Errorf("%s takes %s, got %d arguments; see %s --help", c.CommandPath(), what, len(args), c.CommandPath()))
	}
}

func (a *App) versionCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{Use: "version", Short: "Print the version", Args: exactly(0, "no argument"), RunE: func(*cobra.Command, []string) error {
		v := map[string]string{"version": a.Version, "commit": a.Commit(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}
		if asJSON {
			return writeJSON(a.Out, v)
		}
		_, err := fmt.Fprintf(a.Out, "darter %s (%s, %s, %s)\n", v["version"], v["commit"], v["go"], v["platform"])
		return err
	}}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

// terminal describes the terminal behind w: nil when there is none.
func (a *App) terminal(w io.Writer) *screen {
	f, ok := w.(*os.File)
	if !ok || columns(f) == 0 || a.getenv("TERM") == "dumb" {
		return nil
	}
	return &screen{out: w, size: func() int { return columns(f) }, style: a.style()}
}

func (a *App) style() style {
	locale := a.getenv("LC_ALL") + a.getenv("LC_CTYPE") + a.getenv("LANG")
	upper := strings.ToUpper(locale)
	return style{width: 80, colour: a.getenv("NO_COLOR") == "", unicode: strings.Contains(upper, "UTF-8") || strings.Contains(upper, "UTF8")}
}

// columns returns the width of a terminal, 0 when f is none.
func columns(f *os.File) int {
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return 80
	}
	return int(size.Col)
}

// now is the one place where the room asks for the time.
func now() time.Time { return time.Now() }
