package sim

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
)

// TestSimulation runs small worlds, one per seed. SEED= runs one of them, and tells what happens with -v; TIME= as many
// new ones as fit.
func TestSimulation(t *testing.T) {
	if text := os.Getenv("SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("SEED=%s: %v", text, err)
		}
		cfg := small(seed)
		if testing.Verbose() {
			t.Logf("%+v", cfg)
			cfg.Trace = func(line string) { t.Log(line) }
		}
		if _, err := Run(cfg, limit); err != nil {
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
	worlds := 1000
	if testing.Short() {
		worlds = 100
	}
	const lanes = 4
	for lane := range lanes {
		t.Run(fmt.Sprint("lane", lane), func(t *testing.T) {
			t.Parallel()
			for seed := lane + 1; seed <= worlds; seed += lanes {
				once(t, uint64(seed))
			}
		})
	}
}

func once(t *testing.T, seed uint64) {
	t.Helper()
	if _, err := Run(small(seed), limit); err != nil {
		t.Errorf("%v\nagain: make sim SEED=%d", err, seed)
	}
}

// limit is far above what any small world needs: a silent death costs 15s, a queue 30s, a few of them in a row.
const limit = 10 * time.Minute

// small draws a world: its size, its links and, for three in four, its troubles.
func small(seed uint64) Config {
	r := rand.New(rand.NewPCG(seed, 0xd1ce))
	cfg := DefaultConfig()
	cfg.Seed = seed
	cfg.Slots = 1 + r.IntN(4)
	cfg.Delay = []time.Duration{50 * time.Microsecond, time.Millisecond, 40 * time.Millisecond}[r.IntN(3)]
	cfg.Jitter = cfg.Delay * time.Duration(r.IntN(3))
	cfg.Unfair = 0.5 * r.Float64()
	cfg.Origin = 1e6 * float64(1+r.IntN(40))
	pieces := int64(1 + r.IntN(20))
	cfg.Layout = darter.LayoutOf(pieces*darter.MinPieceLength-r.Int64N(darter.MinPieceLength), 0)
	for range r.IntN(3) {
		cfg.Hosts = append(cfg.Hosts, Host{Seed: true, Up: 1e6 * float64(2+r.IntN(40)), Down: 1e6 * float64(2+r.IntN(80))})
	}
	seeds := len(cfg.Hosts)
	for range 1 + r.IntN(9) {
		h := Host{Up: 1e6 * float64(2+r.IntN(40)), Down: 1e6 * float64(2+r.IntN(80)), Zone: []string{"", "a", "b"}[r.IntN(3)]}
		if r.IntN(8) == 0 { // a slow one
			h.Up, h.Down = 2e5, 1e6
		}
		if r.IntN(3) == 0 { // a late one
			h.Start = time.Duration(r.IntN(10000)) * time.Millisecond
		}
		cfg.Hosts = append(cfg.Hosts, h)
	}
	if r.IntN(4) > 0 {
		trouble(r, &cfg, seeds)
	}
	return cfg
}

func trouble(r *rand.Rand, cfg *Config, seeds int) {
	at := func() time.Duration { return time.Duration(r.IntN(12000)) * time.Millisecond }
	back := func() time.Duration { return time.Duration(r.IntN(2)*(500+r.IntN(9000))) * time.Millisecond }
	cfg.Silent = r.IntN(4) == 0
	if seeds > 0 && r.IntN(2) == 0 {
		cfg.Faults = append(cfg.Faults, Fault{At: at(), Host: 0, Back: back()})
	}
	for range r.IntN(3) {
		cfg.Faults = append(cfg.Faults, Fault{At: at(), Host: seeds + r.IntN(len(cfg.Hosts)-seeds), Back: back()})
	}
	if r.IntN(4) == 0 {
		cfg.Faults = append(cfg.Faults, Fault{At: at(), Host: Scheduler, Back: back()})
	}
	if r.IntN(4) == 0 {
		cfg.Loss = 0.1 * r.Float64()
	}
	if n := seeds + r.IntN(len(cfg.Hosts)-seeds); r.IntN(6) == 0 {
		cfg.Hosts[n].Liar = true
	}
}

// TestSameConfigSameResult: a failing seed can be run again.
func TestSameConfigSameResult(t *testing.T) {
	for seed := range uint64(20) {
		a, _ := Run(small(seed), limit)
		b, _ := Run(small(seed), limit)
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("seed %d: %+v and %+v", seed, a, b)
		}
	}
}
