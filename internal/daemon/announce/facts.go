package announce

import (
	"math"
	"runtime"
	"sync"
	"time"

	"github.com/darter-p2p/darter"
)

// DefaultBandwidth, in bits per second, is announced where the real figure is not known. Never 0:
// plain Dragonfly schedulers would rank this host last.
const DefaultBandwidth = 10_000_000_000

// fresh is how long measured figures are good for. Announcements come once per interval, but many
// children may ask for them in between.
const fresh = 5 * time.Second

// Facts measures what a host announces about itself.
type Facts struct {
	base darter.Host
	dir  string // the file system whose room counts
	root string // where /proc and /etc hang; "/" but in tests

	mu struct {
		sync.Mutex
		at   time.Time
		host darter.Host
		last counters // what the rates are measured against
	}
}

// counters are running totals since the machine, or this process, started.
type counters struct {
	at         time.Time
	busy, all  float64 // processor time of the machine, in ticks
	own        float64 // processor time of this process, in ticks
	rx, tx     uint64  // bytes over all links but the loopback
	haveTotals bool
}

// NewFacts takes what is configured of a host: identity, addresses, place, bandwidth. dir lies in the file
// system that holds the content.
func NewFacts(base darter.Host, dir string) *Facts {
	return newFacts(base, dir, "/")
}

func newFacts(base darter.Host, dir, root string) *Facts {
	if base.Network.MaxRx == 0 {
		base.Network.MaxRx = DefaultBandwidth
	}
	if base.Network.MaxTx == 0 {
		base.Network.MaxTx = DefaultBandwidth
	}
	if base.OS == "" {
		base.OS = runtime.GOOS
	}
	f := &Facts{base: base, dir: dir, root: root}
	f.system(&f.base)
	return f
}

// Host returns the host with figures of the last few seconds. What cannot be measured stays 0.
func (f *Facts) Host() darter.Host {
	f.mu.Lock()
	if !f.mu.at.IsZero() && time.Since(f.mu.at) < fresh {
		defer f.mu.Unlock()
		return f.mu.host
	}
	last := f.mu.last
	f.mu.Unlock()

	h := f.base
	now := f.count()
	f.processors(&h, last, now)
	f.memory(&h)
	f.disk(&h)
	f.network(&h, last, now)

	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.at, f.mu.host, f.mu.last = now.at, h, now
	return h
}

// processors turns two counts into shares: since the last look, else since the machine started.
func (f *Facts) processors(h *darter.Host, last, now counters) {
	if !now.haveTotals {
		return
	}
	all := now.all - last.all
	h.CPU.Percent = percent(now.busy-last.busy, all)
	h.CPU.ProcessPercent = percent(now.own-last.own, all)
}

func (f *Facts) network(h *darter.Host, last, now counters) {
	seconds := now.at.Sub(last.at).Seconds()
	if last.at.IsZero() || seconds <= 0 {
		return
	}
	h.Network.Rx = speed(last.rx, now.rx, seconds)
	h.Network.Tx = speed(last.tx, now.tx, seconds)
}

// speed returns bits per second; a counter that went backwards (a link that went away) gives 0.
func speed(was, is uint64, seconds float64) uint64 {
	if is < was {
		return 0
	}
	return uint64(float64(is-was) * 8 / seconds)
}

// percent keeps within what receivers accept, whatever the counters did.
func percent(part, whole float64) float64 {
	if whole <= 0 || math.IsNaN(part) {
		return 0
	}
	return min(max(100*part/whole, 0), 100)
}
