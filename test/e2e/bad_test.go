package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestBadOriginsGiveTheirExitCode(t *testing.T) {
	ctx := deadline(t, 3*time.Minute)
	o := NewOrigin(t, 0)
	good := Random(t, 5*mib, 70)
	o.Add("/good", good)
	o.AddHandler("/missing", fail(404))
	o.AddHandler("/gone", fail(410))
	o.AddHandler("/broken", fail(500))
	o.AddHandler("/teapot", fail(418))
	o.AddHandler("/locked", fail(403))
	o.AddHandler("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	o.AddHandler("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/good", http.StatusFound) })
	o.AddHandler("/short", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.FormatInt(good.Size, 10))
		_, _ = w.Write(good.Bytes(t, 0, good.Size/2)) // net/http then cuts the connection
	})
	closed := closedAddress(t)
	c := newCluster(t, ctx, Shape{Seed: true, Daemons: 1})
	n := c.Daemons[0]

	for _, one := range []struct {
		name, url string
		flags     []string
		codes     []int
	}{
		{"404", o.URL + "/missing", nil, []int{9}},
		{"410", o.URL + "/gone", nil, []int{9}},
		{"500", o.URL + "/broken", nil, []int{8}},
		{"418", o.URL + "/teapot", nil, []int{8}},
		{"403", o.URL + "/locked", nil, []int{6}},
		{"redirect loop", o.URL + "/loop", nil, []int{7, 8}},
		{"short body", o.URL + "/short", nil, []int{4, 10}},
		{"refused", "http://" + closed + "/x", nil, []int{4}},
		{"no such name", "http://no-such-name.invalid/x", nil, []int{4}},
		{"wrong digest", o.URL + "/good", []string{"--digest", "sha256:" + strings.Repeat("ab", 32)}, []int{10}},
	} {
		for _, mode := range []string{"daemon", "standalone"} {
			t.Run(one.name+" "+mode, func(t *testing.T) {
				dir := shortDir(t)
				out := filepath.Join(dir, "out")
				args := append([]string{"get", one.url, "-o", out, "--timeout", "60s"}, one.flags...)
				if mode == "daemon" {
					args = append(args, "--socket", n.Socket, "--require-daemon")
				} else {
					args = append(args, "--standalone")
				}
				r := darterIn(t, ctx, dir, args...)
				if !slices.Contains(one.codes, r.Code) {
					t.Errorf("exit %d, want one of %v", r.Code, one.codes)
				}
				if strings.TrimSpace(r.Stderr) == "" {
					t.Error("no message")
				}
				wantNoFile(t, out)
				t.Logf("exit %d: %s", r.Code, strings.TrimSpace(r.Stderr))
			})
		}
	}
	Get(t, ctx, n, o.URL+"/good", good, "--digest", "sha256:"+good.SHA256)
	Get(t, ctx, n, o.URL+"/moved", good)
}

// TestContentThatChangesMidDownload never gives a mixture of both.
func TestContentThatChangesMidDownload(t *testing.T) {
	ctx := deadline(t, 2*time.Minute)
	o := NewOrigin(t, int(64*mib))
	before, after := Random(t, 40*mib, 71), Random(t, 40*mib, 72)
	old := o.Add("/changing", before)
	old.HoldAt(before.Size / 2)
	c := newCluster(t, ctx, Shape{Seed: true, Daemons: 2})
	n := c.Daemons[0]
	out := filepath.Join(n.Dir, "changed")
	p := startGet(t, n.Dir, o.URL+"/changing", "-o", out, "--socket", n.Socket, "--require-daemon")
	old.WaitHeld(t, ctx)

	// Who asks from now on gets the new content; who reads the old one loses the connection.
	o.Add("/changing", after)
	o.server.Close()
	old.Release()
	o.Start(t)

	if err := p.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if p.ExitCode() == 0 {
		wantFile(t, out, after)
	} else {
		wantNoFile(t, out)
		if p.ExitCode() != 10 {
			t.Errorf("exit %d, want 0 or 10: %s", p.ExitCode(), lastLines(p.Log(), 3))
		}
	}
	if p.ExitCode() != 0 { // then the next attempt must succeed
		Get(t, ctx, n, o.URL+"/changing", after)
	}
	Get(t, ctx, c.Daemons[1], o.URL+"/changing", after)
}

// TestOriginWithoutRanges still serves everyone once.
func TestOriginWithoutRanges(t *testing.T) {
	ctx := deadline(t, time.Minute)
	o := NewOrigin(t, 0)
	content := Random(t, 23*mib, 73)
	page := o.Add("/plain", content)
	page.noRange = true
	chunked := Random(t, 7*mib, 74)
	o.AddHandler("/chunked", func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush() // no Content-Length
		_, _ = w.Write(chunked.Bytes(t, 0, chunked.Size))
	})
	c := newCluster(t, ctx, Shape{Seed: true, Daemons: 2})
	GetAll(t, ctx, c.Daemons, o.URL+"/plain", content)
	wantOneCopy(t, page, content, 0)
	GetAll(t, ctx, c.Daemons, o.URL+"/chunked", chunked)
}

func closedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestTwoDaemonsOnOneFolder(t *testing.T) {
	ctx := deadline(t, time.Minute)
	dir := shortDir(t)
	first := newDaemon(t, dir, "first", "--scheduler", closedAddress(t))
	first.Start(ctx)
	second := newDaemon(t, dir, "second", "--scheduler", closedAddress(t), "--data-dir", filepath.Join(first.Dir, "data"))
	err := second.TryStart(ctx)
	if err == nil {
		t.Fatal("two daemons work on one folder")
	}
	code, log := second.Process.ExitCode(), second.Log()
	if code <= 0 || !strings.Contains(log, filepath.Join(first.Dir, "data")) {
		t.Errorf("exit %d; want a failure that names the folder:\n%s", code, log)
	}
	if r := darter(t, ctx, "status", "--socket", first.Socket); r.Code != 0 && r.Code != 1 {
		t.Errorf("the first daemon: status exit %d: %s", r.Code, r.Stderr)
	}
	o := NewOrigin(t, 0)
	content := Random(t, 5*mib, 75)
	o.Add("/lives", content)
	Get(t, ctx, first, o.URL+"/lives", content)
}

func TestFullDiskFailsTheDownloadNotTheDaemon(t *testing.T) {
	ctx := deadline(t, time.Minute)
	o := NewOrigin(t, 0)
	big, small := Random(t, 96*mib, 76), Random(t, 3*mib, 77)
	page := o.Add("/big", big)
	o.Add("/small", small)
	noRange := o.Add("/stream", big) // the length is learned, but the bytes come as one stream
	noRange.noRange = true
	o.AddHandler("/unknown", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, io.NewSectionReader(big.Reader, 0, big.Size))
	}) // chunked: no length at all
	dir := shortDir(t)
	n := newDaemon(t, dir, "d", "--scheduler", closedAddress(t))
	mountTmpfs(t, filepath.Join(n.Dir, "data"), "size=48m")
	n.Start(ctx)

	for _, path := range []string{"/big", "/stream", "/unknown"} {
		out := filepath.Join(n.Dir, "out")
		r := darter(t, ctx, "get", o.URL+path, "-o", out, "--socket", n.Socket, "--require-daemon")
		if r.Code != 11 || !strings.Contains(strings.ToLower(r.Stderr), "space") {
			t.Errorf("%s: exit %d, want 11 and a word about space: %s", path, r.Code, r.Stderr)
		}
		wantNoFile(t, out)
	}
	if page.Sent() > 64*mib {
		t.Errorf("%d bytes were fetched for a disk of 48 MiB", page.Sent())
	}
	Get(t, ctx, n, o.URL+"/small", small)
	n.Stop(ctx)
}

func TestReadOnlyFolders(t *testing.T) {
	ctx := deadline(t, time.Minute)
	o := NewOrigin(t, 0)
	content := Random(t, 2*mib, 78)
	o.Add("/ro", content)
	dir := shortDir(t)
	readOnly := filepath.Join(dir, "ro")
	mountTmpfs(t, readOnly, "size=1m,ro")

	frozen := newDaemon(t, dir, "frozen", "--scheduler", closedAddress(t), "--data-dir", filepath.Join(readOnly, "data"))
	if err := frozen.TryStart(ctx); err == nil {
		t.Error("a daemon runs on a read-only folder")
	} else if frozen.Process.ExitCode() <= 0 || !strings.Contains(frozen.Log(), readOnly) {
		t.Errorf("exit %d; want a failure that names the folder:\n%s", frozen.Process.ExitCode(), frozen.Log())
	}

	n := newDaemon(t, dir, "d", "--scheduler", closedAddress(t))
	n.Start(ctx)
	for _, flags := range [][]string{{"--socket", n.Socket, "--require-daemon"}, {"--standalone"}} {
		r := darterIn(t, ctx, n.Dir, append([]string{"get", o.URL + "/ro", "-o", filepath.Join(readOnly, "out")}, flags...)...)
		if r.Code != 3 || !strings.Contains(r.Stderr, readOnly) {
			t.Errorf("output into a read-only folder with %v: exit %d, want 3 and its name: %s", flags, r.Code, r.Stderr)
		}
	}
	Get(t, ctx, n, o.URL+"/ro", content)
}

// mountTmpfs mounts a small file system, or skips the test with a word why.
func mountTmpfs(t *testing.T, dir, options string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	flags := uintptr(0)
	options, readOnly := strings.CutSuffix(options, ",ro")
	if readOnly {
		flags = syscall.MS_RDONLY
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
		t.Skipf("NOT TESTED: a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
}

func TestExistingOutput(t *testing.T) {
	ctx := deadline(t, time.Minute)
	o := NewOrigin(t, 0)
	content := Random(t, 2*mib, 79)
	page := o.Add("/there", content)
	dir := shortDir(t)
	out := filepath.Join(dir, "there")
	if err := os.WriteFile(out, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := darterIn(t, ctx, dir, "get", o.URL+"/there", "-o", out, "--standalone")
	if b, _ := os.ReadFile(out); r.Code != 3 || string(b) != "precious" {
		t.Errorf("exit %d, file %q; want 3 and the file as it was: %s", r.Code, b, r.Stderr)
	}
	if r = darterIn(t, ctx, dir, "get", o.URL+"/there", "-o", out, "--standalone", "--overwrite"); r.Code != 0 {
		t.Errorf("--overwrite: exit %d: %s", r.Code, r.Stderr)
	}
	wantFile(t, out, content)
	requests := page.Requests()
	r = darterIn(t, ctx, dir, "get", o.URL+"/there", "-o", out, "--standalone", "--digest", "sha256:"+content.SHA256)
	if r.Code != 0 || page.Requests() != requests {
		t.Errorf("the right file is there: exit %d, %d requests more: %s", r.Code, page.Requests()-requests, r.Stderr)
	}
}

// TestCredentialsStayPrivate sends a canary through a swarm and looks for it everywhere.
func TestCredentialsStayPrivate(t *testing.T) {
	ctx := deadline(t, time.Minute)
	const canary = "canary-5f1c9"
	o := NewOrigin(t, 0)
	content := Random(t, 9*mib, 80)
	page := o.Add("/private", content)
	page.needs = "Bearer " + canary
	url := o.URL + "/private"
	c := newCluster(t, ctx, Shape{Seed: true, Daemons: 2, Flags: []string{"--log-level", "debug"}})

	var got Got
	for _, n := range c.Daemons {
		got = Get(t, ctx, n, url, content, "-H", "Authorization: Bearer "+canary)
	}
	if !slices.Contains(page.Authorizations(), "Bearer "+canary) {
		t.Error("the origin never saw the credentials: this test proves nothing")
	}
	places := map[string]string{}
	for _, n := range c.Nodes() {
		places["log of "+n.Name] = n.Log()
		_, places["metrics of "+n.Name], _ = fetchText(ctx, "http://"+n.Ready["metrics"]+"/metrics")
		filesInto(t, places, n.Dir)
	}
	at := []string{"-o", "json", "--scheduler", c.Scheduler.Ready["scheduler"], "--socket", c.Daemons[1].Socket}
	for _, args := range [][]string{{"host", "ls"}, {"task", "ls"}, {"task", "show", got.TaskID}, {"status"}} {
		r := darter(t, ctx, append(args, at...)...)
		places["darter "+strings.Join(args, " ")] = r.Stdout + r.Stderr
	}
	for place, text := range places {
		if strings.Contains(text, canary) {
			t.Errorf("the credentials are in the %s", place)
		}
	}
	refused := darter(t, ctx, "get", o.URL+"/private?other", "-o", filepath.Join(c.dir, "no"), "--socket", c.Daemons[0].Socket)
	if refused.Code != 6 {
		t.Errorf("without credentials: exit %d, want 6: %s", refused.Code, refused.Stderr)
	}
}

// filesInto reads every small file of a role's folder: the content itself is too big to matter.
func filesInto(t *testing.T, places map[string]string, dir string) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || !info.Mode().IsRegular() || info.Size() > mib {
			return nil // files may vanish while we look
		}
		b, err := os.ReadFile(path)
		if err == nil {
			places["file "+path] = string(b)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestConfigErrorsSayWhere(t *testing.T) {
	ctx := deadline(t, 30*time.Second)
	dir := shortDir(t)
	file := filepath.Join(dir, "darter.yaml")
	if err := os.WriteFile(file, []byte("# a comment\ndata_dir: /tmp/x\nno_such_key: 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	where := regexp.MustCompile(`(?i)(\b3:1\b|line 3)`)
	for _, args := range [][]string{{"config", "check", file}, {"daemon", "--config", file}} {
		r := darterIn(t, ctx, dir, args...)
		text := r.Stdout + r.Stderr
		if r.Code != 2 || !where.MatchString(text) || !strings.Contains(text, "no_such_key") {
			t.Errorf("darter %s: exit %d; want 2, line 3 and the key: %s", strings.Join(args, " "), r.Code, text)
		}
	}
	for _, args := range [][]string{{"config", "show"}, {"config", "schema"}} {
		if r := darterIn(t, ctx, dir, args...); r.Code != 0 || r.Stdout == "" {
			t.Errorf("darter %s: exit %d: %s", strings.Join(args, " "), r.Code, r.Stderr)
		}
	}
	for _, flags := range [][]string{{"--upload-listen", "nonsense"}, {"--announce-interval", "-1s"}, {"--download-rate", "x"}} {
		r := darterIn(t, ctx, dir, append([]string{"daemon", "--data-dir", dir + "/d"}, flags...)...)
		if r.Code != 2 || !strings.Contains(r.Stderr+r.Stdout, flags[1]) {
			t.Errorf("daemon %v: exit %d, want 2 and the value: %s", flags, r.Code, r.Stderr+r.Stdout)
		}
	}
}

func wantJSON(t *testing.T, args []string, text string) {
	t.Helper()
	if !json.Valid([]byte(text)) {
		t.Errorf("darter %s -o json printed no JSON: %q", fmt.Sprint(args), text)
	}
}
