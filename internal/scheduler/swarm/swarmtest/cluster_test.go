package swarmtest

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/scheduler/swarm"
)

// TestStoriesAtSmallScale: what the benchmarks count on is so, whatever it costs.
func TestStoriesAtSmallScale(t *testing.T) {
	load := Load{Hosts: 300, PeersEach: 10, Tasks: 60, Running: 20, Zones: 3}
	cfg := swarm.DefaultConfig()
	c, err := Build(load, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, verdict := range []darter.Verdict{darter.Suspect, darter.Offline, darter.Alive, darter.Draining, darter.Alive, darter.Forgotten} {
		if f := c.Judge(200, verdict); f.Bad > 0 || f.Steps < 200 {
			t.Errorf("%s: %s", verdict, f)
		}
	}
	if hosts, _, peers := c.Swarm.Count(); hosts != 100 || peers != 1000 {
		t.Errorf("%d hosts and %d peers are left", hosts, peers)
	}
	c.Judge(300, darter.Left)
	if hosts, _, peers := c.Swarm.Count(); hosts+peers+c.Swarm.Locations() != 0 {
		t.Errorf("%d hosts, %d peers and %d locations are left", hosts, peers, c.Swarm.Locations())
	}
	c, err = Build(load, cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Linger()
	if _, took := c.Fill(10, 1000, 500); c.Swarm.Locations() < 10_000 || took.Seconds() > 1 {
		t.Errorf("%d locations after %s", c.Swarm.Locations(), took)
	}
}

func report(b *testing.B, name string, f Figures) {
	b.Helper()
	b.Logf("%s: %s", name, f)
	b.ReportMetric(f.Longest.Seconds()*1e3, "ms/longest")
	b.ReportMetric(f.First.Seconds(), "s/hidden")
	b.ReportMetric(f.Total.Seconds(), "s/total")
}

// BenchmarkMassDeath: 100,000 hosts with 10 peers each die at once, come back, and are forgotten.
func BenchmarkMassDeath(b *testing.B) {
	for _, running := range []int{0, 5} {
		b.Run(fmt.Sprintf("running%d", running), func(b *testing.B) {
			for b.Loop() {
				c, err := Build(Load{Hosts: 100_000, PeersEach: 10, Tasks: 50_000, Running: running, Zones: 8}, swarm.DefaultConfig())
				if err != nil {
					b.Fatal(err)
				}
				runtime.GC()
				report(b, "90,000 suspect", c.Judge(90_000, darter.Suspect))
				report(b, "90,000 offline", c.Judge(90_000, darter.Offline))
				report(b, "90,000 back", c.Judge(90_000, darter.Alive))
				report(b, "100,000 offline", c.Judge(100_000, darter.Offline))
				report(b, "100,000 forgotten", c.Judge(100_000, darter.Forgotten))
			}
		})
	}
}

// BenchmarkLeaves: 10,000 hosts leave, of a swarm of 1,000,000 peers.
func BenchmarkLeaves(b *testing.B) {
	for _, hosts := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(hosts), func(b *testing.B) {
			for b.Loop() {
				c, err := Build(Load{Hosts: hosts, PeersEach: 1_000_000 / hosts, Tasks: 50_000, Running: 1, Zones: 8}, swarm.DefaultConfig())
				if err != nil {
					b.Fatal(err)
				}
				runtime.GC()
				report(b, "10,000 leave", c.Judge(10_000, darter.Left))
			}
		})
	}
}

// BenchmarkInventory: after a restart, 1,000 daemons tell of 1,000 tasks each; then the memory of a location is told.
func BenchmarkInventory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		c, err := Build(Load{Hosts: 1000, Tasks: 1}, swarm.DefaultConfig())
		if err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&before)
		f, took := c.Fill(1000, 1000, 1000)
		c.took = nil
		runtime.GC()
		runtime.ReadMemStats(&after)
		report(b, fmt.Sprintf("inventories, %s of virtual time", took), f)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(c.Swarm.Locations()), "B/location")
	}
}
