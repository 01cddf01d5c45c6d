package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// logLimit is how much of a process's output is kept in memory, in bytes.
const logLimit = 16 << 20

// Command says what to start.
type Command struct {
	Name    string   // for messages
	Netns   string   // network namespace to enter first; empty means the own one
	Program string   // path of the binary
	Args    []string // arguments after the program's name
	Dir     string   // working folder
	Env     []string // added to the bare environment
}

// Process is a running program.
type Process struct {
	Name    string
	Started time.Time
	cmd     *exec.Cmd
	out     *output
	done    chan struct{}
}

// Ready is what the "ready" line of a role says: a key per address, and its role.
type Ready map[string]string

// Start runs the command. Its output goes to memory; see Log.
func Start(c Command) (*Process, error) {
	program, args := c.Program, c.Args
	if c.Netns != "" {
		// nsenter replaces itself, so the process id is the program's. "ip netns exec" would hide
		// the cgroup mounts.
		args = append([]string{"--net=/run/netns/" + c.Netns, program}, args...)
		program = "nsenter"
	}
	out := &output{ready: make(chan struct{})}
	cmd := exec.Command(program, args...)
	cmd.Dir = c.Dir
	cmd.Env = append(bareEnvironment(), c.Env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = 2 * time.Second // a grandchild may keep the pipe open
	// A terminal's Ctrl-C must reach the test only; and nothing may outlive the test.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &Process{Name: c.Name, Started: time.Now(), cmd: cmd, out: out, done: make(chan struct{})}
	if err := p.start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	return p, nil
}

// bareEnvironment keeps proxies, colours and settings of whoever runs the test away from programs.
func bareEnvironment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "NO_COLOR=1", "LC_ALL=C"}
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// State returns how the process ended; nil while it runs.
func (p *Process) State() *os.ProcessState {
	select {
	case <-p.done:
		return p.cmd.ProcessState
	default:
		return nil
	}
}

// ExitCode returns the exit code, -1 while the process runs or when a signal ended it.
func (p *Process) ExitCode() int {
	if s := p.State(); s != nil {
		return s.ExitCode()
	}
	return -1
}

// Log returns what the process printed so far.
func (p *Process) Log() string { return p.out.String() }

// WaitReady waits for the "ready" line and returns what it says. It fails when the process ends
// first.
func (p *Process) WaitReady(ctx context.Context) (Ready, error) {
	select {
	case <-p.out.ready:
		return p.out.said(), nil
	case <-p.done:
		return nil, fmt.Errorf("%s ended (%v) before it was ready:\n%s", p.Name, p.cmd.ProcessState, tail(p.Log(), 2000))
	case <-ctx.Done():
		return nil, fmt.Errorf("%s was not ready in time: %w:\n%s", p.Name, context.Cause(ctx), tail(p.Log(), 2000))
	}
}

// Wait waits for the end of the process.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s did not end: %w", p.Name, context.Cause(ctx))
	}
}

// Signal sends a signal to the process. A process that has ended is no error.
func (p *Process) Signal(s syscall.Signal) error {
	err := p.cmd.Process.Signal(s)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Kill ends the process the hard way and waits until it is gone.
func (p *Process) Kill() {
	_ = p.Signal(syscall.SIGKILL)
	<-p.done
}

// Stop asks the process to end and waits; when ctx ends first, it is killed and an error returned.
func (p *Process) Stop(ctx context.Context) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := p.Wait(ctx); err != nil {
		p.Kill()
		return err
	}
	return nil
}

// output keeps what a process printed and notices the ready line.
type output struct {
	ready chan struct{}
	mu    struct {
		sync.Mutex
		text  bytes.Buffer
		line  []byte // the unfinished last line
		facts Ready
	}
}

// Write takes output. Beyond the limit it is dropped, so that a chatty program cannot eat memory.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if room := logLimit - o.mu.text.Len(); room > 0 {
		o.mu.text.Write(b[:min(len(b), room)])
	}
	if o.mu.facts != nil {
		return len(b), nil
	}
	o.mu.line = append(o.mu.line, b...)
	for {
		line, rest, whole := bytes.Cut(o.mu.line, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		o.mu.line = rest
		if facts, ok := ParseReady(line); ok {
			o.mu.facts, o.mu.line = facts, nil
			close(o.ready)
			return len(b), nil
		}
	}
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mu.text.String()
}

func (o *output) said() Ready {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mu.facts
}

// ParseReady reads a log line and reports whether it is the ready line.
func ParseReady(line []byte) (Ready, bool) {
	var fields map[string]any
	if !bytes.HasPrefix(bytes.TrimSpace(line), []byte("{")) || json.Unmarshal(line, &fields) != nil {
		return nil, false
	}
	if fields["msg"] != "ready" {
		return nil, false
	}
	facts := Ready{}
	for key, value := range fields {
		if text, ok := value.(string); ok {
			facts[key] = text
		}
	}
	return facts, true
}

func tail(text string, n int) string {
	if len(text) > n {
		return "[...]" + text[len(text)-n:]
	}
	return text
}
