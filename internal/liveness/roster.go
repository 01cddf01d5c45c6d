package liveness

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/liveness/wheel"
)

// Roster knows every host and what is to be thought of it. It is not safe for concurrent use: one lock around
// Step, Renew, Hear and the views is enough for a million hosts.
type Roster struct {
	policy Policy
	tick   time.Duration
	maxGap time.Duration // at most, of the clock
	clock  clock
	rng    *rand.Rand
	waits  [maxConfirmations + 1]time.Duration // suspicion by number of confirmations

	hosts map[darter.HostID]*host // looked up only; order lies in roll
	roll  []*host
	wheel *wheel.Wheel[*host]
	fire  func(*host) // r.expire, made once

	// baseline is the latest moment before which silence is nobody's fault but ours.
	baseline time.Duration
	started  time.Duration // when this process began
	begun    bool          // whether started counts
	longest  time.Duration // longest interval of any host since then
	briefest time.Duration // shortest that a plain host announced; 0 for none
	lastSign time.Duration // when anybody was heard last, on the inner clock
	signs    uint64        // how often anybody was heard

	zones     map[Zone]*zone
	order     []*zone       // all of them
	tripped   []*zone       // whose guard is not open
	atTripped int           // the next of them to be looked at
	reaping   queue[*zone]  // that have hosts waiting to be forgotten
	touched   []*zone       // in this step
	span      time.Duration // window of the guards
	total     int           // hosts that count for the guard
	down      int           // of them, suspect or offline
	guardedUp int           // hosts that are up in zones whose guard is not open
	self      guard         // of all zones together

	probes  queue[*host]
	tokens  float64 // probes that may be asked at once
	tokenAt time.Duration
	sampled time.Duration // when the last samples of a self-fault were taken
	sample  int

	health  health
	leased  int // hosts that renew, alive or late
	hurry   int // hosts whose timers are to be looked at soon, because the policy changed
	audit   int // position in roll
	stats   Stats
	tombs   tombstones
	feed    feed
	effects []Effect
}

// host is what is known of one.
type host struct {
	id    darter.HostID
	epoch darter.Epoch
	conn  uint64
	zone  *zone
	doubt *doubt // nil while there is none
	line  *line  // its history

	heard     time.Duration // last sign
	since     time.Duration // when it got the word it has
	downAt    time.Duration // when it became suspect
	downAwake time.Duration // the same, on the clock of guards
	until     time.Duration // when it is no longer held down
	next      time.Duration // when it may be probed again
	renewed   time.Duration // last renewal
	announced time.Duration // last announcement
	interval  time.Duration // between two signs, as promised
	told      time.Duration // the announced interval, within bounds

	store  uint64 // fingerprint of its store's name, 0 when not told
	addr   uint64 // fingerprint of its address
	before uint64 // of the address that it had before
	timer  wheel.Timer
	pos    int32  // in roll
	epochs oddity // words of two runs in turn
	wrong  oddity // reports that were refuted
	flaps  oddity
	state  darter.Verdict
	// word is what put the host where it is.
	word Sign

	leased   bool
	native   bool
	unknown  bool // of unknown age: not heard since this process started
	held     bool // suspect although it is heard, because it comes and goes
	drain    bool // an operator wants it drained
	waiting  bool // to be forgotten
	queued   bool // is in its zone's queue of those
	asked    bool // is in the queue of probes
	gone     bool // no longer in the roster
	shared   bool // two machines use its id
	overdue  bool // a plain host whose announcement is; leased ones are late then
	isDown   bool // counts as down for the guard
	isOver   bool // counts as overdue for the guard
	counted  bool // counts for the guard
	isLeased bool // counts among the leased
}

// oddity counts what happens again within a time.
type oddity struct {
	n  uint32
	at time.Duration
}

// again counts one more and returns how many there were in a row, at most window apart.
func (o *oddity) again(now, window time.Duration) int {
	if o.n > 0 && now-o.at > window {
		o.n = 0
	}
	o.n, o.at = min(o.n+1, math.MaxUint16), now
	return int(o.n)
}

// New returns an empty roster.
func New(cfg Config) (*Roster, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	r := &Roster{policy: cfg.Policy, tick: cfg.Tick, maxGap: cfg.MaxGap,
		rng:   rand.New(rand.NewPCG(cfg.Seed, cfg.Seed^0x9e3779b97f4a7c15)),
		hosts: make(map[darter.HostID]*host), zones: make(map[Zone]*zone), wheel: wheel.New[*host](cfg.Tick),
		tombs: tombstones{byID: make(map[darter.HostID]*tombstone)}}
	r.fire = r.expire
	r.health.multiplier = 1
	r.adopt(cfg.Policy)
	return r, nil
}

// adopt puts a valid policy in force.
func (r *Roster) adopt(p Policy) {
	r.policy = p
	longest, shortest := p.Suspicion.Longest.Std(), p.Suspicion.Shortest.Std()
	k := p.Suspicion.Confirmations
	for c := range r.waits {
		part := math.Log(float64(min(c, k))+1) / math.Log(float64(k)+1)
		r.waits[c] = longest - scaled(longest-shortest, part)
	}
	r.hurry = len(r.roll)
	r.feed.resize(p.Limit.Feed)
	r.setGap()
}

// setGap bounds what one step of the clock lets pass: a pause of this process must not make anybody suspect by itself.
func (r *Roster) setGap() {
	gap := min(r.maxGap, scaled(r.policy.Lease.Interval.Std(), r.policy.Lease.LateAfter-1))
	if r.briefest > 0 {
		gap = min(gap, scaled(r.briefest, r.policy.Plain.SuspectAfter-1))
	}
	r.clock.maxGap = max(gap, 2*r.tick)
}

// maxConfirmations bounds what is counted: more do not shorten suspicion further.
const maxConfirmations = 16

// fingerprint is FNV-1a: names and addresses are compared, never shown. 0 means none.
func fingerprint(s string) uint64 {
	if s == "" {
		return 0
	}
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return max(h, 1)
}

func (r *Roster) add(h *host) {
	h.pos = int32(len(r.roll))
	r.roll = append(r.roll, h)
	r.hosts[h.id] = h
}

// remove takes a host out. What still points to it finds it gone.
func (r *Roster) remove(h *host) {
	last := len(r.roll) - 1
	r.roll[h.pos], r.roll[last].pos = r.roll[last], h.pos
	r.roll[last] = nil
	r.roll = r.roll[:last]
	delete(r.hosts, h.id)
	r.wheel.Remove(h.timer)
	h.timer, h.gone, h.doubt = 0, true, nil
}

// plan sets a host's timer.
func (r *Roster) plan(h *host, due time.Duration) {
	if h.timer != 0 && r.wheel.Move(h.timer, due) {
		return
	}
	h.timer = r.wheel.Add(h, due)
}

func (r *Roster) out(e Effect) { r.effects = append(r.effects, e) }

// queue is a line of hosts or zones, first in, first out. One stands in it once at most, which its users see to.
type queue[T any] struct {
	items []T
	head  int
}

func (q *queue[T]) len() int { return len(q.items) - q.head }
func (q *queue[T]) push(x T) { q.items = append(q.items, x) }
func (q *queue[T]) pop() T {
	var none T
	x := q.items[q.head]
	q.items[q.head] = none
	q.head++
	switch {
	case q.head == len(q.items):
		q.items, q.head = q.items[:0], 0
	case q.head >= 1024 && q.head*2 >= len(q.items):
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	return x
}
