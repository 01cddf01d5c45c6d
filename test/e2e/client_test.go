package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestGetToStdoutIntoSha256sum(t *testing.T) {
	ctx := deadline(t, time.Minute)
	o := NewOrigin(t, 0)
	content := Random(t, 33*mib+5, 20)
	o.Add("/pipe", content)
	c := newCluster(t, ctx, Shape{Seed: true, Daemons: 1})

	get := exec.CommandContext(ctx, darterBin, "get", o.URL+"/pipe", "-o", "-", "-q", "--socket", c.Daemons[0].Socket, "--require-daemon")
	get.Env, get.Dir, get.Stderr = commandEnv(c.dir), c.dir, os.Stderr
	sum := exec.CommandContext(ctx, "sha256sum")
	pipe, err := get.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	sum.Stdin = pipe
	if err := get.Start(); err != nil {
		t.Fatal(err)
	}
	out, err := sum.Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := get.Wait(); err != nil {
		t.Errorf("get: %v", err)
	}
	if got, _, _ := strings.Cut(string(out), " "); got != content.SHA256 {
		t.Errorf("sha256sum says %s, want %s", got, content.SHA256)
	}
}

// TestResumeAfterInterrupt holds the origin at half, interrupts get, and wants the second get to
// fetch only what is missing.
func TestResumeAfterInterrupt(t *testing.T) {
	ctx := deadline(t, 2*time.Minute)
	content := Random(t, 64*mib+99, 21)
	t.Run("daemon", func(t *testing.T) {
		c := newCluster(t, ctx, Shape{Daemons: 1})
		n := c.Daemons[0]
		resume(t, content, n.Dir, "--socket", n.Socket, "--require-daemon")
	})
	t.Run("standalone", func(t *testing.T) {
		resume(t, content, shortDir(t), "--standalone")
	})
}

func resume(t *testing.T, content Content, dir string, flags ...string) {
	ctx := deadline(t, time.Minute)
	o := NewOrigin(t, int(64*mib))
	page := o.Add("/resume", content)
	page.HoldAt(content.Size / 2)
	out := filepath.Join(dir, "resumed")
	args := append([]string{o.URL + "/resume", "-o", out, "--json"}, flags...)

	first := startGet(t, dir, args...)
	page.WaitHeld(t, ctx)
	interrupt(t, first)
	if err := first.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if first.ExitCode() != 130 {
		t.Errorf("interrupted get: exit %d, want 130: %s", first.ExitCode(), first.Log())
	}
	wantNoFile(t, out)
	before := page.Sent()
	page.Release()

	second := darterIn(t, ctx, dir, append([]string{"get"}, args...)...)
	if second.Code != 0 {
		t.Fatalf("second get: exit %d: %s", second.Code, second.Stderr)
	}
	wantFile(t, out, content)
	g := parseGot(t, second.Stdout)
	if g.FromCache+g.FromOrigin != content.Size {
		t.Errorf("second get: cache %d + origin %d is not %d", g.FromCache, g.FromOrigin, content.Size)
	}
	// Half was sent before; pieces cut in the middle may come again, at most as many as were on
	// their way.
	if g.FromCache < content.Size/4 {
		t.Errorf("second get found %d bytes in the cache; the origin had sent %d", g.FromCache, before)
	}
	if extra := page.Sent() - content.Size; extra > 8*piece {
		t.Errorf("the origin sent %d bytes more than the content: the second get fetched what was there", extra)
	}
}

func TestGetWithoutAnyDaemon(t *testing.T) {
	ctx := deadline(t, time.Minute)
	o := NewOrigin(t, 0)
	content := Random(t, 11*mib, 22)
	page := o.Add("/alone", content)
	dir := shortDir(t)
	out := filepath.Join(dir, "alone")

	r := darterIn(t, ctx, dir, "get", o.URL+"/alone", "-o", out, "--json", "--socket", filepath.Join(dir, "no-such-socket"))
	if r.Code != 0 {
		t.Fatalf("exit %d: %s", r.Code, r.Stderr)
	}
	wantFile(t, out, content)
	if g := parseGot(t, r.Stdout); g.FromOrigin != content.Size {
		t.Errorf("from_origin %d, want %d", g.FromOrigin, content.Size)
	}
	wantOneCopy(t, page, content, 0)

	r = darterIn(t, ctx, dir, "get", o.URL+"/alone", "-o", out+"2", "--require-daemon", "--socket", filepath.Join(dir, "no-such-socket"))
	if r.Code != 15 || !strings.Contains(r.Stderr, "no-such-socket") {
		t.Errorf("--require-daemon without one: exit %d, want 15 and the socket's name: %s", r.Code, r.Stderr)
	}
}

func TestSmallAndOddSizes(t *testing.T) {
	ctx := deadline(t, time.Minute)
	o := NewOrigin(t, 0)
	c := newCluster(t, ctx, Shape{Seed: true, Daemons: 2})
	for i, size := range []int64{0, 1, 2, 127, 128, 129, 64 << 10, piece - 1, piece, piece + 1, 2 * piece} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			path := fmt.Sprintf("/size-%d", size)
			content := Random(t, size, uint64(30+i))
			page := o.Add(path, content)
			Get(t, ctx, c.Daemons[0], o.URL+path, content)
			Get(t, ctx, c.Daemons[1], o.URL+path, content)
			Get(t, ctx, c.Daemons[1], o.URL+path, content)
			wantOneCopy(t, page, content, 0)
		})
	}
}

func TestRanges(t *testing.T) {
	ctx := deadline(t, time.Minute)
	o := NewOrigin(t, 0)
	content := Random(t, 3*piece+1000, 40)
	o.Add("/range", content)
	c := newCluster(t, ctx, Shape{Seed: true, Daemons: 1})
	n := c.Daemons[0]
	for _, one := range []struct {
		text         string
		from, length int64
	}{
		{"0-0", 0, 1},
		{"5-10", 5, 6},
		{fmt.Sprintf("%d-%d", piece-1, piece), piece - 1, 2},
		{fmt.Sprintf("%d-", 3*piece), 3 * piece, 1000},
		{"-17", content.Size - 17, 17},
		{fmt.Sprintf("%d-%d", content.Size-5, content.Size+5), content.Size - 5, 5},
	} {
		t.Run(one.text, func(t *testing.T) {
			r := darter(t, ctx, "get", o.URL+"/range", "-o", "-", "-q", "--range="+one.text, "--socket", n.Socket, "--require-daemon")
			if want := content.Bytes(t, one.from, one.length); r.Code != 0 || r.Stdout != string(want) {
				t.Errorf("exit %d, %d bytes, want %d: %s", r.Code, len(r.Stdout), len(want), r.Stderr)
			}
		})
	}
	for _, bad := range []string{fmt.Sprintf("%d-", content.Size), "9-3", "x-y", "-0"} {
		r := darter(t, ctx, "get", o.URL+"/range", "-o", "-", "-q", "--range="+bad, "--socket", n.Socket, "--require-daemon")
		if r.Code == 0 || r.Stdout != "" || r.Stderr == "" {
			t.Errorf("range %q: exit %d, %d bytes, message %q; want a failure that explains itself", bad, r.Code, len(r.Stdout), r.Stderr)
		}
	}
	Get(t, ctx, n, o.URL+"/range", content)
}

func TestListOfURLs(t *testing.T) {
	ctx := deadline(t, time.Minute)
	o := NewOrigin(t, 0)
	c := newCluster(t, ctx, Shape{Daemons: 1})
	n := c.Daemons[0]
	list := ""
	contents := map[string]Content{}
	for i := range 5 {
		name := fmt.Sprintf("item-%d", i)
		contents[name] = Random(t, int64(i)*777_777, uint64(50+i))
		o.Add("/"+name, contents[name])
		list += o.URL + "/" + name + "\n"
	}
	file, dir := filepath.Join(n.Dir, "list"), filepath.Join(n.Dir, "all")
	if err := os.WriteFile(file, []byte("# five files\n"+list), 0o644); err != nil {
		t.Fatal(err)
	}
	r := darter(t, ctx, "get", "-i", file, "-d", dir, "-j", "3", "-q", "--socket", n.Socket)
	if r.Code != 0 {
		t.Errorf("exit %d: %s", r.Code, r.Stderr)
	}
	for name, content := range contents {
		wantFile(t, filepath.Join(dir, name), content)
	}
	if err := os.WriteFile(file, []byte(list+o.URL+"/missing\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r = darter(t, ctx, "get", "-i", file, "-d", dir, "--overwrite", "-q", "--socket", n.Socket)
	if r.Code != 13 {
		t.Errorf("one of six missing: exit %d, want 13: %s", r.Code, r.Stderr)
	}
}

// TestUpThenGet is what the README shows, on free ports.
func TestUpThenGet(t *testing.T) {
	ctx := deadline(t, time.Minute)
	o := NewOrigin(t, 0)
	content := Random(t, 21*mib, 60)
	page := o.Add("/file.bin", content)
	n := newNode(t, shortDir(t), "up")
	n.Socket = filepath.Join(n.Dir, "s")
	n.role = []string{"up", "--data-dir", filepath.Join(n.Dir, "data"), "--socket", n.Socket, "--listen-ip", "127.0.0.1"}
	n.listen = []string{"--upload-listen", "upload", "--piece-listen", "pieces", "--metrics-listen", "metrics",
		"--health-listen", "health", "--debug-listen", "debug", "--scheduler-listen", "scheduler",
		"--manager-grpc", "manager_grpc", "--manager-http", "manager_http"}
	n.Start(ctx)

	r := darterIn(t, ctx, n.Dir, "get", o.URL+"/file.bin", "--socket", n.Socket)
	if r.Code != 0 {
		t.Fatalf("exit %d: %s", r.Code, r.Stderr)
	}
	wantFile(t, filepath.Join(n.Dir, "file.bin"), content)
	wantOneCopy(t, page, content, 0)
	if !strings.Contains(r.Stderr+r.Stdout, "file.bin") {
		t.Errorf("get said nothing about its file: %q", r.Stderr+r.Stdout)
	}

	for _, path := range []string{"/livez", "/readyz"} {
		if code, body, err := fetchText(ctx, "http://"+n.Ready["health"]+path); err != nil || code != 200 {
			t.Errorf("%s: %d %s %v", path, code, body, err)
		}
	}
	n.Stop(ctx)
}

func TestStatusHostAndTaskCommands(t *testing.T) {
	ctx := deadline(t, time.Minute)
	o := NewOrigin(t, 0)
	content := Random(t, 9*mib, 61)
	o.Add("/seen", content)
	c := newCluster(t, ctx, Shape{Seed: true, Daemons: 1})
	n, scheduler := c.Daemons[0], c.Scheduler.Ready["scheduler"]
	g := Get(t, ctx, n, o.URL+"/seen", content)

	for _, args := range [][]string{
		{"status"}, {"host", "ls"}, {"task", "ls"}, {"task", "show", g.TaskID},
	} {
		for _, format := range []string{"table", "json", "yaml"} {
			all := append(append([]string{}, args...), "-o", format, "--socket", n.Socket, "--scheduler", scheduler)
			r := darter(t, ctx, all...)
			if r.Code != 0 || strings.TrimSpace(r.Stdout) == "" {
				t.Errorf("darter %s: exit %d: %s", strings.Join(all, " "), r.Code, r.Stderr)
				continue
			}
			if format == "json" {
				wantJSON(t, args, r.Stdout)
			}
			if args[0] == "task" && !strings.Contains(r.Stdout, g.TaskID[:12]) {
				t.Errorf("darter %s does not name the task %s:\n%s", strings.Join(all, " "), g.TaskID, r.Stdout)
			}
		}
	}
	if r := darter(t, ctx, "task", "show", strings.Repeat("0", 64), "--socket", n.Socket, "--scheduler", scheduler); r.Code == 0 {
		t.Errorf("a task that nobody has was shown:\n%s", r.Stdout)
	}
	if r := darter(t, ctx, "status", "--socket", filepath.Join(n.Dir, "none")); r.Code == 0 {
		t.Errorf("status without a daemon: exit 0:\n%s", r.Stdout)
	}
}

func TestVersionAndHelp(t *testing.T) {
	ctx := deadline(t, 30*time.Second)
	for _, args := range [][]string{{"version"}, {"--help"}, {"get", "--help"}, {"up", "--help"}, {"daemon", "--help"}} {
		if r := darter(t, ctx, args...); r.Code != 0 || r.Stdout == "" {
			t.Errorf("darter %s: exit %d, %q", strings.Join(args, " "), r.Code, r.Stderr)
		}
	}
	for _, args := range [][]string{{"gett"}, {"get"}, {"get", "--no-such-flag", "http://127.0.0.1/"}, {"get", "not a url"}} {
		if r := darter(t, ctx, args...); r.Code != 2 || r.Stderr == "" {
			t.Errorf("darter %s: exit %d, want 2 and a message: %q", strings.Join(args, " "), r.Code, r.Stderr)
		}
	}
}
