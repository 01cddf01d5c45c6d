package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	schedulerv2 "d7y.io/api/v2/pkg/apis/scheduler/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/test/e2e/rig"
)

// The default policy, forty times as fast. No guard: clusters of three hosts lose most of theirs here.
const quickPolicy = `
lease: {interval: 500ms, longest: 1s, hastyBelow: 10ms}
plain: {interval: 1s, shortest: 200ms, longest: 2s}
suspicion: {shortest: 300ms, longest: 1s, within: 5s}
probe: {every: 200ms}
flap: {within: 0s}
forget: {after: 1s}
guard: {hosts: 1000}
`

// event is a line of "darter host events -o json".
type event struct {
	Seq       uint64
	At        time.Time
	Host      string
	Epoch     uint64
	From, To  string
	Reason    string
	Evidence  string
	LastHeard time.Time `json:"last_heard"`
	Exit      string
	Times     int
	Policy    uint64
}

// changed reports whether the event is a change of verdict, and no note.
func (e event) changed() bool { return e.From != e.To }

// hostRow is what is read of "darter host ls -o json" and of "host show".
type hostRow struct {
	ID, Hostname, Verdict, Interval, Zone string
	Epoch                                 uint64
	Heard                                 time.Time
	Peers, Tasks                          int
	Gone                                  bool
}

// watched is a cluster whose events a process follows.
type watched struct {
	*Cluster
	lab    *rig.Lab
	policy string // file
	follow *rig.Process
}

// watch starts a scheduler with a policy and a process that follows its events.
func watch(t *testing.T, ctx context.Context, policy string, lab *rig.Lab) *watched {
	t.Helper()
	w := &watched{Cluster: &Cluster{dir: shortDir(t), t: t}, lab: lab}
	w.policy = filepath.Join(w.dir, "policy.yaml")
	w.setPolicy(policy)
	w.Scheduler = newSchedulerAt(t, w.dir, w.host(0), "--liveness-policy", w.policy)
	w.Scheduler.Start(ctx)
	w.Follow()
	t.Cleanup(func() {
		w.follow.Kill()
		if t.Failed() {
			t.Logf("--- the last events:\n%s", lastLines(w.follow.Log(), 60))
		}
	})
	return w
}

// Run runs a part of a test: what fails in it is its own.
func (w *watched) Run(name string, part func(*testing.T)) {
	w.t.Helper()
	whole := w.t
	belong := func(t *testing.T) {
		w.t, w.Scheduler.t = t, t
		for _, d := range w.Daemons {
			d.t = t
		}
	}
	whole.Run(name, func(t *testing.T) {
		belong(t)
		defer belong(whole)
		part(t)
	})
}

func (w *watched) setPolicy(text string) {
	w.t.Helper()
	check(w.t, os.WriteFile(w.policy, []byte(text), 0o644))
}

// host is where the i-th host of the lab is, or loopback without a lab.
func (w *watched) host(i int) place {
	if w.lab == nil {
		return place{}
	}
	return place{netns: w.lab.Netns(i), ip: w.lab.IP(i)}
}

// Daemon starts a daemon on the i-th host.
func (w *watched) Daemon(ctx context.Context, i int, name string, flags ...string) *Node {
	w.t.Helper()
	n := newDaemonAt(w.t, w.dir, name, w.host(i), append([]string{"--scheduler", w.Scheduler.Ready["scheduler"]}, flags...)...)
	n.Start(ctx)
	w.Daemons = append(w.Daemons, n)
	return n
}

// WithDaemons starts so many, on hosts from 1 on, and waits until all are known and well.
func (w *watched) WithDaemons(ctx context.Context, n int, flags ...string) *watched {
	w.t.Helper()
	for i := range n {
		w.Daemon(ctx, i+1, "d"+strconv.Itoa(i), flags...)
	}
	for _, d := range w.Daemons {
		w.await(ctx, 0, d.Name+" joins", func(e event) bool { return strings.Contains(e.Host, d.Name) && e.To == "alive" })
	}
	return w
}

// Follow follows the events, anew when the scheduler is another process.
func (w *watched) Follow() {
	w.t.Helper()
	if w.follow != nil {
		w.follow.Kill()
	}
	var err error
	w.follow, err = rig.Start(rig.Command{Name: "events", Netns: w.host(0).netns, Program: darterBin, Dir: w.dir, Env: commandEnv(w.dir),
		Args: []string{"host", "events", "-f", "-o", "json", "--scheduler", w.Scheduler.Ready["scheduler"]}})
	check(w.t, err)
}

// events returns what happened so far.
func (w *watched) events() (all []event) {
	for line := range strings.Lines(w.follow.Log()) {
		var e event
		if strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &e) == nil { // the last line may be half of one
			all = append(all, e)
		}
	}
	return all
}

// now returns the number of the last event.
func (w *watched) now() uint64 {
	if all := w.events(); len(all) > 0 {
		return all[len(all)-1].Seq
	}
	return 0
}

// await waits for the first event after one that is as wanted.
func (w *watched) await(ctx context.Context, after uint64, what string, ok func(event) bool) (found event) {
	w.t.Helper()
	if !eventually(ctx, 90*time.Second, func() bool {
		all := w.events()
		i := slices.IndexFunc(all, func(e event) bool { return e.Seq > after && ok(e) })
		if i >= 0 {
			found = all[i]
		}
		return i >= 0
	}) {
		w.t.Fatalf("no event tells that %s", what)
	}
	return found
}

// story waits until a host went through these verdicts, others in between allowed, and returns the changes to them.
func (w *watched) story(ctx context.Context, after uint64, host string, verdicts ...string) (told []event) {
	w.t.Helper()
	for _, v := range verdicts {
		e := w.await(ctx, after, host+" is "+v, func(e event) bool { return e.Host == host && e.changed() && e.To == v })
		told, after = append(told, e), e.Seq
	}
	return told
}

// note waits until something odd was noted of a host.
func (w *watched) note(ctx context.Context, after uint64, host, reason string) event {
	w.t.Helper()
	return w.await(ctx, after, reason+" was noted of "+host, func(e event) bool { return e.Host == host && e.Reason == reason })
}

// never wants no host to have been given one of the verdicts after an event.
func (w *watched) never(after uint64, verdicts ...string) {
	w.t.Helper()
	for _, e := range w.events() {
		if e.Seq > after && e.changed() && slices.Contains(verdicts, e.To) {
			w.t.Errorf("%s became %s: %s (%s), last heard %s before", e.Host, e.To, e.Reason, e.Evidence, e.At.Sub(e.LastHeard))
		}
	}
}

// CLI runs darter against the scheduler, beside it.
func (w *watched) CLI(ctx context.Context, args ...string) Done {
	w.t.Helper()
	name := darterBin
	args = append(args, "--scheduler", w.Scheduler.Ready["scheduler"])
	if netns := w.host(0).netns; netns != "" {
		name, args = "nsenter", append([]string{"--net=/run/netns/" + netns, darterBin}, args...)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = w.dir, commandEnv(w.dir)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the exit code tells
	if cmd.ProcessState == nil {
		w.t.Fatalf("darter %s did not start", strings.Join(args, " "))
	}
	return Done{Code: cmd.ProcessState.ExitCode(), Stdout: out.String(), Stderr: errs.String()}
}

// Order runs a command of an operator and wants it to succeed.
func (w *watched) Order(ctx context.Context, args ...string) string {
	w.t.Helper()
	r := w.CLI(ctx, append(args, "--operator-socket", w.Scheduler.Ready["operator"])...)
	if r.Code != 0 {
		w.t.Fatalf("darter %s: exit %d: %s", strings.Join(args, " "), r.Code, r.Stderr)
	}
	return r.Stdout
}

// Rows returns the hosts that the scheduler knows, by hostname.
func (w *watched) Rows(ctx context.Context) map[string]hostRow {
	w.t.Helper()
	r := w.CLI(ctx, "host", "ls", "-o", "json")
	var list []hostRow
	if r.Code == 0 {
		check(w.t, json.Unmarshal([]byte(r.Stdout), &list))
	}
	rows := map[string]hostRow{}
	for _, h := range list {
		rows[h.Hostname] = h
	}
	return rows
}

// Row waits until a host's row is as wanted.
func (w *watched) Row(ctx context.Context, hostname, what string, ok func(hostRow) bool) hostRow {
	w.t.Helper()
	var row hostRow
	if !eventually(ctx, time.Minute, func() bool {
		var known bool
		row, known = w.Rows(ctx)[hostname]
		return known && ok(row)
	}) {
		w.t.Fatalf("%s: not so that %s: %+v", hostname, what, row)
	}
	return row
}

// ID returns the id of a host that is listed.
func (w *watched) ID(ctx context.Context, n *Node) string {
	w.t.Helper()
	return w.Row(ctx, n.Name, "it is listed", func(hostRow) bool { return true }).ID
}

// Holds waits until the scheduler knows that a host holds so many tasks.
func (w *watched) Holds(ctx context.Context, n *Node, tasks int) {
	w.t.Helper()
	w.Row(ctx, n.Name, fmt.Sprintf("it holds %d tasks", tasks), func(r hostRow) bool { return r.Tasks >= tasks })
}

// Heard waits until a host was heard after a moment.
func (w *watched) Heard(ctx context.Context, n *Node, after time.Time) {
	w.t.Helper()
	w.Row(ctx, n.Name, "it was heard", func(r hostRow) bool { return r.Heard.After(after) })
}

// Counts waits until a metric with these labels, in the order of their names, is at least n.
func (w *watched) Counts(ctx context.Context, name string, n float64) {
	w.t.Helper()
	var got float64
	var err error
	if !eventually(ctx, 30*time.Second, func() bool {
		got, err = w.Figure(ctx, name)
		return err == nil && got >= n
	}) {
		w.t.Errorf("%s is %v (%v), want at least %v", name, got, err, n)
	}
}

// Figure returns one sample.
func (w *watched) Figure(ctx context.Context, name string) (float64, error) {
	text, err := w.Scheduler.Metrics(ctx)
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "darter_scheduler_"+name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(rest), 64)
		}
	}
	if err == nil {
		err = fmt.Errorf("there is no %s", name)
	}
	return 0, err
}

// served wants a node to have a content from its peers alone, without a byte of the origin.
func (w *watched) served(ctx context.Context, n *Node, o *Origin, path string, c Content, p *Page) {
	w.t.Helper()
	before := p.Sent()
	if g := Get(w.t, ctx, n, o.URL+path, c); g.FromPeers != c.Size {
		w.t.Errorf("%s had %d of %d bytes of %s from its peers, %d from the origin", n.Name, g.FromPeers, c.Size, path, g.FromOrigin)
	}
	if sent := p.Sent() - before; sent > 0 {
		w.t.Errorf("the origin sent %d bytes of %s although a host held it", sent, path)
	}
}

// calls is for calls made by hand.
func (w *watched) calls() schedulerv2.SchedulerClient {
	return schedulerv2.NewSchedulerClient(w.conn())
}

// conn is a connection to the scheduler.
func (w *watched) conn() *grpc.ClientConn {
	w.t.Helper()
	dial := dialIn(w.host(0).netns)
	conn, err := grpc.NewClient("passthrough:///"+w.Scheduler.Ready["scheduler"], grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return dial(ctx, "tcp", addr) }))
	check(w.t, err)
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// portOf returns the port of an address.
func portOf(t *testing.T, address string) int32 {
	t.Helper()
	at, err := netip.ParseAddrPort(address)
	check(t, err)
	return int32(at.Port())
}

// writeFile writes a file below a node's data.
func writeFile(t *testing.T, n *Node, name, text string) {
	t.Helper()
	check(t, os.WriteFile(filepath.Join(n.Dir, "data", filepath.FromSlash(name)), []byte(text), 0o600))
}

// removeAll removes a folder below a node's data, which must be there.
func removeAll(t *testing.T, n *Node, name string) {
	t.Helper()
	path := filepath.Join(n.Dir, "data", filepath.FromSlash(name))
	_, err := os.Stat(path)
	check(t, err)
	check(t, os.RemoveAll(path))
}

// withEpoch names the run of a host that speaks, as our daemons do.
func withEpoch(ctx context.Context, e uint64) context.Context {
	return metadata.AppendToOutgoingContext(ctx, wire.MetaEpoch, strconv.FormatUint(e, 10))
}

// plainHost is what a plain Dragonfly daemon announces: no epoch, and nobody listens at its port.
func plainHost(id string, port int32, interval time.Duration) *schedulerv2.AnnounceHostRequest {
	return &schedulerv2.AnnounceHostRequest{Interval: durationpb.New(interval), Host: &commonv2.Host{Id: id, Hostname: id, Ip: "127.0.0.1",
		Port: port, DownloadPort: port + 1, Os: "linux", Platform: "debian", PlatformFamily: "debian", PlatformVersion: "12", KernelVersion: "6.1",
		Cpu: &commonv2.CPU{}, Memory: &commonv2.Memory{}, Network: &commonv2.Network{}, Disk: &commonv2.Disk{}, Build: &commonv2.Build{GitVersion: "2.2.0"}}}
}
