package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/liveness"
	"github.com/darter-p2p/darter/internal/liveness/livenesstest"
	"github.com/darter-p2p/darter/internal/scheduler/swarm"
	"github.com/darter-p2p/darter/internal/scheduler/swarm/swarmtest"
)

// turn is the time between two turns of the roster's clock.
const turn = 250 * time.Millisecond

// runMassDeath is L4: a hundred thousand hosts with ten peers each die at once.
func runMassDeath(ctx context.Context, s *suite) error {
	hosts := 100_000
	if s.quick {
		hosts = 10_000
	}
	r := s.before(ctx, "L4", "swarm", 1, 0)
	c, err := swarmtest.Build(swarmtest.Load{Hosts: hosts + hosts/10, PeersEach: 10, Tasks: hosts / 2, Running: 5, Zones: 8}, swarm.DefaultConfig())
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c.Clock = threadTime
	runtime.GC()
	hidden := c.Judge(hosts, darter.Offline)
	gone := c.Judge(hosts, darter.Forgotten)
	r.Values["hidden s"], r.Values["hidden and passed on s"] = hidden.First.Seconds(), hidden.Total.Seconds()
	r.Values["freed s"], r.Values["bad offers"] = gone.Total.Seconds(), float64(hidden.Bad+gone.Bad)
	r.Values["pause ms"], r.Values["wall pause ms"] = 1e3*max(hidden.Clock, gone.Clock).Seconds(), 1e3*max(hidden.Longest, gone.Longest).Seconds()
	if err := s.book.add(r); err != nil {
		return err
	}
	if err := s.deaths(ctx, "roster, most of all", hosts+hosts/10, hosts); err != nil {
		return err
	}
	return s.deaths(ctx, "roster, a tenth of all", 10*hosts, hosts)
}

// deaths has many hosts fall silent, a zone of a thousand after the other. The more there are in all, the longer are their
// leases, and the longer it takes until silence tells.
func (s *suite) deaths(ctx context.Context, variant string, all, dead int) error {
	r := s.before(ctx, "L4", variant, 1, 0)
	c, err := livenesstest.NewCrowd(all, turn)
	if err != nil {
		return err
	}
	fullHouse(c)
	c.Kill(0, dead)
	died := c.Now
	var offline, forgotten int
	var doubted, guard, lastOffline, confirmed, gone time.Time
	each := func(e liveness.Effect) {
		switch e := e.(type) {
		case liveness.GuardChanged:
			if guard.IsZero() {
				guard = c.Now
			}
		case liveness.Verdict:
			switch e.To {
			case darter.Suspect:
				if doubted.IsZero() {
					doubted = c.Now
				}
			case darter.Offline:
				offline++
				lastOffline = c.Now
			case darter.Forgotten:
				forgotten++
				gone = c.Now
			}
		}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p := newPauses()
	var freeing time.Duration
	wait := c.R.Policy().Forget.After.Std() + turn
	for range 4 * 3600 {
		c.Renewals()
		began := time.Now()
		p.begin()
		c.Tick(each, p.turn)
		if !confirmed.IsZero() {
			freeing += time.Since(began)
		}
		if offline == dead && confirmed.IsZero() && c.Now.Sub(lastOffline) > wait {
			confirmed = c.Now
			r.Values["forgotten before it was allowed"] = float64(forgotten)
			c.R.Step(c.Now, liveness.Confirm{All: true})
		}
		if forgotten == dead {
			break
		}
	}
	if confirmed.IsZero() || forgotten < dead {
		return fmt.Errorf("of %d dead hosts %d are offline and %d forgotten after an hour", dead, offline, forgotten)
	}
	r.Values["first suspect s"], r.Values["guard after it s"] = doubted.Sub(died).Seconds(), guard.Sub(doubted).Seconds()
	r.Values["forgotten s"] = max(gone.Sub(confirmed), freeing).Seconds() // once it was allowed
	p.report(&r)
	return s.book.add(r)
}

// pauses measures how long others wait for each turn of a roster: by its processor time, what it pays to the garbage collector
// included, and by the clock on the wall, in which there is whatever else the machine did.
type pauses struct {
	cpu, wall []float64 // ms
	used      time.Duration
	at        time.Time
}

func newPauses() *pauses {
	return &pauses{cpu: make([]float64, 0, 1<<16), wall: make([]float64, 0, 1<<16)}
}

func (p *pauses) begin() { p.used, p.at = threadTime(), time.Now() }

func (p *pauses) turn(int) {
	used, now := threadTime(), time.Now()
	p.cpu, p.wall = append(p.cpu, 1e3*(used-p.used).Seconds()), append(p.wall, 1e3*now.Sub(p.at).Seconds())
	p.used, p.at = used, now
}

func (p *pauses) report(r *record) {
	slow := 0
	for _, ms := range p.cpu {
		if ms > 5 {
			slow++
		}
	}
	r.Values["pause p99 ms"], r.Values["pause ms"], r.Values["wall pause ms"] = quantile(p.cpu, 0.99), quantile(p.cpu, 1), quantile(p.wall, 1)
	r.Values["pauses > 5 ms"], r.Values["turns"] = float64(slow), float64(len(p.cpu))
}

// fullHouse lets a crowd live until everybody was granted the interval that a full house has.
func fullHouse(c *livenesstest.Crowd) {
	for range 4000 {
		c.Renewals()
		c.Tick(nil, nil)
	}
}

// runLeaves is L5: ten thousand hosts take their leave of a swarm of a million peers, of which they have a tenth, or all.
func runLeaves(ctx context.Context, s *suite) error {
	hosts, leaving := 100_000, 10_000
	if s.quick {
		hosts, leaving = 10_000, 1000
	}
	if err := s.leaves(ctx, "leaves", hosts, 10, leaving); err != nil {
		return err
	}
	return s.leaves(ctx, "all leave", leaving, 10*hosts/leaving, leaving)
}

func (s *suite) leaves(ctx context.Context, variant string, hosts, each, leaving int) error {
	r := s.before(ctx, "L5", variant, 1, 0)
	c, err := swarmtest.Build(swarmtest.Load{Hosts: hosts, PeersEach: each, Tasks: hosts * each / 20, Running: 1, Zones: 8}, swarm.DefaultConfig())
	if err != nil {
		return err
	}
	crowd, err := livenesstest.NewCrowd(hosts, turn)
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c.Clock = threadTime
	runtime.GC()
	began, err := cpuSeconds(os.Getpid())
	if err != nil {
		return err
	}
	f := c.Judge(leaving, darter.Left)
	for _, id := range crowd.IDs[:leaving] {
		crowd.R.Step(crowd.Now, liveness.Leave{Host: id, Epoch: 1})
	}
	ended, err := cpuSeconds(os.Getpid())
	if err != nil {
		return err
	}
	r.Values["cpu s"], r.Values["pause ms"] = ended-began, 1e3*f.Clock.Seconds()
	return s.book.add(r)
}

// runSteady is L6: a million hosts renew their leases. The share is that of one core.
func runSteady(ctx context.Context, s *suite) error {
	hosts, turns := 1_000_000, 2000
	if s.quick {
		hosts = 100_000
	}
	r := s.before(ctx, "L6", "renewals", 1, 0)
	var c *livenesstest.Crowd
	size, err := heapOf(func() (err error) { c, err = livenesstest.NewCrowd(hosts, turn); return err })
	if err != nil {
		return err
	}
	r.Values["B/host"] = size / float64(hosts)
	fullHouse(c)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var ticks []float64
	p := newPauses()
	renewals := 0
	began, err := cpuSeconds(os.Getpid())
	if err != nil {
		return err
	}
	for range turns {
		renewals += c.Renewals()
		at := threadTime()
		p.begin()
		c.Tick(nil, p.turn)
		ticks = append(ticks, 1e3*(threadTime()-at).Seconds())
	}
	ended, err := cpuSeconds(os.Getpid())
	if err != nil {
		return err
	}
	virtual := float64(turns) * turn.Seconds()
	r.Values["core share"] = (ended - began) / virtual
	r.Values["tick p99 ms"], r.Values["tick max ms"] = quantile(ticks, 0.99), quantile(ticks, 1)
	r.Values["turns/tick"], r.Values["renewals/s"] = float64(len(p.cpu))/float64(turns), float64(renewals)/virtual
	p.report(&r)
	return s.book.add(r)
}

// runLocations is L7: what a location costs of which nothing else is known.
func runLocations(ctx context.Context, s *suite) error {
	r := s.before(ctx, "L7", "idle location", 1, 0)
	c, err := swarmtest.Build(swarmtest.Load{Hosts: 1000, Tasks: 1}, swarm.DefaultConfig())
	if err != nil {
		return err
	}
	size, err := heapOf(func() error { c.Fill(1000, 1000, 1000); return nil })
	if err != nil {
		return err
	}
	n := c.Swarm.Locations()
	if n == 0 {
		return fmt.Errorf("no location was taken")
	}
	r.Values["B/location"], r.Values["locations"] = size/float64(n), float64(n)
	return s.book.add(r)
}

// heapOf returns by how many bytes the heap grew.
func heapOf(build func() error) (float64, error) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	err := build()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return float64(after.HeapAlloc) - float64(before.HeapAlloc), err
}
