package liveness_test

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/liveness"
	"github.com/darter-p2p/darter/internal/liveness/livenesstest"
)

func crowd(b *testing.B, hosts int) *livenesstest.Crowd {
	b.Helper()
	c, err := livenesstest.NewCrowd(hosts, 250*time.Millisecond)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// BenchmarkRenew is one renewal among a million hosts, found by name.
func BenchmarkRenew(b *testing.B) {
	c := crowd(b, 1_000_000)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if _, done := c.R.Renew(c.Now, c.IDs[i], 1); !done {
			b.Fatal("not done")
		}
		i = (i + 7919) % len(c.IDs)
	}
}

// BenchmarkSteady is a quarter of a second of a million hosts: renewals and a tick. core% is the share of one core, p99 that
// of the ticks.
func BenchmarkSteady(b *testing.B) {
	c := crowd(b, 1_000_000)
	for range 8000 { // until everybody was granted the interval of a full house
		c.Renewals()
		c.Tick(nil, nil)
	}
	var ticks []time.Duration
	renewals, rounds, begun := 0, 0, time.Now()
	for b.Loop() {
		renewals += c.Renewals()
		at := time.Now()
		c.Tick(nil, func(int) {
			now := time.Now()
			ticks, at = append(ticks, now.Sub(at)), now
		})
		rounds++
	}
	spent := time.Since(begun)
	slices.Sort(ticks)
	b.ReportMetric(100*spent.Seconds()/(0.25*float64(rounds)), "core%")
	b.ReportMetric(float64(ticks[len(ticks)*99/100].Microseconds()), "p99-µs/step")
	b.ReportMetric(float64(ticks[len(ticks)-1].Microseconds()), "max-µs/step")
	b.ReportMetric(float64(renewals)/float64(rounds)*4, "renewals/s")
}

// BenchmarkMemory is what a host costs, its name and its first event included.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		const hosts = 1_000_000
		c := crowd(b, hosts)
		ids := c.IDs
		r := c.R
		c.IDs = nil
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/hosts, "B/host")
		runtime.KeepAlive(ids)
		runtime.KeepAlive(r)
	}
}

// BenchmarkMassDeath is a hundred thousand of a million hosts falling silent at once, until the last of them is forgotten:
// how many virtual seconds that takes, and what the slowest step costs.
func BenchmarkMassDeath(b *testing.B) {
	for b.Loop() {
		c := crowd(b, 1_000_000)
		const dead = 100_000
		for range 8000 {
			c.Renewals()
			c.Tick(nil, nil)
		}
		c.Kill(0, dead)
		died := c.Now
		offline, forgotten, guarded := 0, 0, time.Duration(0)
		var last, confirmed, lastGone time.Time
		each := func(e liveness.Effect) {
			switch e := e.(type) {
			case liveness.Verdict:
				switch e.To {
				case darter.Offline:
					offline++
					last = c.Now
				case darter.Forgotten:
					forgotten++
					lastGone = c.Now
				}
			case liveness.GuardChanged:
				if guarded == 0 {
					guarded = c.Now.Sub(died)
				}
			}
		}
		var slowest, total time.Duration
		steps := 0
		for range 4 * 2400 {
			c.Renewals()
			at := time.Now()
			var turn time.Duration
			c.Tick(each, func(int) {
				now := time.Now()
				turn, at = now.Sub(at), now
				slowest = max(slowest, turn)
				total += turn
				steps++
			})
			if offline == dead && confirmed.IsZero() && c.Now.Sub(last) > 310*time.Second {
				confirmed = c.Now
				c.R.Step(c.Now, liveness.Confirm{All: true})
			}
			if forgotten == dead {
				break
			}
		}
		b.ReportMetric(float64(slowest.Microseconds()), "slowest-µs/step")
		b.ReportMetric(total.Seconds(), "cpu-s")
		b.ReportMetric(last.Sub(died).Seconds(), "offline-s")
		b.ReportMetric(guarded.Seconds(), "guard-s")
		b.ReportMetric(lastGone.Sub(confirmed).Seconds(), "forgetting-s")
		if forgotten != dead {
			b.Fatalf("%d offline, %d forgotten", offline, forgotten)
		}
	}
}

// BenchmarkLeaves is ten thousand hosts of a hundred thousand that take their leave.
func BenchmarkLeaves(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		c := crowd(b, 100_000)
		b.StartTimer()
		for _, id := range c.IDs[:10_000] {
			c.R.Step(c.Now, liveness.Leave{Host: id, Epoch: 1})
		}
	}
}

// BenchmarkFalseOffline is a million host-hours with one message of a hundred lost. It takes a minute or two.
func BenchmarkFalseOffline(b *testing.B) {
	for b.Loop() {
		r, err := livenesstest.Run(livenesstest.Config{Seed: 1, Hosts: 10_000, Zones: 10, Interval: 10 * time.Second, Loss: 0.01}, 100*time.Hour)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(r.FalseOffline), "false-offline")
		b.ReportMetric(float64(r.Suspected), "suspected")
		b.ReportMetric(r.HostHours, "host-hours")
	}
}
