package main

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/darter-p2p/darter/test/e2e/rig"
)

// runIdle is the small part of B16: memory of idle roles, time to ready, and the binary itself.
func runIdle(ctx context.Context, s *suite) error {
	if err := s.binaryFacts(ctx); err != nil {
		return err
	}
	for run := range s.runs {
		if err := errors.Join(s.idleRoles(ctx, run+1), s.upReady(ctx, run+1)); err != nil {
			return err
		}
	}
	return nil
}

func (s *suite) binaryFacts(ctx context.Context) error {
	r := s.before(ctx, "B16", "binary", 1, 0)
	info, err := os.Stat(s.bin)
	if err != nil {
		return err
	}
	f, err := elf.Open(s.bin)
	if err != nil {
		return err
	}
	defer f.Close()
	r.Values["MiB"] = float64(info.Size()) / float64(mib)
	r.Values["static"] = 1
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			r.Values["static"] = 0
		}
	}
	return s.book.add(r)
}

// settle is how long a role idles before its memory is read.
const settle = 5 * time.Second

func (s *suite) idleRoles(ctx context.Context, run int) (err error) {
	ctx, cancel := bounded(ctx, time.Minute)
	defer cancel()
	daemonRecord := s.before(ctx, "B16", "daemon", run, 0)
	schedulerRecord := daemonRecord
	schedulerRecord.Variant, schedulerRecord.Values = "scheduler", map[string]float64{}
	f, err := s.newFleet(ctx, loopback())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	began := time.Now()
	d, err := f.daemon(ctx, "daemon", loopback())
	if err != nil {
		return err
	}
	daemonRecord.Values["ready ms"] = float64(time.Since(began).Microseconds()) / 1000
	if err := errors.Join(f.waitHosts(ctx, loopback(), 1), pause(ctx, settle)); err != nil {
		return err
	}
	return errors.Join(s.addRSS(daemonRecord, d.PID()), s.addRSS(schedulerRecord, f.scheduler.PID()))
}

func (s *suite) addRSS(r record, pid int) error {
	rss, err := statusBytes(pid, "VmRSS")
	if err != nil {
		return err
	}
	r.Values["rss MiB"] = float64(rss) / float64(mib)
	return s.book.add(r)
}

// upReady measures from the start of the process to its "ready" line.
func (s *suite) upReady(ctx context.Context, run int) error {
	ctx, cancel := bounded(ctx, time.Minute)
	defer cancel()
	r := s.before(ctx, "B16", "up", run, 0)
	dir, err := os.MkdirTemp(s.dir, "up-")
	if err != nil {
		return err
	}
	args := []string{"up", "--data-dir", dir + "/data", "--socket", dir + "/s", "--listen-ip", "127.0.0.1", "--log-format", "json"}
	for _, name := range []string{"upload-listen", "piece-listen", "metrics-listen", "health-listen", "debug-listen",
		"scheduler-listen", "manager-grpc", "manager-http"} {
		args = append(args, "--"+name, "127.0.0.1:0")
	}
	p, err := rig.Start(rig.Command{Name: "up", Program: s.bin, Args: args, Dir: dir, Env: []string{"HOME=" + dir}})
	if err != nil {
		return err
	}
	defer p.Kill()
	if _, err := p.WaitReady(ctx); err != nil {
		return err
	}
	r.Values["ready ms"] = float64(time.Since(p.Started).Microseconds()) / 1000
	if err := pause(ctx, settle); err != nil {
		return err
	}
	return s.addRSS(r, p.PID())
}

func mkdir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make a work folder: %w", err)
	}
	return nil
}

func lastBytes(text string, n int) string { return text[max(0, len(text)-n):] }
