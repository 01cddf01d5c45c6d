package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	neturl "net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/cli"
	"github.com/darter-p2p/darter/internal/cli/rpc"
	"github.com/darter-p2p/darter/internal/config"
	"github.com/darter-p2p/darter/internal/daemon"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/catalog"
	"github.com/darter-p2p/darter/internal/manager/fleet"
	"github.com/darter-p2p/darter/internal/manager/jobs"
	managernotify "github.com/darter-p2p/darter/internal/manager/notify"
)

var update = flag.Bool("update", false, "rewrite docs/reference/cli.md")

// TestFlagsOfEveryCommand holds the spelling that scripts rely on.
func TestFlagsOfEveryCommand(t *testing.T) {
	for command, flags := range map[string]string{
		"up":        "data-dir socket listen-ip upload-listen piece-listen metrics-listen health-listen debug-listen scheduler-listen manager-grpc manager-http host-ip hostname name idc location announce-interval download-rate upload-rate source-rate log-format config",
		"manager":   "manager-grpc manager-http manager-scheduler log-level ca manager-name allow-plain",
		"scheduler": "scheduler-listen scheduler-metrics scheduler-advertise-ip data-dir debug-listen manager manager-rest join-token-file",
		"daemon":    "seed data-dir socket upload-listen piece-listen metrics-listen health-listen debug-listen host-ip hostname name idc location manager scheduler announce-interval download-rate upload-rate source-rate upload-slots drain manager-rest join-token-file",
		"get":       "output directory json digest range header limit-rate timeout overwrite input parallel quiet socket standalone require-daemon cacert insecure-skip-verify",
		"status":    "output socket scheduler",
		"host ls":   "output scheduler",
		"task ls":   "output socket",
		"task show": "output socket scheduler",
	} {
		c, _, err := root().Find(strings.Fields(command))
		require.NoError(t, err)
		for name := range strings.FieldsSeq(flags) {
			require.NotNil(t, c.Flags().Lookup(name), "darter %s --%s", command, name)
		}
	}
}

func TestWrongCommandsAreUsage(t *testing.T) {
	for _, args := range [][]string{{"gte"}, {"get"}, {"up", "x"}, {"daemon", "--seeed"}, {"daemon", "--upload-rate", "fast"}, {"config", "check"}, {"config", "show", "--log-level", "loud"}} {
		c := root()
		c.SetArgs(args)
		c.SetOut(&bytes.Buffer{})
		c.SetErr(&bytes.Buffer{})
		require.Equal(t, cli.ExitUsage, cli.ExitOf(c.ExecuteContext(t.Context())), args)
	}
}

// TestOneCommandIsThatOfTheWholeTree holds the tree of one command line to the whole one.
func TestOneCommandIsThatOfTheWholeTree(t *testing.T) {
	help := func(c *cobra.Command, args ...string) string {
		var out bytes.Buffer
		c.SetArgs(append(args, "--help"))
		c.SetOut(&out)
		require.NoError(t, c.ExecuteContext(t.Context()))
		return out.String()
	}
	for _, line := range []string{"get", "status", "host ls", "task show", "version", "config show", "up", "manager", "scheduler", "daemon"} {
		args := strings.Fields(line)
		one := root(args...)
		require.Len(t, one.Commands(), 1, line)
		require.Equal(t, help(root(), args...), help(one, args...), line)
	}
	for _, args := range [][]string{nil, {"gte"}, {"help"}, {"__complete", "ge"}, {"--help"}} {
		require.Len(t, root(args...).Commands(), 16, args)
	}
}

// TestDefaultsAreTheRooms holds defaults that are written down twice, for the help, to those of the rooms.
func TestDefaultsAreTheRooms(t *testing.T) {
	require.Equal(t, daemon.DefaultConfig().UploadSlots, config.Default().Daemon.UploadSlots)
}

func TestSettingsReachTheDaemon(t *testing.T) {
	var got daemon.Config
	tune(&got, config.Daemon{AnnounceInterval: config.Duration(1), Drain: config.Duration(2), DownloadRate: 3, UploadRate: 4, SourceRate: 5,
		UploadSlots: 6, MaxUnknown: 7, SourceCAFile: "ca"})
	want := daemon.Config{AnnounceInterval: 1, Drain: 2, DownloadRate: 3, UploadRate: 4, SourceRate: 5, UploadSlots: 6, MaxUnknown: 7}
	want.Source.CAFile, want.Source.UserAgent = "ca", "darter/dev"
	require.Equal(t, want, got)
}

func TestVersionIsPrinted(t *testing.T) {
	var out bytes.Buffer
	c := root("--version")
	c.SetArgs([]string{"--version"})
	c.SetOut(&out)
	require.NoError(t, c.ExecuteContext(t.Context()))
	require.Equal(t, "darter version dev\n", out.String())
}

func testProcess(t *testing.T, name string) *process {
	t.Helper()
	t.Setenv("DARTER_CONFIG", "")
	dir, err := os.MkdirTemp("", "dup") // short, for the socket
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	cfg := config.Default()
	cfg.DataDir, cfg.Daemon.Socket = dir, filepath.Join(dir, "s")
	cfg.Daemon.UploadListen, cfg.Daemon.PieceListen, cfg.Daemon.MetricsListen, cfg.Daemon.HealthListen = ":0", ":0", ":0", ":0"
	cfg.Daemon.DebugListen, cfg.Scheduler.Listen, cfg.Manager.GRPC, cfg.Manager.HTTP = "127.0.0.1:0", ":0", ":0", ":0"
	p, err := newProcess(t.Context(), name, &cfg)
	require.NoError(t, err)
	p.log = slog.New(slog.DiscardHandler)
	return p
}

// running starts what p has, and returns how to stop it.
func running(t *testing.T, p *process) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() { ended <- runRoles(ctx, p.roles, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("ended before it was ready: %v", err)
	}
	return func() {
		cancel(cli.Interrupted{Signal: syscall.SIGTERM})
		require.NoError(t, <-ended, "a stop that was asked for is no error")
	}
}

// TestAJobOfTheManagerRunsInUp asks the manager for a preheat; the scheduler takes it, the daemon fetches, and a get of
// the same does not go to the origin again.
func TestAJobOfTheManagerRunsInUp(t *testing.T) {
	content := bytes.Repeat([]byte("preheat"), 1<<20)
	var asked atomic.Int64
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.ServeContent(w, r, "f", time.Unix(1, 0), bytes.NewReader(content))
	}))
	defer origin.Close()
	p := testProcess(t, "up")
	defer p.close()
	require.NoError(t, p.up(t.Context(), "127.0.0.1"))
	defer running(t, p)()

	rooms := p.manager.Rooms()
	url, err := neturl.Parse(origin.URL + "/f")
	require.NoError(t, err)
	require.NoError(t, rooms.Egress.CheckURL(t.Context(), url), "an origin on this machine may be named here")
	var job jobs.Enqueued
	require.NoError(t, rooms.DB.Write(t.Context(), func(ctx context.Context, tx *database.Tx) (err error) {
		job, err = rooms.Jobs.Enqueue(ctx, tx, jobs.Request{Kind: darter.PreheatFiles, Owner: "me", Spec: jobs.Spec{URLs: []string{origin.URL + "/f"}}})
		return err
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, err := range rooms.Jobs.Watch(ctx, job.ID, 0) {
		require.NoError(t, err)
	}
	done, err := rooms.Jobs.Get(t.Context(), job.ID)
	require.NoError(t, err)
	require.Equal(t, darter.JobSucceeded, done.State, done.Text)
	require.EqualValues(t, 1, done.Tally.Done)
	workers, err := rooms.Jobs.Workers(t.Context(), 1)
	require.NoError(t, err)
	require.Len(t, workers, 1)

	before := asked.Load()
	s, err := rpc.OpenSocket(t.Context(), p.cfg.SocketPath())
	require.NoError(t, err)
	out := filepath.Join(t.TempDir(), "f")
	_, err = s.Get(t.Context(), darter.Want{URL: origin.URL + "/f", OutputPath: out, Priority: 6}, cli.Sink{})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	data, err := os.ReadFile(out)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, data))
	require.Equal(t, before, asked.Load(), "the content was here")
}

// TestTheManagerSeesHostsAndOrdersThem follows the daemon's host through the scheduler to the manager's journal, and an
// order back.
func TestTheManagerSeesHostsAndOrdersThem(t *testing.T) {
	p := testProcess(t, "up")
	defer p.close()
	require.NoError(t, p.up(t.Context(), "127.0.0.1"))
	defer running(t, p)()
	rooms := p.manager.Rooms()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	given, told := "", []string(nil)
	for page, err := range rooms.News.Tail(ctx, managernotify.Filter{Types: []string{"host.*"}}, 0) {
		require.NoError(t, err)
		for _, e := range page.Events {
			told = append(told, e.Type)
			if e.Type == "host.alive" && given == "" {
				given, err = rooms.Fleet.Give(ctx, fleet.Order{Verb: fleet.Drain, Whom: strings.TrimPrefix(e.Resource, "hosts/"), Reason: "a new disk"})
				require.NoError(t, err)
			}
		}
		if slices.Contains(told, "host.draining") {
			break
		}
	}
	require.Equal(t, []string{"host.alive", "host.draining"}, told)
	hosts, err := rooms.Catalog.Hosts(t.Context(), catalog.HostFilter{})
	require.NoError(t, err)
	require.Len(t, hosts, 1)
	require.Equal(t, "seed", hosts[0].Kind)
	events, err := rooms.Catalog.HostEvents(t.Context(), hosts[0].ID, "", 10)
	require.NoError(t, err)
	require.Len(t, events, 2)
	require.Contains(t, events[0].Detail, "drain asked")
	_, said, err := rooms.Fleet.Show(t.Context(), given)
	require.NoError(t, err)
	require.Len(t, said, 1)
	require.Empty(t, said[0].Error)
}

// TestUpServesGetAndStops runs all roles in this process and fetches through them.
func TestUpServesGetAndStops(t *testing.T) {
	content := bytes.Repeat([]byte("darter"), 1<<20)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "f", time.Unix(1, 0), bytes.NewReader(content))
	}))
	defer origin.Close()
	p := testProcess(t, "up")
	defer p.close()
	require.NoError(t, p.up(t.Context(), "127.0.0.1"))
	for _, d := range p.doors.shown {
		require.True(t, d.key == "socket" || d.key == "operator" || d.key == "manager_socket" || strings.HasPrefix(d.address, "127.0.0.1:"), "%s listens on %s", d.key, d.address)
		require.False(t, strings.HasSuffix(d.address, ":0"))
	}
	stop := running(t, p)
	s, err := rpc.OpenSocket(t.Context(), p.cfg.SocketPath())
	require.NoError(t, err)
	out := filepath.Join(t.TempDir(), "f")
	_, err = s.Get(t.Context(), darter.Want{URL: origin.URL + "/f", OutputPath: out, Priority: 6}, cli.Sink{})
	require.NoError(t, err)
	data, err := os.ReadFile(out)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, data))
	require.NoError(t, s.Close())
	stop()
}

func TestTwoDaemonsOnOneFolder(t *testing.T) {
	first := testProcess(t, "daemon")
	defer first.doors.close()
	require.NoError(t, first.addDaemon(darter.Normal, "", nil, nil))
	second := testProcess(t, "daemon")
	defer second.doors.close()
	second.cfg.DataDir = first.cfg.DataDir
	err := second.addDaemon(darter.Normal, "", nil, nil)
	require.Equal(t, darter.Conflict, darter.KindOf(err))
	require.ErrorContains(t, err, first.cfg.DataDir)
	require.NotEmpty(t, darter.HintOf(err))
}

func TestAddressInUseNamesTheFlag(t *testing.T) {
	p := testProcess(t, "daemon")
	defer p.doors.close()
	l, err := p.doors.tcp("upload", "uploads", "upload-listen", "127.0.0.1:0")
	require.NoError(t, err)
	_, err = p.doors.tcp("pieces", "pieces", "piece-listen", l.Addr().String())
	require.Equal(t, darter.Conflict, darter.KindOf(err))
	require.Contains(t, darter.HintOf(err), "--piece-listen")
}

func TestStandaloneFetchesAndLeavesNothing(t *testing.T) {
	content := bytes.Repeat([]byte("x"), 5<<20)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "f", time.Unix(1, 0), bytes.NewReader(content))
	}))
	defer origin.Close()
	dir := t.TempDir()
	g, err := standalone(t.Context(), cli.StandaloneOptions{DataDir: dir})
	require.NoError(t, err)
	beside, err := standalone(t.Context(), cli.StandaloneOptions{DataDir: dir})
	require.NoError(t, err, "a second run takes a folder of its own")
	out := filepath.Join(dir, "f")
	res, err := g.Get(t.Context(), darter.Want{URL: origin.URL + "/f", OutputPath: out}, cli.Sink{})
	require.NoError(t, err)
	require.EqualValues(t, len(content), res.Length)
	data, err := os.ReadFile(out)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, data))
	var got bytes.Buffer
	_, err = beside.Get(t.Context(), darter.Want{URL: origin.URL + "/f", NeedContent: true}, cli.Sink{Piece: func(_ darter.Piece, b []byte) error {
		got.Write(b)
		return nil
	}})
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, got.Bytes()))
	require.NoError(t, g.Close())
	require.NoError(t, beside.Close())
	left, err := filepath.Glob(filepath.Join(dir, "standalone-*"))
	require.NoError(t, err)
	require.Empty(t, left)
	err = filepath.WalkDir(filepath.Join(dir, "standalone"), func(path string, d os.DirEntry, err error) error {
		require.NotEqual(t, "data", d.Name(), "what was delivered is not kept: %s", path)
		return err
	})
	require.NoError(t, err)
}

func TestScreenNamesEveryDoor(t *testing.T) {
	var b bytes.Buffer
	shown := []door{{key: "upload", what: "uploads (gRPC)", address: "[::]:4000"}, {key: "health", what: "health", address: "127.0.0.1:4003"}, {key: "socket", what: "socket", address: "/run/s"},
		{key: "manager_http", what: "manager REST", address: "127.0.0.1:8080", secure: true}}
	screen(&b, false, "up", "/data", "darter get URL", shown, 12*time.Millisecond)
	for _, part := range []string{"ready in 12 ms", "*:4000", "http://127.0.0.1:4003/readyz", "/run/s", "/data", "darter get URL", "https://127.0.0.1:8080/v1/system"} {
		require.Contains(t, b.String(), part)
	}
	require.NotContains(t, b.String(), "\x1b")
}

// TestReference holds docs/reference/cli.md to the command tree.
func TestReference(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Command line\n\nGenerated from the command tree by `go test ./cmd/darter -update`. Exit codes are in [exit-codes.md](exit-codes.md),\nsettings that flags share with files and the environment in [config.md](config.md).\n")
	describe(&b, root())
	const file = "../../docs/reference/cli.md"
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o644))
	}
	have, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, b.String(), string(have), "run go test ./cmd/darter -update")
}

func describe(b *strings.Builder, c *cobra.Command) {
	for _, sub := range c.Commands() {
		if sub.Name() == "completion" || sub.Name() == "help" {
			continue
		}
		if !sub.Runnable() && sub.PersistentFlags().HasAvailableFlags() {
			fmt.Fprintf(b, "\n## %s\n\n%s. All of its commands take:\n\n| flag | default | meaning |\n|---|---|---|\n", sub.CommandPath(), sub.Short)
			sub.PersistentFlags().VisitAll(func(f *pflag.Flag) { describeFlag(b, f) })
		}
		if sub.Runnable() {
			fmt.Fprintf(b, "\n## %s\n\n%s.\n", sub.CommandPath(), sub.Short)
			if sub.Long != "" {
				fmt.Fprintf(b, "\n%s\n", sub.Long)
			}
			if sub.Example != "" {
				fmt.Fprintf(b, "\n```\n%s\n```\n", sub.Example)
			}
			if sub.LocalFlags().HasAvailableFlags() {
				b.WriteString("\n| flag | default | meaning |\n|---|---|---|\n")
			}
			sub.LocalFlags().VisitAll(func(f *pflag.Flag) { describeFlag(b, f) })
		}
		describe(b, sub)
	}
}

func describeFlag(b *strings.Builder, f *pflag.Flag) {
	if f.Name == "help" || f.Hidden {
		return
	}
	name := "`--" + f.Name + "`"
	if f.Shorthand != "" {
		name = "`-" + f.Shorthand + "`, " + name
	}
	def := strings.Trim(f.DefValue, "[]")
	if f.Name == "data-dir" {
		def = "/var/lib/darter" // as root; the user's own folder else
	}
	fmt.Fprintf(b, "| %s | %s | %s |\n", name, def, strings.ReplaceAll(f.Usage, "|", `\|`))
}
