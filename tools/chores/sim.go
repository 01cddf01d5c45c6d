package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// sim runs the seeded worlds (TestSimulation, which reads SEED): one seed, or new ones until the time is
// up. A seed that fails is printed, so that it can be run again.
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
		if err := worlds(ctx, binary, filepath.Join(root, folder), seed, limit); err != nil {
			return err
		}
	}
	return nil
}

func worlds(ctx context.Context, binary, folder string, seed uint64, limit time.Duration) error {
	if seed != 0 {
		return world(ctx, binary, folder, seed)
	}
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
	cmd := exec.CommandContext(ctx, binary, "-test.run=^TestSimulation$", "-test.timeout=5m")
	cmd.Dir, cmd.Env = folder, append(os.Environ(), fmt.Sprintf("SEED=%d", seed))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("seed %d of %s: %w\n%s\nagain: make sim SEED=%d", seed, folder, err, out, seed)
	}
	return nil
}
