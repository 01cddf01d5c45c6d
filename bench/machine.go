package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ticksPerSecond is the kernel's USER_HZ, which is 100 on every Linux.
const ticksPerSecond = 100

// cpuSeconds returns the CPU time of a process and its living descendants, and of the children it
// has waited for.
func cpuSeconds(pid int) (float64, error) {
	all, err := processes()
	if err != nil {
		return 0, err
	}
	if _, alive := all[pid]; !alive {
		return 0, fmt.Errorf("process %d is gone", pid)
	}
	total := 0.0
	for id := range all {
		if descends(all, id, pid) {
			total += all[id].cpu
		}
	}
	return total, nil
}

type proc struct {
	parent int
	cpu    float64
}

func descends(all map[int]proc, id, ancestor int) bool {
	for range 64 { // a chain of parents is never that long
		if id == ancestor {
			return true
		}
		p, known := all[id]
		if !known {
			return false
		}
		id = p.parent
	}
	return false
}

func processes() (map[int]proc, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	all := map[int]proc{}
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it ended meanwhile
		}
		if id, p, ok := parseStat(string(b)); ok {
			all[id] = p
		}
	}
	return all, nil
}

// parseStat reads a line of /proc/PID/stat. The name in parentheses may hold anything.
func parseStat(text string) (int, proc, bool) {
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 1 || end < open {
		return 0, proc{}, false
	}
	id, err := strconv.Atoi(strings.TrimSpace(text[:open]))
	fields := strings.Fields(text[end+1:])
	if err != nil || len(fields) < 15 {
		return 0, proc{}, false
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0, proc{}, false
	}
	ticks := 0.0
	for _, f := range fields[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return 0, proc{}, false
		}
		ticks += n
	}
	return id, proc{parent: parent, cpu: ticks / ticksPerSecond}, true
}

// statusBytes returns a field of /proc/PID/status that is given in kB, as VmRSS or VmHWM.
func statusBytes(pid int, field string) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no %s", pid, field)
}

// sentBytes returns how many bytes the interface of the process's network namespace sent.
func sentBytes(pid int, device string) (int64, error) {
	_, sent, err := linkBytes(pid, device)
	return sent, err
}

// linkBytes returns what the interface of the process's network namespace received and sent.
func linkBytes(pid int, device string) (received, sent int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		name, rest, ok := strings.Cut(line, ":")
		if fields := strings.Fields(rest); ok && strings.TrimSpace(name) == device && len(fields) > 8 {
			received, err1 := strconv.ParseInt(fields[0], 10, 64)
			sent, err2 := strconv.ParseInt(fields[8], 10, 64)
			return received, sent, errors.Join(err1, err2)
		}
	}
	return 0, 0, fmt.Errorf("process %d sees no interface %s", pid, device)
}

func load1() float64 {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return -1
	}
	first, _, _ := strings.Cut(string(b), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return -1
	}
	return load
}

// busyShare samples for a second how much of all CPUs is in use.
func busyShare(ctx context.Context) float64 {
	idle0, all0 := cpuTicks()
	if pause(ctx, time.Second) != nil {
		return 1
	}
	idle1, all1 := cpuTicks()
	if all1 <= all0 {
		return 1
	}
	return 1 - (idle1-idle0)/(all1-all0)
}

func cpuTicks() (idle, all float64) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	for i, f := range strings.Fields(line) {
		n, err := strconv.ParseFloat(f, 64)
		if err != nil || i > 8 { // guest times are in user already
			continue
		}
		all += n
		if i == 4 || i == 5 { // idle, iowait
			idle += n
		}
	}
	return idle, all
}

// quiet waits until the machine is idle, a minute at most, and says how busy it was at the end.
func quiet(ctx context.Context) float64 {
	busy := 1.0
	for range 60 {
		if busy = busyShare(ctx); busy <= noisy || ctx.Err() != nil {
			break
		}
	}
	return busy
}

// pause waits; benchmarks may, request paths may not.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// threadTime is the processor time of the calling thread. A goroutine that measures with it must keep its thread.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0 // Linux has this clock
	}
	return time.Duration(t.Nano())
}
