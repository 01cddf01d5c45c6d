package main

import (
	"bufio"
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

	"golang.org/x/sync/errgroup"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/liveness"
	"github.com/darter-p2p/darter/internal/liveness/livenesstest"
)

// runCrash is L1: a parent is killed while children fetch from it, with real processes and the default policy. The figure
// is the time until the scheduler suspects it: from then on it is offered to nobody who has an alternative.
func runCrash(ctx context.Context, s *suite) error {
	trials := 20
	if s.quick {
		trials = 5
	}
	root := filepath.Join(s.dir, "crash-origin")
	if err := mkdir(root); err != nil {
		return err
	}
	if _, err := makeFile(filepath.Join(root, "file"), 64*mib, 71); err != nil {
		return err
	}
	n, err := startNginx(ctx, root+"-nginx", root, "", "127.0.0.1", 0)
	if err != nil {
		return err
	}
	defer n.kill()
	for variant, how := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		r := s.before(ctx, "L1", []string{"killed", "frozen"}[variant], 1, 64*mib)
		var all, done []float64
		for trial := range trials {
			took, served, err := s.crash(ctx, n.url("file"), how)
			if err != nil {
				return fmt.Errorf("trial %d: %w", trial+1, err)
			}
			all, done = append(all, took.Seconds()), append(done, served.Seconds())
		}
		r.Values["p50 s"], r.Values["p99 s"], r.Values["trials"] = median(all), quantile(all, 0.99), float64(trials)
		r.Values["children done p99 s"] = quantile(done, 0.99)
		if err := s.book.add(r); err != nil {
			return err
		}
	}
	return nil
}

// crash ends one parent and returns how long it took until it was suspect, and until its children had everything. A killed
// process's connections break; a frozen one's stay open and say nothing, as those of a machine without power.
func (s *suite) crash(ctx context.Context, url string, how syscall.Signal) (took, served time.Duration, err error) {
	ctx, cancel := bounded(ctx, 2*time.Minute)
	defer cancel()
	f, err := s.newFleet(ctx, loopback())
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	parent, err := f.daemon(ctx, "parent", loopback(), "--upload-rate", "16MiB")
	if err != nil {
		return 0, 0, err
	}
	if _, _, err = s.get(ctx, parent, url, filepath.Join(parent.dir, "out")); err != nil {
		return 0, 0, err
	}
	group, within := errgroup.WithContext(ctx)
	for i := range 3 {
		child, err := f.daemon(ctx, fmt.Sprintf("child%d", i), loopback())
		if err != nil {
			return 0, 0, errors.Join(err, group.Wait())
		}
		group.Go(func() error { _, _, err := s.get(within, child, url, filepath.Join(child.dir, "out")); return err })
	}
	if err := pause(ctx, 700*time.Millisecond); err != nil { // they have a few pieces each, and 3 s to go
		return 0, 0, err
	}
	killed := time.Now()
	if err := parent.Signal(how); err != nil {
		return 0, 0, errors.Join(err, group.Wait())
	}
	at, err := f.suspected(ctx, "parent", killed)
	err = errors.Join(err, group.Wait())
	return at.Sub(killed), time.Since(killed), err
}

// suspected follows the events until a host is suspect, and returns since when.
func (f *fleet) suspected(ctx context.Context, name string, after time.Time) (time.Time, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, f.suite.bin, "host", "events", "-f", "-o", "json", "--scheduler", f.scheduler.ready["scheduler"])
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + f.dir}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return after, err
	}
	if err := cmd.Start(); err != nil {
		return after, err
	}
	defer func() { cancel(); _ = cmd.Wait() }() // it was killed, and says so
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var e struct {
			At       time.Time
			Host, To string
		}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return after, err
		}
		if strings.HasSuffix(e.Host, name) && e.To == darter.Suspect.String() && e.At.After(after) {
			return e.At, nil
		}
	}
	return after, fmt.Errorf("the events ended before %s was suspect", name)
}

// runSilence is L2, in virtual time and with the default policy: how long it takes until a host that died in silence is
// hidden.
func runSilence(ctx context.Context, s *suite) error {
	for _, plain := range []time.Duration{0, time.Minute, 5 * time.Minute} {
		variant := "idle, lease"
		if plain > 0 {
			variant = fmt.Sprintf("plain, %.0f s", plain.Seconds())
		}
		r := s.before(ctx, "L2", variant, 1, 0)
		all, err := silences(plain, 2000)
		if err != nil {
			return err
		}
		r.Values["p99 s"], r.Values["max s"] = quantile(all, 0.99), quantile(all, 1)
		if plain > 0 {
			r.Values["max over 2 intervals s"] = quantile(all, 1) - 2*plain.Seconds()
		}
		if err := s.book.add(r); err != nil {
			return err
		}
	}
	return nil
}

// silences has hosts die at odd moments, and returns the seconds from the last word of each until it is not offered any
// more: suspect, or for a plain daemon offline.
func silences(plain time.Duration, hosts int) (all []float64, err error) {
	cfg := liveness.DefaultConfig()
	cfg.Policy.Guard.Hosts = 1_000_000 // each dies alone
	r, err := liveness.New(cfg)
	if err != nil {
		return nil, err
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	hide, epoch, last, died := darter.Suspect, darter.Epoch(1), map[darter.HostID]time.Time{}, 0
	if plain > 0 {
		hide, epoch = darter.Offline, 0
	}
	for step := 0; len(all) < hosts; step++ {
		now = now.Add(cfg.Tick - time.Duration(step%7)*time.Millisecond)
		if died < hosts && step%3 == 0 {
			id := darter.HostID(fmt.Sprintf("h%d", died))
			r.Step(now, liveness.Announced{Host: id, Epoch: epoch, Native: plain == 0, Interval: plain, Zone: liveness.ZoneOf(1, "dc", "")})
			if plain == 0 {
				r.Step(now, liveness.Renewed{Host: id, Epoch: 1})
			}
			last[id] = now
			died++
		}
		for more := true; more; {
			more = false
			for _, e := range r.Step(now, liveness.Tick{}) {
				switch e := e.(type) {
				case liveness.Wake:
					more = true
				case liveness.Verdict:
					if e.To == hide {
						all = append(all, now.Sub(last[e.Host]).Seconds())
					}
				}
			}
		}
	}
	return all, nil
}

// runFalseOffline is L3: host-hours in virtual time, one message of a hundred lost and nothing else wrong. Each run has a
// seed of its own.
func runFalseOffline(ctx context.Context, s *suite) error {
	const hosts = 10_000
	total := s.hours
	if s.quick {
		total /= 10
	}
	for run := range s.runs {
		r := s.before(ctx, "L3", "1 % loss", run+1, 0)
		began, err := cpuSeconds(os.Getpid())
		if err != nil {
			return err
		}
		result, err := livenesstest.Run(livenesstest.Config{Seed: uint64(run + 1), Hosts: hosts, Zones: 10, Interval: 10 * time.Second, Loss: 0.01},
			time.Duration(total/hosts*float64(time.Hour)))
		if err != nil {
			return err
		}
		ended, err := cpuSeconds(os.Getpid())
		if err != nil {
			return err
		}
		r.Values["false offline"], r.Values["suspected"], r.Values["guards tripped"] = float64(result.FalseOffline), float64(result.Suspected), float64(result.Guarded)
		r.Values["host-hours"], r.Values["cpu s"] = result.HostHours, ended-began
		if err := s.book.add(r); err != nil {
			return err
		}
	}
	return nil
}
