package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/ring"
)

// SchedulersConfig says how schedulers are spoken to.
type SchedulersConfig struct {
	Host           darter.HostID // required; who speaks
	ConnectTimeout time.Duration // longest time to open a connection; default 3s
	HeaderTimeout  time.Duration // longest time until a scheduler answers a conversation at all; default 10s
	CallTimeout    time.Duration // longest time of one plain call; default 10s
	Doubt          time.Duration // silence of a scheduler that owes an answer, before it is asked for a sign of life; default 300ms
	Proof          time.Duration // longest wait for that sign, beside four times the usual; default 400ms
	DownFor        time.Duration // how long a scheduler that failed is left alone by downloads; default 5s
	ReconnectMax   time.Duration // longest wait between two attempts to reconnect; default 3s
	// Ping is the quiet time after which a connection to one of our own schedulers is probed, PongWait how long
	// the answer may take; default 12s and 5s. Plain Dragonfly schedulers take such pings for an attack:
	// towards them TCP's keepalive has to do.
	Ping, PongWait time.Duration
	Queue          int // reports that may wait in one conversation; default 4096
	// Dial opens a connection; default TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Introduce announces this host to a scheduler that said it does not know it, so that the conversation can be opened again.
	// May be nil.
	Introduce func(ctx context.Context, at netip.AddrPort) error
	Events    SchedulersEvents
}

// SchedulersEvents tells what happened. Any may be nil.
type SchedulersEvents struct {
	Down     func(at netip.AddrPort, err error) // a scheduler failed and is left alone for DownFor
	Returned func(at netip.AddrPort)            // the connection to a scheduler stands again after it was lost
	Silent   func(at netip.AddrPort)            // a scheduler gives no sign of life; downloads go on without it
	Awake    func(at netip.AddrPort)            // it does again
}

// DefaultSchedulersConfig returns the defaults. Host is still to be set.
func DefaultSchedulersConfig() SchedulersConfig {
	return SchedulersConfig{
		ConnectTimeout: 3 * time.Second, HeaderTimeout: 10 * time.Second, CallTimeout: 10 * time.Second,
		Doubt: 300 * time.Millisecond, Proof: 400 * time.Millisecond,
		DownFor: 5 * time.Second, ReconnectMax: 3 * time.Second, Ping: 12 * time.Second, PongWait: 5 * time.Second, Queue: 4096,
	}
}

// Validate checks what NewSchedulers relies on.
func (c *SchedulersConfig) Validate() error {
	for _, d := range []time.Duration{c.ConnectTimeout, c.HeaderTimeout, c.CallTimeout, c.Doubt, c.Proof, c.DownFor, c.ReconnectMax, c.PongWait} {
		if d <= 0 {
			return errors.New("rpc: every time limit towards schedulers must be above 0")
		}
	}
	switch {
	case c.Host == "":
		return errors.New("rpc: Host is required")
	case c.Ping < 10*time.Second:
		return errors.New("rpc: Ping is below 10s, the least that gRPC allows")
	case c.Queue < 1:
		return errors.New("rpc: Queue must be above 0")
	}
	return nil
}

// Schedulers speaks to the schedulers in force. It is fetch's Scheduler and announce's Schedulers.
type Schedulers struct {
	cfg   SchedulersConfig
	talks sync.WaitGroup // open conversations

	mu struct {
		sync.Mutex
		members map[netip.AddrPort]*member
		ring    ring.Ring
		changed chan struct{} // closed when members change
		closed  bool
	}
}

// NewSchedulers checks the configuration. The set is empty until Set.
func NewSchedulers(cfg SchedulersConfig) (*Schedulers, error) {
	if cfg.Dial == nil {
		cfg.Dial = dialTCP
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Schedulers{cfg: cfg}
	s.mu.members = make(map[netip.AddrPort]*member)
	s.mu.changed = make(chan struct{})
	return s, nil
}

// dialTCP leaves the detection of a dead machine to the kernel: 10 s of silence, then three probes.
func dialTCP(ctx context.Context, address string) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 2 * time.Second, Count: 3}}
	return d.DialContext(ctx, "tcp", address)
}

// Set puts another set of schedulers in force. Conversations with those that are gone run on to their end.
func (s *Schedulers) Set(members []netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return
	}
	for at, m := range s.mu.members {
		if !slices.Contains(members, at) {
			m.retire()
			delete(s.mu.members, at)
		}
	}
	for _, at := range members {
		if s.mu.members[at] == nil {
			s.mu.members[at] = &member{s: s, at: at}
		}
	}
	s.mu.ring = ring.New(slices.Clone(members))
	close(s.mu.changed)
	s.mu.changed = make(chan struct{})
}

// Status is what is known of one scheduler.
type Status struct {
	At     netip.AddrPort
	Up     bool // a connection stands
	Native bool // one of our own
	Err    error
}

// Status returns what is known of the schedulers in force, by address.
func (s *Schedulers) Status() []Status {
	members, _ := s.snapshot()
	out := make([]Status, 0, len(members))
	for _, m := range members {
		out = append(out, m.status())
	}
	return out
}

func (s *Schedulers) snapshot() ([]*member, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*member, 0, len(s.mu.members))
	for _, m := range s.mu.members {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b *member) int { return a.at.Compare(b.at) })
	return out, s.mu.changed
}

// responsible returns the scheduler of a task: the ring's choice, as every daemon computes it. When it is down nobody
// else is asked, because another scheduler would know nothing of the task's swarm.
func (s *Schedulers) responsible(id darter.TaskID) (*member, error) {
	s.mu.Lock()
	at, ok := s.mu.ring.Pick(id)
	m := s.mu.members[at]
	s.mu.Unlock()
	if !ok || m == nil {
		return nil, &darter.Error{Kind: darter.Unavailable, Op: "find the scheduler of task " + id.Short(), Err: errors.New("no scheduler is known"),
			Hint: "set the manager's or a scheduler's address; until then downloads go to their sources"}
	}
	if err := m.resting(time.Now()); err != nil {
		return nil, err
	}
	return m, nil
}

// member returns the member at an address, or one outside the set for a single question. done gives it back.
func (s *Schedulers) member(at netip.AddrPort) (m *member, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m = s.mu.members[at]; m != nil {
		return m, func() {}
	}
	m = &member{s: s, at: at}
	return m, m.retire
}

// Close ends all conversations and connections. It returns when they have ended.
func (s *Schedulers) Close() {
	s.mu.Lock()
	s.mu.closed = true
	members := s.mu.members
	s.mu.members, s.mu.ring = nil, ring.Ring{}
	s.mu.Unlock()
	for _, m := range members {
		m.cut()
	}
	s.talks.Wait()
}

func unavailable(op string, err error) error {
	return &darter.Error{Kind: darter.Unavailable, Op: op, Err: err}
}

var errResting = errors.New("it failed a moment ago")

func schedulerOp(verb string, at netip.AddrPort) string {
	return fmt.Sprintf("%s scheduler %s", verb, at)
}
