package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/daemon/fetch"
	"github.com/darter-p2p/darter/internal/daemon/fetch/pick"
	"github.com/darter-p2p/darter/internal/scheduler/swarm"
	"github.com/darter-p2p/darter/internal/vortex"
)

// Config describes a world. Everything follows from it.
type Config struct {
	Seed   uint64
	Layout darter.Layout
	Hosts  []Host
	Origin float64 // bytes per second of the origin, all requests together

	Slots  int           // bodies that a host sends at once
	Delay  time.Duration // one way, of every message and of the first byte of a body
	Jitter time.Duration // most that is added to a delay
	Unfair float64       // weights of bodies lie between 1-Unfair and 1+Unfair
	Loss   float64       // share of asks that fail
	Silent bool          // dead machines: nobody hears a connection break

	Pick   pick.Config
	Swarm  swarm.Config
	Faults []Fault

	Trace func(line string) // what the scheduler heard and said, and who went to the source; may be nil
}

// Host is one machine. Ordinary hosts download; seeds wait to be triggered.
type Host struct {
	Seed     bool
	Up, Down float64 // bytes per second
	Start    time.Duration
	Zone     string
	Liar     bool // every third body it sends is spoilt
}

// Scheduler stands for the scheduler in a Fault.
const Scheduler = -1

// Fault is a crash: of a host by its index, or of the scheduler.
type Fault struct {
	At   time.Duration
	Host int
	Back time.Duration // how long it is away; 0 means for good
}

// DefaultConfig returns a world without hosts, with the settings that the daemon has.
func DefaultConfig() Config {
	return Config{Slots: vortex.DefaultServerConfig().Slots, Delay: 250 * time.Microsecond, Unfair: 0.3,
		Pick: pick.DefaultConfig(), Swarm: swarm.DefaultConfig()}
}

// Result is how it went.
type Result struct {
	Finished []time.Duration // per host, from its start; -1 for those that did not
	Last     time.Duration   // when the last host finished, from the beginning
	Origin   int64           // bytes that the origin sent
	Sent     int64           // bytes of whole bodies between hosts
	Wasted   int64           // bytes of bodies that were broken off
	Asks     int             // requests between hosts
	Hedges   int             // second asks for one piece
	Messages int             // between hosts and the scheduler
	Broken   []string        // promises that were broken
}

// World is a swarm in virtual time. It is used once.
type World struct {
	cfg   Config
	rng   *rand.Rand
	clock clock
	net   *network
	hosts []*host
	sched *scheduler
	check *check

	task     darter.TaskID
	wanted   darter.PieceSet
	origin   link
	fetch    fetch.Config
	peers    int
	pending  int // faults and starts to come
	sent     int64
	wasted   int64
	bytes    int64 // sent by the origin
	asks     int
	hedges   int
	messages int
}

// epoch is when every world begins.
const epoch = 1_800_000_000

// Run runs a world until every live host has everything, or the time is up.
func Run(cfg Config, limit time.Duration) (Result, error) {
	w, err := build(cfg)
	if err != nil {
		return Result{}, err
	}
	for !w.over() {
		if w.net.dirty {
			w.net.share()
		}
		next, some := w.clock.next()
		if !some {
			next = never
		}
		if t := min(next, w.net.due); t > limit {
			w.check.fail("deadlock: %s", w.waiting())
			break
		}
		w.step(next)
	}
	return w.result()
}

// step moves to the next thing that happens and lets it happen.
func (w *World) step(next time.Duration) {
	if w.net.due <= next {
		w.clock.now = w.net.due
		w.net.deliver()
		return
	}
	w.clock.now = next
	w.clock.pop()()
}

func build(cfg Config) (*World, error) {
	w := &World{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x51)), task: darter.TaskID(strings.Repeat("a", 64)),
		origin: link{cap: cfg.Origin}, fetch: fetch.DefaultConfig(), wanted: cfg.Layout.Covering(nil)}
	if err := errors.Join(cfg.Pick.Validate(), cfg.Swarm.Validate()); err != nil {
		return nil, err
	}
	w.net = &network{clock: &w.clock, due: never}
	w.check = newCheck(w)
	for i, spec := range cfg.Hosts {
		w.hosts = append(w.hosts, newHost(w, i, spec))
	}
	w.sched = &scheduler{w: w}
	if err := w.sched.start(); err != nil {
		return nil, err
	}
	for _, h := range w.hosts {
		w.clock.at(0, h.announce)
		if !h.spec.Seed {
			w.plan(h.spec.Start, h.want)
		}
	}
	for _, f := range cfg.Faults {
		w.plan(f.At, func() { w.strike(f) })
	}
	return w, nil
}

// plan is for what a world must not end before.
func (w *World) plan(at time.Duration, do func()) {
	w.pending++
	w.clock.at(at, func() { w.pending--; do() })
}

func (w *World) strike(f Fault) {
	w.trace("crash of %d (-1 is the scheduler), back in %s", f.Host, f.Back)
	if f.Host == Scheduler {
		w.sched.crash()
		if f.Back > 0 {
			w.plan(w.clock.now+f.Back, func() {
				if err := w.sched.start(); err != nil {
					w.check.fail("%v", err)
				}
			})
		}
		return
	}
	h := w.hosts[f.Host]
	if !h.alive {
		return
	}
	h.crash()
	if f.Back > 0 {
		w.plan(w.clock.now+f.Back, h.back)
	}
}

// over reports whether nothing is left to wait for.
func (w *World) over() bool {
	if w.pending > 0 {
		return len(w.check.broken) > 0
	}
	for _, h := range w.hosts {
		if h.alive && !h.spec.Seed && !h.complete() {
			return len(w.check.broken) > 0
		}
	}
	return true
}

// waiting says who does not have what, for people.
func (w *World) waiting() string {
	var out strings.Builder
	for _, h := range w.hosts {
		if h.alive && !h.complete() && (h.d != nil || !h.spec.Seed) {
			fmt.Fprintf(&out, "%s lacks %s; ", h.facts.ID, w.wanted.Minus(h.held))
		}
	}
	return out.String()
}

func (w *World) result() (Result, error) {
	r := Result{Origin: w.bytes, Sent: w.sent, Wasted: w.wasted, Asks: w.asks, Hedges: w.hedges, Messages: w.messages}
	for _, h := range w.hosts {
		took := time.Duration(-1)
		if h.complete() && !h.spec.Seed {
			took = h.finished - h.spec.Start
			r.Last = max(r.Last, h.finished)
		}
		r.Finished = append(r.Finished, took)
	}
	w.check.atEnd()
	r.Broken = w.check.broken
	if len(r.Broken) > 0 {
		return r, fmt.Errorf("seed %d: %s", w.cfg.Seed, strings.Join(r.Broken, "\n"))
	}
	return r, nil
}

// trace tells what happens, for somebody who looks into a seed.
func (w *World) trace(format string, args ...any) {
	if w.cfg.Trace != nil {
		w.cfg.Trace(fmt.Sprintf("%12s ", w.clock.now.Round(time.Microsecond)) + fmt.Sprintf(format, args...))
	}
}

// time returns the clock as the cores see it.
func (w *World) time() time.Time { return time.Unix(epoch, 0).Add(w.clock.now) }

func (w *World) delay() time.Duration {
	d := w.cfg.Delay
	if w.cfg.Jitter > 0 {
		d += time.Duration(w.rng.Int64N(int64(w.cfg.Jitter)))
	}
	return d
}

// inOrder delivers a message of a stream, never before the one sent earlier.
func (w *World) inOrder(last *time.Duration, do func()) {
	*last = max(*last, w.clock.now+w.delay())
	w.clock.at(*last, do)
}

func (w *World) weight() float64 { return 1 + w.cfg.Unfair*(2*w.rng.Float64()-1) }

// notice is how long others need to see that a connection broke.
func (w *World) notice() time.Duration {
	if w.cfg.Silent {
		return 15 * time.Second
	}
	return w.delay() + time.Duration(w.rng.IntN(100))*time.Millisecond
}

// refusal is how long a call to a dead host takes to fail.
func (w *World) refusal() time.Duration {
	if w.cfg.Silent {
		return 2 * time.Second
	}
	return w.delay()
}

func (w *World) newPeer(h *host) darter.PeerID {
	w.peers++
	return darter.PeerID(fmt.Sprintf("%s-%d", h.facts.ID, w.peers))
}

func address(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}) }
