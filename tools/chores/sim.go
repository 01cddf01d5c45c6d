package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// sim runs the seeded worlds (TestSimulation, which reads SEED): one seed, and prints what happened, or new ones until the
// time is up. A seed that fails is printed, so that it can be run again.
func sim(ctx context.Context, root string, seed uint64, limit time.Duration) error {
	all, err := find(root)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "chores-sim-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for i, folder := range all.folders() {
		if !all.mentions(folder, "func TestSimulation(") {
			continue
		}
		binary := filepath.Join(dir, fmt.Sprintf("sim-%d", i))
		build := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, "./"+filepath.ToSlash(folder))
		build.Dir, build.Stdout, build.Stderr = root, os.Stdout, os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("build the tests of %s: %w", folder, err)
		}
		if seed != 0 {
			err = tell(ctx, os.Stdout, binary, filepath.Join(root, folder), filepath.ToSlash(folder), seed)
		} else {
			err = worlds(ctx, binary, filepath.Join(root, folder), limit)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func worlds(ctx context.Context, binary, folder string, limit time.Duration) error {
	begun, ran := time.Now(), 0
	for ; time.Since(begun) < limit && ctx.Err() == nil; ran++ {
		if err := world(ctx, binary, folder, rand.Uint64()); err != nil {
			return err
		}
	}
	fmt.Printf("%s: %d new worlds in %s\n", folder, ran, time.Since(begun).Round(time.Second))
	return ctx.Err()
}

func world(ctx context.Context, binary, folder string, seed uint64) error {
	out, err := play(ctx, binary, folder, seed)
	if err != nil {
		return fmt.Errorf("seed %d of %s: %w\n%s\nagain: make sim SEED=%d", seed, folder, err, out, seed)
	}
	return nil
}

func play(ctx context.Context, binary, folder string, seed uint64, flags ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, binary, append(flags, "-test.run=^TestSimulation$", "-test.timeout=5m")...)
	cmd.Dir, cmd.Env = folder, append(os.Environ(), fmt.Sprintf("SEED=%d", seed))
	return cmd.CombinedOutput()
}

// tell plays one seed and prints what happened in that world: the same seed, the same bytes.
func tell(ctx context.Context, w io.Writer, binary, folder, name string, seed uint64) error {
	out, err := play(ctx, binary, folder, seed, "-test.v")
	fmt.Fprintf(w, "== %s, seed %d\n", name, seed)
	for line := range strings.Lines(string(out)) {
		if !ofTest(line) {
			fmt.Fprint(w, line)
		}
	}
	if err != nil {
		return fmt.Errorf("seed %d of %s: %w", seed, name, err)
	}
	return nil
}

// ofTest reports whether a line is the test binary's own: how long it took is no part of the world.
func ofTest(line string) bool {
	line = strings.TrimSpace(line)
	for _, own := range []string{"=== ", "--- "} {
		if strings.HasPrefix(line, own) {
			return true
		}
	}
	return line == "PASS" || line == "FAIL"
}
