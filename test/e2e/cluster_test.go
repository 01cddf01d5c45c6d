package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/darter-p2p/darter/test/e2e/rig"
)

// Cluster is a scheduler, perhaps a seed, and daemons, each a process.
type Cluster struct {
	Scheduler *Node
	Seed      *Node // nil without one
	Daemons   []*Node
	dir       string
	t         *testing.T
}

// Node is one role of a cluster. It keeps its folder, name and addresses over restarts.
type Node struct {
	Name    string
	Dir     string // its own folder; data lies in Dir/data
	Socket  string // of a daemon
	Ready   rig.Ready
	Process *rig.Process
	t       *testing.T
	role    []string // subcommand and what never changes
	listen  []string // pairs of flag and key of the ready line
	at      place
	logs    strings.Builder
}

// place is where a node runs: loopback unless a host of a lab is named.
type place struct{ netns, ip string }

func (p place) address() string {
	if p.ip == "" {
		return "127.0.0.1"
	}
	return p.ip
}

// Shape says which cluster to start.
type Shape struct {
	Seed    bool
	Daemons int
	Flags   []string // added to every daemon
}

// newCluster starts a cluster and waits until the scheduler lists every host.
func newCluster(t *testing.T, ctx context.Context, s Shape) *Cluster {
	t.Helper()
	c := &Cluster{dir: shortDir(t), t: t}
	c.Scheduler = newScheduler(t, c.dir)
	c.Scheduler.Start(ctx)
	want := []string{}
	if s.Seed {
		c.Seed = c.AddDaemon(ctx, "seed", append([]string{"--seed"}, s.Flags...)...)
		want = append(want, "seed")
	}
	for i := range s.Daemons {
		name := "d" + strconv.Itoa(i)
		c.Daemons = append(c.Daemons, c.AddDaemon(ctx, name, s.Flags...))
		want = append(want, name)
	}
	c.WaitHosts(ctx, want...)
	return c
}

// shortDir makes a folder with a short path: a unix socket's path may have 107 bytes only.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "de2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func newScheduler(t *testing.T, dir string) *Node { return newSchedulerAt(t, dir, place{}) }

func newSchedulerAt(t *testing.T, dir string, at place, flags ...string) *Node {
	n := newNode(t, dir, "scheduler")
	n.at = at
	n.role = append([]string{"scheduler", "--data-dir", filepath.Join(n.Dir, "data"), "--scheduler-advertise-ip", at.address()}, flags...)
	n.listen = []string{"--scheduler-listen", "scheduler", "--scheduler-metrics", "metrics", "--debug-listen", "debug"}
	return n
}

func newNode(t *testing.T, dir, name string) *Node {
	t.Helper()
	n := &Node{Name: name, Dir: filepath.Join(dir, name), t: t}
	if err := os.MkdirAll(n.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.cleanup)
	return n
}

// newDaemon makes a daemon that is not started yet.
func newDaemon(t *testing.T, dir, name string, flags ...string) *Node {
	t.Helper()
	return newDaemonAt(t, dir, name, place{}, flags...)
}

func newDaemonAt(t *testing.T, dir, name string, at place, flags ...string) *Node {
	t.Helper()
	n := newNode(t, dir, name)
	n.at = at
	n.Socket = filepath.Join(n.Dir, "s")
	n.role = append([]string{"daemon", "--data-dir", filepath.Join(n.Dir, "data"), "--socket", n.Socket,
		"--host-ip", at.address(), "--hostname", name, "--announce-interval", "2s"}, flags...)
	n.listen = []string{"--upload-listen", "upload", "--piece-listen", "pieces", "--metrics-listen", "metrics",
		"--health-listen", "health", "--debug-listen", "debug"}
	return n
}

// AddDaemon starts one more daemon.
func (c *Cluster) AddDaemon(ctx context.Context, name string, flags ...string) *Node {
	c.t.Helper()
	n := newDaemon(c.t, c.dir, name, append([]string{"--scheduler", c.Scheduler.Ready["scheduler"]}, flags...)...)
	n.Start(ctx)
	return n
}

// Start starts the node, at the addresses it had before if it ran before.
func (n *Node) Start(ctx context.Context) {
	n.t.Helper()
	if err := n.TryStart(ctx); err != nil {
		n.t.Fatal(err)
	}
}

// TryStart starts the node and waits until it is ready.
func (n *Node) TryStart(ctx context.Context) error {
	args := append([]string{}, n.role...)
	for i := 0; i < len(n.listen); i += 2 {
		addr := n.Ready[n.listen[i+1]]
		if addr == "" {
			addr = n.at.address() + ":0"
			if n.listen[i] == "--debug-listen" { // which takes loopback only
				addr = "127.0.0.1:0"
			}
		}
		args = append(args, n.listen[i], addr)
	}
	p, err := rig.Start(rig.Command{Name: n.Name, Netns: n.at.netns, Program: darterBin, Dir: n.Dir,
		Args: append(args, "--log-format", "json"), Env: []string{"HOME=" + n.Dir}})
	if err != nil {
		return err
	}
	n.Process = p
	limited, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	ready, err := p.WaitReady(limited)
	if err != nil {
		p.Kill()
		return err
	}
	n.Ready = ready
	return nil
}

// Kill ends the node with SIGKILL.
func (n *Node) Kill() { n.Process.Kill(); n.keepLog() }

// Stop ends the node with SIGTERM and wants exit code 0.
func (n *Node) Stop(ctx context.Context) {
	n.t.Helper()
	limited, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	if err := n.Process.Stop(limited); err != nil {
		n.t.Errorf("graceful stop: %v", err)
	} else if code := n.Process.ExitCode(); code != 0 {
		n.t.Errorf("%s: exit code %d after SIGTERM, want 0", n.Name, code)
	}
	n.keepLog()
}

func (n *Node) keepLog() { n.logs.WriteString(n.Process.Log()); n.Process = nil }

// Log returns everything the node printed, over all its runs.
func (n *Node) Log() string {
	if n.Process == nil {
		return n.logs.String()
	}
	return n.logs.String() + n.Process.Log()
}

func (n *Node) cleanup() {
	if n.Process != nil {
		n.Process.Kill()
	}
	if n.t.Failed() {
		log := n.Log()
		if dir := os.Getenv("DARTER_E2E_LOGS"); dir != "" {
			name := strings.ReplaceAll(n.t.Name(), "/", "_") + "." + n.Name + ".log"
			_ = os.MkdirAll(dir, 0o755)
			_ = os.WriteFile(filepath.Join(dir, name), []byte(log), 0o644)
		}
		n.t.Logf("--- the last lines of %s:\n%s", n.Name, lastLines(log, 15))
	}
}

// lastLines returns the end of a log; a panic is longer than that and begins at its own line.
func lastLines(text string, n int) string {
	for _, mark := range []string{"\npanic: ", "\nfatal error: "} {
		if at := strings.Index(text, mark); at >= 0 {
			lines := strings.Split(text[at+1:], "\n")
			return strings.Join(lines[:min(len(lines), 2*n)], "\n")
		}
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Nodes returns everything that runs.
func (c *Cluster) Nodes() []*Node {
	all := append([]*Node{c.Scheduler}, c.Daemons...)
	if c.Seed != nil {
		all = append(all, c.Seed)
	}
	return all
}

// Hosts returns the names of the hosts the scheduler lists.
func (c *Cluster) Hosts(ctx context.Context) ([]string, error) {
	r := darter(c.t, ctx, "host", "ls", "-o", "json", "--scheduler", c.Scheduler.Ready["scheduler"])
	if r.Code != 0 {
		return nil, fmt.Errorf("host ls: exit %d: %s", r.Code, r.Stderr)
	}
	return hostnames(r.Stdout)
}

// hostnames reads the list in any of the likely shapes: a list, or an object with a list.
func hostnames(text string) ([]string, error) {
	var parsed any
	if err := json.Unmarshal([]byte(text), &parsed); err != nil {
		return nil, fmt.Errorf("host ls: %w in %q", err, text)
	}
	if object, ok := parsed.(map[string]any); ok {
		parsed = object["hosts"]
	}
	list, _ := parsed.([]any)
	names := []string{}
	for _, one := range list {
		host, _ := one.(map[string]any)
		name, _ := host["hostname"].(string)
		if name == "" {
			return nil, fmt.Errorf("host ls: a host without hostname: %v", one)
		}
		names = append(names, name)
	}
	return names, nil
}

// WaitHosts waits until the scheduler lists exactly these hosts.
func (c *Cluster) WaitHosts(ctx context.Context, want ...string) {
	c.t.Helper()
	wanted := map[string]bool{}
	for _, w := range want {
		wanted[w] = true
	}
	var last any
	ok := eventually(ctx, 30*time.Second, func() bool {
		got, err := c.Hosts(ctx)
		last = got
		if err != nil {
			last = err
			return false
		}
		for _, g := range got {
			if !wanted[g] {
				return false
			}
		}
		return len(got) == len(wanted)
	})
	if !ok {
		c.t.Fatalf("the scheduler lists %v, want %v", last, want)
	}
}

// WaitPeers waits until peers have registered at the scheduler that often in all.
func (c *Cluster) WaitPeers(ctx context.Context, n float64) {
	c.t.Helper()
	var got float64
	var err error
	if !eventually(ctx, 30*time.Second, func() bool {
		got, err = c.Scheduler.Metric(ctx, "register_peer_total")
		return err == nil && got >= n
	}) {
		c.t.Fatalf("%v peers registered (%v), want %v", got, err, n)
	}
}

// Metric sums the samples of every metric whose name ends so.
func (n *Node) Metric(ctx context.Context, suffix string) (float64, error) {
	text, err := n.Metrics(ctx)
	if err != nil {
		return 0, err
	}
	return sumMetric(text, suffix)
}

// Metrics returns what the node tells a scraper.
func (n *Node) Metrics(ctx context.Context) (string, error) {
	_, text, err := fetchFrom(ctx, n.at.netns, "http://"+n.Ready["metrics"]+"/metrics")
	return text, err
}

func sumMetric(text, suffix string) (float64, error) {
	sum, found := 0.0, false
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if labels := strings.IndexByte(line, '{'); labels >= 0 {
			end := strings.LastIndexByte(line, '}')
			if end < labels {
				continue
			}
			name, value, ok = line[:labels], strings.TrimSpace(line[end+1:]), true
		}
		if !ok || strings.HasPrefix(line, "#") || !strings.HasSuffix(name, suffix) {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("metric %q: %w", line, err)
		}
		sum, found = sum+v, true
	}
	if !found {
		return 0, fmt.Errorf("there is no metric *%s", suffix)
	}
	return sum, nil
}

// eventually asks again and again, soon at first, until ok or the limit.
func eventually(ctx context.Context, limit time.Duration, ok func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// fetchText reads a small page of a role: metrics, health.
func fetchText(ctx context.Context, url string) (int, string, error) {
	return fetchFrom(ctx, "", url)
}

// fetchFrom reads a small page in a network namespace.
func fetchFrom(ctx context.Context, netns, url string) (int, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialIn(netns)}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	return resp.StatusCode, string(b), err
}

// dialIn dials in a network namespace.
func dialIn(netns string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		err = rig.Within(netns, func() (err error) {
			conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
			return err
		})
		return conn, err
	}
}

// deadline bounds a whole test.
func deadline(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeoutCause(t.Context(), d, errors.New("the test's time is over"))
	t.Cleanup(cancel)
	return ctx
}

// interrupt sends Ctrl-C to a process.
func interrupt(t *testing.T, p *rig.Process) {
	t.Helper()
	if err := p.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
}
