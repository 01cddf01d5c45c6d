package main

import (
	"context"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestBoundIsTheNarrowestPlace(t *testing.T) {
	many := make([]link, 16)
	for i := range many {
		many[i] = link{up: 100, down: 200}
	}
	for _, one := range []struct {
		name  string
		us    float64
		hosts []link
		want  float64
	}{
		{"the seed's uplink", 100, many, 8},
		{"the slowest downlink", 1000, append([]link{{up: 1000, down: 10}}, many...), 80},
		{"all uplinks together", 100, []link{{up: 0, down: 1000}, {up: 0, down: 1000}, {up: 0, down: 1000}, {up: 0, down: 1000}}, 32},
	} {
		if got := bound(100_000_000, one.us, one.hosts); math.Abs(got-one.want) > 1e-9 {
			t.Errorf("%s: %v s, want %v", one.name, got, one.want)
		}
	}
}

func TestQuantiles(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	for _, one := range []struct {
		values []float64
		q      float64
		want   float64
	}{
		{nil, 0.5, 0}, {[]float64{7}, 0.99, 7}, {[]float64{3, 1, 2}, 0.5, 2}, {[]float64{4, 1, 2, 3}, 0.5, 2.5}, {hundred, 0.99, 99},
	} {
		if got := quantile(one.values, one.q); got != one.want {
			t.Errorf("quantile %v of %v: %v, want %v", one.q, one.values, got, one.want)
		}
	}
}

func TestParseStatOfAnOddName(t *testing.T) {
	id, p, ok := parseStat("42 (a) b (c)) S 7 42 42 0 -1 4194560 1 2 3 4 100 50 25 25 20 0 9 0 1 2 3\n")
	if !ok || id != 42 || p.parent != 7 || p.cpu != 2 {
		t.Errorf("%d %+v %v", id, p, ok)
	}
	for _, bad := range []string{"", "x", "1 (a", "1 (a) S 2", ") ("} {
		if _, _, ok := parseStat(bad); ok {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestCPUCountsChildren(t *testing.T) {
	before, err := cpuSeconds(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := exec.CommandContext(t.Context(), "sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done").Run(); err != nil {
		t.Fatal(err)
	}
	after, err := cpuSeconds(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if after-before < 0.05 {
		t.Errorf("a busy child added %v s", after-before)
	}
	if _, err := cpuSeconds(1 << 30); err == nil {
		t.Error("a process that does not exist has CPU time")
	}
}

func TestReadLog(t *testing.T) {
	text := "/file 206 100 10.0.0.1 1700000000.100 bytes=0-199\n/other 200 7 10.0.0.1 1700000000.200 -\n" +
		"/file 206 150 10.0.0.2 1700000000.300 bytes=90-239\nbroken line here now\n/file 206 5 10.0.0.2 1700000000.400 bytes=95-99\n"
	got, err := readLog(text, "/file")
	if err != nil || len(got) != 3 || got.sum() != 255 {
		t.Fatalf("%d bytes in %d bodies, %v", got.sum(), len(got), err)
	}
	if twice := got.twice(); twice != 15 { // 90 to 99, and 95 to 99 once more
		t.Errorf("%d bytes were sent twice", twice)
	}
	if _, err := readLog("/file 206 100 10.0.0.1 1700000000.100 bytes=x-199\n", "/file"); err == nil {
		t.Error("a range without a number was taken")
	}
}

func TestVerdict(t *testing.T) {
	if verdict(1.0, 1, 0) != "ok" || verdict(1.01, 1, 0) != "MISSED" || verdict(1.01, 1, 0.5) == "MISSED" {
		t.Error("wrong verdict")
	}
}

func TestNginxCountsBodyBytes(t *testing.T) {
	if _, err := exec.LookPath("nginx"); err != nil {
		t.Skip("NOT TESTED: nginx is not installed")
	}
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	if err := mkdir(root); err != nil {
		t.Fatal(err)
	}
	file, err := makeFile(filepath.Join(root, "file"), 3*mib, 1)
	if err != nil {
		t.Fatal(err)
	}
	n, err := startNginx(t.Context(), filepath.Join(dir, "nginx"), root, "", "127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer n.kill()
	out := filepath.Join(dir, "out")
	if _, err := execute(t.Context(), dir, "curl", "-sSf", "-o", out, n.url("file")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(file.check(out), n.stop(t.Context())); err != nil {
		t.Fatal(err)
	}
	if bodies, err := n.served("/file"); err != nil || bodies.sum() != file.size || len(bodies) != 1 {
		t.Errorf("nginx sent %v (%v), want %d bytes in one body", bodies, err, file.size)
	}
}

// TestLabShapesBothWays moves a file between two hosts of a lab and wants the narrow end to set the
// pace. It asserts a wide corridor: shaping is on, not how exact it is.
func TestLabShapesBothWays(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT TESTED: network namespaces need root")
	}
	unlock, err := lockMachine()
	if err != nil {
		t.Skip("NOT TESTED:", err)
	}
	defer unlock()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l, err := newLab(ctx, []link{{up: 80, down: 1000}, {up: 1000, down: 1000}, {up: 1000, down: 80}})
	if err != nil {
		t.Skip("NOT TESTED: namespaces cannot be made here:", err)
	}
	dir := t.TempDir()
	var started []*nginx
	defer func() {
		for _, n := range started {
			n.kill()
		}
		if err := l.close(ctx); err != nil {
			t.Error(err)
		}
	}()
	for host, to := range map[int]int{0: 1, 1: 2} {
		root := filepath.Join(dir, hostName(host))
		if err := mkdir(root); err != nil {
			t.Fatal(err)
		}
		file, err := makeFile(filepath.Join(root, "file"), 8*mib, 2)
		if err != nil {
			t.Fatal(err)
		}
		n, err := startNginx(ctx, root+"-nginx", root, hostName(host), hostIP(host), 8080)
		if err != nil {
			t.Fatal(err)
		}
		started = append(started, n)
		out := filepath.Join(dir, "out")
		done, err := execute(ctx, dir, "nsenter", "--net=/run/netns/"+hostName(to), "curl", "-sSf", "-o", out, n.url("file"))
		if err := errors.Join(err, file.check(out)); err != nil {
			t.Fatal(err)
		}
		if s := done.seconds(); s < 0.6 { // 8 MiB at 80 Mbit/s are 0.84 s, less the bucket
			t.Errorf("from host %d to %d: %.2f s; the link is not shaped", host, to, s)
		}
		if sent, err := sentBytes(n.process.PID(), "eth0"); err != nil || sent < file.size {
			t.Errorf("host %d: its link counted %d bytes (%v)", host, sent, err)
		}
	}
}
