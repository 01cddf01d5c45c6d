package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// smallSize is one class of B11.
type smallSize struct {
	name string
	size int64
}

// runSmall is B11: the whole command is measured, from fork to exit, one after the other.
func runSmall(ctx context.Context, s *suite) error {
	count := 100
	if s.quick {
		count = 25
	}
	for run := range s.runs {
		if err := s.small(ctx, run+1, count); err != nil {
			return err
		}
	}
	return nil
}

func (s *suite) small(ctx context.Context, run, count int) (err error) {
	ctx, cancel := bounded(ctx, 10*time.Minute)
	defer cancel()
	root := filepath.Join(s.dir, fmt.Sprintf("small-%d", run))
	if err := mkdir(root); err != nil {
		return err
	}
	origin, err := startNginx(ctx, root+"-nginx", root, "", "127.0.0.1", 0)
	if err != nil {
		return err
	}
	defer origin.kill()
	f, err := s.newFleet(ctx, loopback())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	if _, err := f.daemon(ctx, "seed", loopback(), "--seed"); err != nil {
		return err
	}
	child, err := f.daemon(ctx, "child", loopback())
	if err != nil {
		return err
	}
	if err := f.waitHosts(ctx, loopback(), 2); err != nil {
		return err
	}
	if err := s.startCost(ctx, run); err != nil {
		return err
	}
	for i, class := range []smallSize{{"1KiB", kib}, {"64KiB", 64 * kib}, {"1MiB", mib}} {
		seed := uint64(run*1_000_000 + i*10_000)
		if err := s.smallClass(ctx, run, count, class, seed, origin, child); err != nil {
			return err
		}
	}
	return nil
}

// startCost measures the process start alone, to know what of a download it is.
func (s *suite) startCost(ctx context.Context, run int) error {
	r := s.before(ctx, "B11", "darter version", run, 0)
	var ms []float64
	for range 20 {
		f, err := execute(ctx, s.dir, s.bin, "version")
		if err != nil {
			return err
		}
		ms = append(ms, f.seconds()*1000)
	}
	latencies(&r, ms)
	return s.book.add(r)
}

// smallClass runs curl, Darter cold and Darter warm, alternating, so that all see the same machine.
func (s *suite) smallClass(ctx context.Context, run, count int, class smallSize, seed uint64, origin *nginx, child *node) error {
	files := make([]content, count)
	for i := range files {
		var err error
		name := filepath.Join(origin.root, fmt.Sprintf("%s-%d", class.name, i))
		if files[i], err = makeFile(name, class.size, seed+uint64(i)); err != nil {
			return err
		}
	}
	variants := []string{"curl", "darter cold", "darter warm"}
	r := s.before(ctx, "B11", "", run, class.size)
	ms := map[string][]float64{}
	out := filepath.Join(s.dir, "small-out")
	for i, file := range files {
		url := origin.url(fmt.Sprintf("%s-%d", class.name, i))
		for _, variant := range variants {
			var done finished
			var err error
			if variant == "curl" {
				done, err = execute(ctx, s.dir, "curl", "-sSf", "-o", out, url)
			} else {
				done, err = execute(ctx, s.dir, s.bin, "get", url, "-o", out, "-q", "--socket", child.socket, "--require-daemon")
			}
			if err = errors.Join(err, file.check(out), os.Remove(out)); err != nil {
				return err
			}
			ms[variant] = append(ms[variant], done.seconds()*1000)
		}
	}
	for _, variant := range variants {
		one := r
		first, rest := "curl", ""
		if variant != "curl" {
			first, rest = "darter", variant[len("darter"):]
		}
		one.Variant = first + " " + class.name + rest
		one.Values = map[string]float64{}
		latencies(&one, ms[variant])
		if err := s.book.add(one); err != nil {
			return err
		}
	}
	return nil
}

func latencies(r *record, ms []float64) {
	r.Values["p50 ms"], r.Values["p99 ms"] = median(ms), quantile(ms, 0.99)
}
