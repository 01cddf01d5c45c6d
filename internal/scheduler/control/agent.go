package control

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/darter-p2p/darter"
)

// Hosts are those that the scheduler knows.
type Hosts interface {
	KnownHosts() []darter.Host
}

// Daemons does things at hosts. Errors are *Failed, so that a class can be told.
type Daemons interface {
	// Fetch has a host fetch, and returns when it says that it has. Bytes are what it moved.
	Fetch(ctx context.Context, to darter.Target, want darter.Want) (task darter.TaskID, bytes int64, err error)
	// Holds asks a host whether it holds the whole of a task.
	Holds(ctx context.Context, at darter.Target, task darter.TaskID) (bool, error)
	// Drop has a host forget a task. One that does not hold it is no error.
	Drop(ctx context.Context, at darter.Target, task darter.TaskID) error
}

// Failed is an error with its class.
type Failed struct {
	Class darter.Failure
	Err   error
}

func (f *Failed) Error() string { return f.Err.Error() }
func (f *Failed) Unwrap() error { return f.Err }

// Config is what an agent needs.
type Config struct {
	ID      string // of the scheduler, the same after a restart
	Hosts   Hosts
	Daemons Daemons
	AtOnce  int           // downloads and questions at once, over all orders; default 1024
	Ask     time.Duration // longest time for one question to a host; default 10s
	Events  Events
}

// Events tells what happened. Any may be nil.
type Events struct {
	Began func(lease darter.OrderLease, kind darter.JobKind, items, hosts int)
	Ended func(lease darter.OrderLease, why string)
}

// Agent keeps the orders of a scheduler. Run does them; whoever has a manager at hand feeds it with Take and Word, and
// takes Reports.
type Agent struct {
	cfg   Config
	slots chan struct{} // downloads and questions
	kick  chan struct{} // there may be something to report
	begin chan *task

	mu struct {
		sync.Mutex
		tasks map[darter.OrderLease]*task
	}
}

// task is one order under way.
type task struct {
	order darter.Order
	hosts []darter.Target
	stop  context.CancelCauseFunc
	ctx   context.Context // the order's life, which words from the manager end

	mu struct {
		sync.Mutex
		planned  bool // the hosts are written down
		unsaid   []darter.OrderOutcome
		inflight *darter.OrderReport
		final    *darter.OrderReport // how it ended, outcomes aside
	}
}

// New returns an agent.
func New(cfg Config) (*Agent, error) {
	if cfg.AtOnce == 0 {
		cfg.AtOnce = 1024
	}
	if cfg.Ask == 0 {
		cfg.Ask = 10 * time.Second
	}
	if cfg.ID == "" || cfg.Hosts == nil || cfg.Daemons == nil || cfg.AtOnce < 0 || cfg.Ask < 0 {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "check control settings", Err: errors.New("id, hosts or daemons are missing, or a limit is negative")}
	}
	a := &Agent{cfg: cfg, slots: make(chan struct{}, cfg.AtOnce), kick: make(chan struct{}, 1), begin: make(chan *task)}
	a.mu.tasks = map[darter.OrderLease]*task{}
	return a, nil
}

// ID is the scheduler's name.
func (a *Agent) ID() string { return a.cfg.ID }

// Kick tells that there may be something to report at once.
func (a *Agent) Kick() <-chan struct{} { return a.kick }

func (a *Agent) kicked() {
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// Held returns the leases of all orders under way, in order.
func (a *Agent) Held() []darter.OrderLease {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]darter.OrderLease, 0, len(a.mu.tasks))
	for l := range a.mu.tasks {
		out = append(out, l)
	}
	slices.SortFunc(out, compareLeases)
	return out
}

func compareLeases(a, b darter.OrderLease) int {
	switch {
	case a.Job < b.Job:
		return -1
	case a.Job > b.Job:
		return 1
	}
	return int(int64(a.Step) - int64(b.Step))
}

var (
	errLost     = errors.New("the lease has passed on")
	errStop     = errors.New("the manager asked to stop")
	errShutdown = errors.New("the scheduler stops")
)

// Word takes what the manager says about a lease.
func (a *Agent) Word(lease darter.OrderLease, lost bool) {
	a.mu.Lock()
	t := a.mu.tasks[lease]
	if t != nil && lost {
		delete(a.mu.tasks, lease)
	}
	a.mu.Unlock()
	switch {
	case t == nil:
	case lost:
		t.stop(errLost)
	default:
		t.stop(errStop)
	}
}

// maxOutcomes bounds one report.
const maxOutcomes = 5000

// Reports returns what there is to say now: of each order at most one report, until it is acknowledged.
func (a *Agent) Reports() []darter.OrderReport {
	var out []darter.OrderReport
	for _, lease := range a.Held() {
		a.mu.Lock()
		t := a.mu.tasks[lease]
		a.mu.Unlock()
		if t == nil {
			continue
		}
		if r := t.next(); r != nil {
			out = append(out, *r)
		}
	}
	return out
}

// next begins a report, unless one is on its way or there is nothing to say.
func (t *task) next() *darter.OrderReport {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.inflight != nil || len(t.mu.unsaid) == 0 && t.mu.final == nil && (t.mu.planned || len(t.hosts) == 0) {
		return nil
	}
	r := darter.OrderReport{Lease: t.order.Lease}
	if !t.mu.planned {
		r.Hosts = t.hosts
	}
	n := min(len(t.mu.unsaid), maxOutcomes)
	r.Outcomes = slices.Clone(t.mu.unsaid[:n])
	if t.mu.unsaid = t.mu.unsaid[n:]; len(t.mu.unsaid) == 0 && t.mu.final != nil {
		f := t.mu.final
		r.Ended, r.Released, r.Failure, r.Text, r.Found = f.Ended, f.Released, f.Failure, f.Text, f.Found
	}
	t.mu.inflight = &r
	return &r
}

// Acked takes what became of a report: written down; to be said again; or refused, then the order is given up and
// its lease runs out.
func (a *Agent) Acked(lease darter.OrderLease, written, again bool) {
	a.mu.Lock()
	t := a.mu.tasks[lease]
	a.mu.Unlock()
	if t == nil {
		return
	}
	over := t.acked(written)
	if !written && !again {
		t.stop(errLost)
		over = true
	}
	if over {
		a.mu.Lock()
		delete(a.mu.tasks, lease)
		a.mu.Unlock()
	}
}

func (t *task) acked(written bool) (over bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.mu.inflight
	if r == nil {
		return false
	}
	t.mu.inflight = nil
	if !written {
		t.mu.unsaid = append(r.Outcomes, t.mu.unsaid...)
		return false
	}
	t.mu.planned = true
	return r.Ended || r.Released
}

// Broken tells that the stream broke: what was not acknowledged is said again.
func (a *Agent) Broken() {
	for _, lease := range a.Held() {
		a.Acked(lease, false, true)
	}
}

// say keeps an outcome for the next report.
func (t *task) say(o darter.OrderOutcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.unsaid = append(t.mu.unsaid, o)
}

func (t *task) end(r darter.OrderReport) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.final = &r
}
