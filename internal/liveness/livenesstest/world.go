package livenesstest

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/liveness"
)

// Config is a cluster and its troubles. Rates are per host and hour, or per hour of the whole cluster where it says so.
type Config struct {
	Seed     uint64
	Hosts    int
	Zones    int
	Plain    float64       // share of plain Dragonfly daemons
	Interval time.Duration // shortest lease; announce interval of plain daemons is three times that
	Loss     float64       // of every message
	Crashes  float64
	Freezes  float64 // the process stands still, and goes on
	Leaves   float64
	Late     float64 // leaves of an earlier run that arrive late
	Reports  float64 // chance a second that somebody reports a host that is down, and as often that it is wrong, divided by 1e6
	Cuts     float64 // zones cut off, per hour of the cluster
	Pauses   float64 // the scheduler stands still, per hour of the cluster
	Restarts float64 // of the scheduler, per hour of the cluster
	// Check, when set, looks at the roster after every step, or after every CheckEvery.
	Check      func(*liveness.Roster) error
	CheckEvery time.Duration
	// Trace, when set, is told everything.
	Trace func(line string)
}

// Result is what came of it.
type Result struct {
	Digest       uint64 // of everything that was decided
	Steps        int
	HostHours    float64
	Crashes      int
	Suspected    int           // verdicts
	Offline      int           // verdicts
	Forgotten    int           // verdicts
	FalseOffline int           // hosts that were up, connected, and called offline
	Guarded      int           // times that the guard of a zone, or of all, tripped
	Slowest      time.Duration // from the last word of a host of ours that died to its being suspect
	MostItems    int           // of one step
}

const (
	tick = time.Second
	far  = 1 << 12 // seconds ahead that the calendar of a world reaches
)

// World is a cluster in virtual time.
type World struct {
	cfg    Config
	policy liveness.Policy
	rng    *rand.Rand
	r      *liveness.Roster
	start  time.Time
	second int // since start
	hosts  []*machine
	byID   map[darter.HostID]*machine
	zones  []zone
	due    [far][]*machine
	later  map[int][]func() // by second
	paused int              // until this second the scheduler stands still
	lost   int              // seconds in which it did, or sought the fault in itself
	since  int              // second of its start
	self   bool
	result Result
	digest interface{ Write([]byte) (int, error) }
	sum    func() uint64
	err    error
	watch  map[int][]*machine // hosts that have to be suspect by then
	conn   uint64
	epoch  darter.Epoch
}

type machine struct {
	id      darter.HostID
	zone    int
	plain   bool
	epoch   darter.Epoch
	last    darter.Epoch // that was announced
	prior   darter.Epoch // before that
	up      bool         // its process runs
	frozen  bool         // and stands still
	known   bool         // announced in this run
	gone    bool         // left, until it comes again
	verdict darter.Verdict
	every   time.Duration
	next    int // second of its next word
	heard   int // second of its last word that arrived
	run     int // number of the run of the process, to void what was planned for an earlier one
	lostAt  int // World.lost when it was heard last
	leaves  int // said and not yet heard
}

type zone struct {
	name    liveness.Zone
	cut     bool
	guard   liveness.Guard
	forgot  float64 // tokens of the partial guard, as this side counts them
	counted int
}

// Run runs a cluster for so long.
func Run(cfg Config, d time.Duration) (Result, error) {
	w, err := newWorld(cfg)
	if err != nil {
		return Result{}, err
	}
	for w.second < int(d/tick) && w.err == nil {
		w.step()
	}
	w.result.Digest = w.sum()
	w.result.HostHours = float64(cfg.Hosts) * d.Hours()
	if w.err != nil {
		return w.result, fmt.Errorf("seed %d, second %d: %w", cfg.Seed, w.second, w.err)
	}
	return w.result, nil
}

func newWorld(cfg Config) (*World, error) {
	w := &World{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x11fe)), start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		byID: map[darter.HostID]*machine{}, later: map[int][]func(){}, watch: map[int][]*machine{}}
	h := fnv.New64a()
	w.digest, w.sum = h, h.Sum64
	if err := w.boot(); err != nil {
		return nil, err
	}
	for i := range max(cfg.Zones, 1) {
		w.zones = append(w.zones, zone{name: liveness.ZoneOf(1, fmt.Sprintf("z%d", i), "")})
	}
	for i := range cfg.Hosts {
		m := &machine{id: darter.HostID(fmt.Sprintf("h%d", i)), zone: i % len(w.zones), plain: w.rng.Float64() < cfg.Plain, up: true, epoch: w.newEpoch()}
		w.hosts = append(w.hosts, m)
		w.byID[m.id] = m
		w.call(m, 1+w.rng.IntN(max(int(cfg.Interval/tick), 1)))
	}
	return w, nil
}

func (w *World) newEpoch() darter.Epoch { w.epoch++; return w.epoch }

// boot starts the scheduler.
func (w *World) boot() error {
	cfg := liveness.DefaultConfig()
	cfg.Tick, cfg.MaxGap, cfg.Seed = tick, 2*tick, w.cfg.Seed
	cfg.Policy.Lease.Interval = liveness.Duration(w.cfg.Interval)
	cfg.Policy.Limit.Feed = 1024
	w.policy = cfg.Policy
	r, err := liveness.New(cfg)
	if err != nil {
		return err
	}
	w.r, w.since = r, w.second
	return nil
}

func (w *World) now() time.Time { return w.start.Add(time.Duration(w.second) * tick) }

func (w *World) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

func (w *World) tell(text string) {
	line := fmt.Sprintf("%d %s\n", w.second, text)
	w.digest.Write([]byte(line)) //nolint:errcheck // a hash never fails
	if w.cfg.Trace != nil {
		w.cfg.Trace(line[:len(line)-1])
	}
}

// call plans a machine's next word.
func (w *World) call(m *machine, seconds int) {
	m.next = w.second + min(max(seconds, 1), far-1)
	w.due[m.next%far] = append(w.due[m.next%far], m)
}

func (w *World) after(seconds int, do func()) {
	at := w.second + max(seconds, 1)
	w.later[at] = append(w.later[at], do)
}

// times says how often something that happens so often an hour happens in this second.
func (w *World) times(perHour float64) int {
	n, p := 0, perHour/3600
	for ; p >= 1; p-- {
		n++
	}
	if w.rng.Float64() < p {
		n++
	}
	return n
}

func (w *World) any() *machine { return w.hosts[w.rng.IntN(len(w.hosts))] }

// step is a second.
func (w *World) step() {
	w.second++
	w.troubles()
	for _, do := range w.later[w.second] {
		do()
	}
	delete(w.later, w.second)
	list := w.due[w.second%far]
	w.due[w.second%far] = nil
	for _, m := range list {
		if m.next == w.second {
			w.speak(m)
		}
	}
	if w.second < w.paused {
		w.lost++
		return
	}
	if w.self {
		w.lost++
	}
	w.feed(liveness.Tick{})
	w.watched()
	if w.cfg.Check != nil && (w.cfg.CheckEvery <= 0 || time.Duration(w.second)*tick%w.cfg.CheckEvery == 0) {
		if err := w.cfg.Check(w.r); err != nil {
			w.fail("%v", err)
		}
	}
}

// feed gives the roster evidence and does what it wants.
func (w *World) feed(ev liveness.Evidence) {
	if w.second < w.paused { // it lies in a socket until then
		w.after(w.paused-w.second, func() { w.feed(ev) })
		return
	}
	w.result.Steps++
	for _, e := range w.r.Step(w.now(), ev) {
		w.effect(e)
	}
	items := w.r.Stats().Items
	w.result.MostItems = max(w.result.MostItems, items)
	if budget := 2 * (w.policy.Limit.Items + w.policy.Forget.PerStep); items > budget {
		w.fail("a step looked at %d items, more than %d", items, budget)
	}
}

func (w *World) effect(e liveness.Effect) {
	switch e := e.(type) {
	case liveness.Verdict:
		w.tell(e.String())
		w.verdict(e)
	case liveness.Probe:
		m := w.byID[e.Host]
		ok := w.reaches(m) && w.rng.Float64() >= w.cfg.Loss && w.rng.Float64() >= w.cfg.Loss
		w.after(1, func() {
			if ok {
				w.arrived(m)
			}
			w.feed(liveness.Probed{Host: e.Host, OK: ok})
		})
	case liveness.Grant:
		m := w.byID[e.Host]
		if e.Interval > 0 {
			m.every = e.Interval
			w.call(m, int(e.Interval/tick))
		}
		if e.Announce && m.up && !m.gone {
			m.known = false
			w.call(m, 1)
		}
	case liveness.GuardChanged:
		w.tell(e.String())
		if e.From == liveness.GuardOpen {
			w.result.Guarded++
		}
		if e.Zone == (liveness.Zone{}) {
			w.self = e.To == liveness.GuardSelf
			return
		}
		for i := range w.zones {
			if z := &w.zones[i]; z.name == e.Zone {
				z.guard, z.forgot, z.counted = e.To, 0, w.second
			}
		}
	case liveness.Wake:
	default:
		w.tell(e.String())
	}
}
