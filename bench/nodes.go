package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/darter-p2p/darter/test/e2e/rig"
)

// node is one darter process.
type node struct {
	*rig.Process
	ready  rig.Ready
	dir    string
	socket string
}

// place is where a node runs: a host of a lab, or loopback on free ports.
type place struct{ netns, ip string }

func loopback() place       { return place{ip: "127.0.0.1"} }
func labHost(i int) place   { return place{netns: hostName(i), ip: hostIP(i)} }
func (p place) any() string { return p.ip + ":0" }

// fleet is the nodes of one run.
type fleet struct {
	suite     *suite
	dir       string
	scheduler *node
	nodes     []*node
}

// newFleet starts a scheduler in a folder of its own.
func (s *suite) newFleet(ctx context.Context, at place) (*fleet, error) {
	dir, err := os.MkdirTemp(s.dir, "f-")
	if err != nil {
		return nil, err
	}
	f := &fleet{suite: s, dir: dir}
	f.scheduler, err = f.start(ctx, "scheduler", at, "scheduler", "--scheduler-listen", at.any(),
		"--scheduler-metrics", at.any(), "--debug-listen", "127.0.0.1:0", "--scheduler-advertise-ip", at.ip)
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// daemon starts a daemon.
func (f *fleet) daemon(ctx context.Context, name string, at place, flags ...string) (*node, error) {
	args := append([]string{"daemon", "--socket", filepath.Join(f.dir, name, "s"), "--host-ip", at.ip, "--hostname", name,
		"--upload-listen", at.any(), "--piece-listen", at.any(), "--metrics-listen", at.any(),
		"--health-listen", at.any(), "--debug-listen", "127.0.0.1:0", "--scheduler", f.scheduler.ready["scheduler"]}, flags...)
	return f.start(ctx, name, at, args...)
}

func (f *fleet) start(ctx context.Context, name string, at place, args ...string) (*node, error) {
	dir := filepath.Join(f.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	args = append(args, "--data-dir", filepath.Join(dir, "data"), "--log-format", "json")
	p, err := rig.Start(rig.Command{Name: name, Netns: at.netns, Program: f.suite.bin, Args: args, Dir: dir, Env: []string{"HOME=" + dir}})
	if err != nil {
		return nil, err
	}
	n := &node{Process: p, dir: dir, socket: filepath.Join(dir, "s")}
	f.nodes = append(f.nodes, n)
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	n.ready, err = p.WaitReady(ctx)
	return n, err
}

// waitHosts waits until the scheduler lists so many hosts.
func (f *fleet) waitHosts(ctx context.Context, at place, want int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		name, args := f.suite.bin, []string{"host", "ls", "-o", "json", "--scheduler", f.scheduler.ready["scheduler"]}
		if at.netns != "" {
			name, args = "nsenter", append([]string{"--net=/run/netns/" + at.netns, name}, args...)
		}
		out, err := exec.CommandContext(ctx, name, args...).Output()
		if got := strings.Count(string(out), `"hostname"`); err == nil && got >= want {
			return nil
		}
		if waited := pause(ctx, 50*time.Millisecond); waited != nil {
			return fmt.Errorf("the scheduler does not list %d hosts (%w): %s %v", want, waited, out, err)
		}
	}
}

// close ends every process of the fleet and removes its data.
func (f *fleet) close() error {
	for _, n := range f.nodes {
		n.Kill()
	}
	return os.RemoveAll(f.dir)
}

// cpu adds up the CPU seconds of all nodes that still run.
func (f *fleet) cpu() float64 {
	total := 0.0
	for _, n := range f.nodes {
		if s, err := cpuSeconds(n.PID()); err == nil {
			total += s
		}
	}
	return total
}

// got is what `get --json` says, as far as it is needed here.
type got struct {
	FromOrigin int64 `json:"from_origin"`
	FromPeers  int64 `json:"from_peers"`
	FromCache  int64 `json:"from_cache"`
}

// finished is a short command that ended.
type finished struct {
	started, ended time.Time
	cpu            float64
	stdout         string
}

func (f finished) seconds() float64 { return f.ended.Sub(f.started).Seconds() }

// execute runs a short command and measures it from outside.
func execute(ctx context.Context, dir, name string, args ...string) (finished, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "NO_COLOR=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	f := finished{started: time.Now()}
	err := cmd.Run()
	f.ended, f.stdout = time.Now(), out.String()
	if err != nil {
		return f, fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	f.cpu = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	return f, nil
}

// get downloads through a node.
func (s *suite) get(ctx context.Context, n *node, url, out string, flags ...string) (finished, got, error) {
	args := append([]string{"get", url, "-o", out, "--json", "--socket", n.socket, "--require-daemon"}, flags...)
	f, err := execute(ctx, n.dir, s.bin, args...)
	if err != nil {
		return f, got{}, err
	}
	var g got
	return f, g, json.Unmarshal([]byte(f.stdout), &g)
}

// before notes the state of the machine, after waiting for it to be quiet.
func (s *suite) before(ctx context.Context, id, variant string, run int, size int64) record {
	unix.Sync() // what earlier runs wrote must not be written back during this one
	busy := quiet(ctx)
	return record{ID: id, Variant: variant, Run: run, Bytes: size, Load1: load1(), Busy: busy, Values: map[string]float64{}}
}
