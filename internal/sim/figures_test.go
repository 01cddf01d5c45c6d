package sim

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
)

// shape is a flash crowd: one seed behind an origin of equal rate, everybody at once.
type shape struct {
	name     string
	n        int
	up, down float64
	length   int64
	slow     int           // every slow-th host has a quarter of the rates
	delay    time.Duration // one way
}

func shapes() []shape {
	const ms = time.Millisecond
	return []shape{
		{"B1", 16, 12.5e6, 25e6, 128 << 20, 0, ms / 4},
		{"B2", 32, 6.25e6, 12.5e6, 64 << 20, 0, ms / 4},
		{"B5", 16, 12.5e6, 25e6, 128 << 20, 4, ms / 4},
		{"B1 far", 16, 12.5e6, 25e6, 128 << 20, 0, 20 * ms},
		{"B1 fast", 16, 125e6, 250e6, 1 << 30, 0, ms / 4},
		{"8 hosts, 1 GiB", 8, 100e6, 100e6, 1 << 30, 0, ms / 4},
		{"B23", 100, 12.5e6, 25e6, 1 << 30, 0, ms / 4},
	}
}

func (s shape) world(seed uint64) Config {
	cfg := DefaultConfig()
	cfg.Seed, cfg.Layout, cfg.Delay, cfg.Jitter = seed, darter.LayoutOf(s.length, 0), s.delay, s.delay
	cfg.Origin = s.up
	if s.name[0] == '8' {
		cfg.Origin = s.up / 2
	}
	cfg.Hosts = []Host{{Seed: true, Up: s.up, Down: s.down}}
	for i := range s.n {
		h := Host{Up: s.up, Down: s.down, Start: time.Duration(i*50/s.n) * time.Millisecond}
		if s.slow > 0 && i%s.slow == 0 {
			h.Up, h.Down = h.Up/4, h.Down/4
		}
		cfg.Hosts = append(cfg.Hosts, h)
	}
	return cfg
}

// bound is the least time that any order of transfers could take (Kumar and Ross), the origin being the seed.
func bound(cfg Config) float64 {
	f := float64(cfg.Layout.Length)
	sum, slowest := min(cfg.Origin, cfg.Hosts[0].Up), cfg.Hosts[0].Down
	t := f / sum
	for _, h := range cfg.Hosts[1:] {
		sum += h.Up
		slowest = min(slowest, h.Down)
	}
	return max(t, f/slowest, float64(len(cfg.Hosts)-1)*f/sum)
}

// figure is one line of the table, and one JSON object for the bench table.
type figure struct {
	Bench    string  `json:"bench"`
	Hosts    int     `json:"hosts"`
	Bytes    int64   `json:"bytes"`
	Slots    int     `json:"slots"`
	Bound    float64 `json:"bound_s"`
	Last     float64 `json:"last_over_bound"`
	Worst    float64 `json:"worst_over_bound"`
	Median   float64 `json:"median_over_bound"`
	Origin   float64 `json:"origin_copies"`
	Wasted   float64 `json:"wasted_share"`
	Asks     float64 `json:"asks_per_piece"`
	Hedges   float64 `json:"hedges_per_piece"`
	Messages float64 `json:"scheduler_messages_per_piece"`
}

// measure runs a shape with several seeds and returns the medians.
func measure(t testing.TB, s shape, runs int, change func(*Config)) figure {
	var last []float64
	var fig figure
	for seed := range uint64(runs) {
		cfg := s.world(seed + 1)
		if change != nil {
			change(&cfg)
		}
		r, err := Run(cfg, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		b := bound(cfg)
		took := slices.Clone(r.Finished[1:])
		slices.Sort(took)
		last = append(last, r.Last.Seconds()/b)
		pieces := float64(cfg.Layout.Count()) * float64(s.n)
		fig = figure{Bench: s.name, Hosts: s.n, Bytes: s.length, Slots: cfg.Slots, Bound: b, Median: took[len(took)/2].Seconds() / b,
			Origin: float64(r.Origin) / float64(s.length), Wasted: float64(r.Wasted) / float64(r.Sent+r.Wasted),
			Asks: float64(r.Asks) / pieces, Hedges: float64(r.Hedges) / pieces, Messages: float64(r.Messages) / pieces}
	}
	slices.Sort(last)
	fig.Last, fig.Worst = last[len(last)/2], last[len(last)-1]
	return fig
}

// TestFigures prints how near spreading comes to the bound: go test -run Figures -v ./internal/sim. FIGURES=all adds
// the large ones. It asserts nothing about time.
func TestFigures(t *testing.T) {
	if !testing.Verbose() || testing.Short() {
		t.Skip("a table for people: -v prints it")
	}
	runs := 5
	if n, err := strconv.Atoi(os.Getenv("RUNS")); err == nil {
		runs = n
	}
	for _, s := range shapes() {
		if s.n*int(s.length>>22) > 5000 && os.Getenv("FIGURES") != "all" {
			continue
		}
		f := measure(t, s, runs, nil)
		line, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("%-15s last/bound %.3f (worst %.3f, median host %.3f)  origin %.2f  wasted %.3f  asks %.2f hedges %.2f messages %.1f per piece\n%s\n",
			s.name, f.Last, f.Worst, f.Median, f.Origin, f.Wasted, f.Asks, f.Hedges, f.Messages, line)
	}
}

// TestTuning varies one setting at a time on the shape B1: go test -run Tuning -v with TUNE=1.
func TestTuning(t *testing.T) {
	if os.Getenv("TUNE") == "" {
		t.Skip("TUNE=1 prints a table of settings")
	}
	type variant struct {
		name   string
		change func(*Config)
	}
	var all []variant
	for _, n := range []int{1, 2, 3, 4, 8} {
		all = append(all, variant{fmt.Sprintf("slots %d", n), func(c *Config) { c.Slots = n }})
	}
	for _, n := range []int{1, 2, 4, 8} {
		all = append(all, variant{fmt.Sprintf("racers %d", n), func(c *Config) { c.Pick.Racers = n }})
	}
	for _, n := range []int{1, 2, 3, 4} {
		all = append(all, variant{fmt.Sprintf("per parent %d", n), func(c *Config) { c.Pick.PerParent = n }})
	}
	for _, n := range []int{4, 8, 16, 24, 32} {
		all = append(all, variant{fmt.Sprintf("total %d", n), func(c *Config) { c.Pick.Total = n }})
	}
	for _, n := range []int{16, 32, 128} {
		all = append(all, variant{fmt.Sprintf("window %d", n), func(c *Config) { c.Pick.Window = n }})
	}
	for _, n := range []int{4, 6, 8, 12, 16} {
		all = append(all, variant{fmt.Sprintf("links %d", n), func(c *Config) {
			c.Swarm.MinLinks, c.Swarm.Links, c.Swarm.MaxLinks = max(n-2, 1), n, n+2
		}})
	}
	for _, v := range all {
		fmt.Printf("%-14s", v.name)
		for _, s := range shapes()[:5] {
			f := measure(t, s, 5, v.change)
			fmt.Printf("  %s %.3f/%.3f", s.name, f.Last, f.Worst)
		}
		fmt.Println()
	}
}
