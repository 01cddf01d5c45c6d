package liveness_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/darter-p2p/darter/internal/liveness"
	"github.com/darter-p2p/darter/internal/liveness/livenesstest"
)

// TestSimulation runs small clusters, one per seed. SEED= runs one of them, and tells what happens with -v; TIME= as many
// new ones as fit.
func TestSimulation(t *testing.T) {
	if text := os.Getenv("SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("SEED=%s: %v", text, err)
		}
		cfg := small(seed)
		if testing.Verbose() {
			cfg.Trace = func(line string) { fmt.Println(line) }
		}
		r, err := livenesstest.Run(cfg, 3*time.Hour)
		t.Logf("%+v", r)
		if err != nil {
			t.Error(err)
		}
		return
	}
	if text := os.Getenv("TIME"); text != "" {
		limit, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("TIME=%s: %v", text, err)
		}
		for begun := time.Now(); time.Since(begun) < limit && !t.Failed(); {
			once(t, rand.Uint64())
		}
		return
	}
	worlds := 150
	if testing.Short() {
		worlds = 15
	}
	for seed := range worlds {
		once(t, uint64(seed+1))
	}
}

func once(t *testing.T, seed uint64) {
	t.Helper()
	if _, err := livenesstest.Run(small(seed), 3*time.Hour); err != nil {
		t.Errorf("%v\nagain: make sim SEED=%d", err, seed)
	}
}

// small draws a cluster and its troubles.
func small(seed uint64) livenesstest.Config {
	r := rand.New(rand.NewPCG(seed, 0x5eed))
	cfg := livenesstest.Config{Seed: seed, Hosts: 1 + r.IntN(40), Zones: 1 + r.IntN(4), Plain: []float64{0, 0.3, 1}[r.IntN(3)],
		Interval: []time.Duration{10 * time.Second, 30 * time.Second}[r.IntN(2)], Check: liveness.CheckAll}
	some := func(most float64) float64 { return most * r.Float64() * float64(r.IntN(3)) / 2 }
	cfg.Loss = []float64{0, 0.01, 0.1, 0.3, 0.5}[r.IntN(5)]
	cfg.Crashes, cfg.Freezes, cfg.Leaves, cfg.Late = some(2), some(2), some(1), some(2)
	cfg.Reports, cfg.Cuts, cfg.Pauses, cfg.Restarts = some(1), some(4), some(4), some(1)
	return cfg
}

// TestSameSeedSameBytes: a failing seed can be run again.
func TestSameSeedSameBytes(t *testing.T) {
	for seed := range uint64(10) {
		var lines [2][]string
		var results [2]livenesstest.Result
		for i := range lines {
			cfg := small(seed)
			cfg.Trace = func(line string) { lines[i] = append(lines[i], line) }
			results[i], _ = livenesstest.Run(cfg, time.Hour)
		}
		if !reflect.DeepEqual(lines[0], lines[1]) || results[0] != results[1] {
			t.Fatalf("seed %d: %d lines and %+v, then %d lines and %+v", seed, len(lines[0]), results[0], len(lines[1]), results[1])
		}
	}
}

// TestLargeCluster: ten thousand hosts, days, and everything goes wrong.
func TestLargeCluster(t *testing.T) {
	if testing.Short() || raced {
		t.Skip("takes many seconds, and minutes under the race detector")
	}
	cfg := livenesstest.Config{Seed: 3, Hosts: 10_000, Zones: 20, Plain: 0.1, Interval: 2 * time.Minute, Loss: 0.02, Crashes: 0.02, Freezes: 0.02, Leaves: 0.02,
		Late: 0.01, Reports: 1, Cuts: 0.5, Pauses: 0.3, Restarts: 0.05, Check: liveness.CheckAll, CheckEvery: 10 * time.Minute}
	r, err := livenesstest.Run(cfg, 48*time.Hour)
	t.Logf("%+v", r)
	if err != nil {
		t.Error(err)
	}
	if r.Crashes < 1000 || r.Forgotten < 100 {
		t.Errorf("too little happened to prove anything: %+v", r)
	}
}

// TestLossAloneTakesNobodyOffline: one message of a hundred is lost, for ten thousand host-hours.
func TestLossAloneTakesNobodyOffline(t *testing.T) {
	r, err := livenesstest.Run(livenesstest.Config{Seed: 1, Hosts: 500, Zones: 5, Interval: 10 * time.Second, Loss: 0.01}, 20*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if r.FalseOffline > 0 || r.Offline > 0 || r.Guarded > 0 || r.Suspected == 0 {
		t.Errorf("%+v", r)
	}
}
