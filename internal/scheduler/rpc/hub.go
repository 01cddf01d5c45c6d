package rpc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/liveness"
	"github.com/darter-p2p/darter/internal/scheduler/swarm"
)

// hub owns the swarm: one event at a time, and what follows from it is put into queues before the next.
type hub struct {
	cfg    Config
	jobs   chan job      // triggers to carry out
	wakeUp chan struct{} // the time of the next tick changed
	look   chan struct{} // a seed announced itself: check it now
	doubts chan liveness.Probe
	run    uint64                                 // the numbers of events are of this run of the scheduler; never 0, and exact as a number of JSON
	prompt func(darter.HostID, darter.Grant) bool // speaks to a host unasked; set before it is served

	mu struct {
		sync.Mutex
		watch
		swarm   *swarm.Swarm
		streams map[darter.PeerID]*conversation
		wake    time.Time
		busy    map[seedTask]struct{} // triggers under way: one at a time per seed and task
	}
}

type seedTask struct {
	host darter.HostID
	task darter.TaskID
}

// job is a trigger to carry out.
type job struct {
	seedTask
	host     *darter.Host
	download *commonv2.Download
}

func newHub(cfg Config) (*hub, error) {
	s, err := swarm.New(cfg.Swarm, cfg.Seed)
	if err != nil {
		return nil, err
	}
	w, err := newWatch(cfg)
	if err != nil {
		return nil, err
	}
	h := &hub{cfg: cfg, jobs: make(chan job, cfg.Triggers), wakeUp: make(chan struct{}, 1), look: make(chan struct{}, 1), doubts: make(chan liveness.Probe, cfg.Probes),
		run: max(rand.Uint64()>>11, 1)}
	h.mu.watch, h.mu.swarm, h.mu.streams, h.mu.busy = w, s, map[darter.PeerID]*conversation{}, map[seedTask]struct{}{}
	h.prompt = func(darter.HostID, darter.Grant) bool { return false }
	return h, nil
}

// news is what came of an event: effects of the swarm and of the roster, in their order.
type news = fmt.Stringer

// step feeds one event to the swarm and queues what follows.
func (h *hub) step(ev swarm.Event) {
	h.mu.Lock()
	out := h.stepLocked(ev)
	h.mu.Unlock()
	h.report(out)
}

// said feeds what a host says of one of its peers: also a sign of its life, and at times of another's. blames tells whether the
// parents that it names as lost are those that it cannot reach.
func (h *hub) said(host darter.HostID, blames bool, ev swarm.Event) {
	h.mu.Lock()
	out := h.heardLocked(host)
	switch ev := ev.(type) {
	case swarm.PieceDone:
		out = append(out, h.servedLocked(host, ev.Parent)...)
	case swarm.PieceFailed:
		if ev.Temporary && !ev.Missing {
			out = append(out, h.unreachedLocked(host, ev.Parent)...)
		}
	case swarm.Rescheduled:
		if blames { // one of ours; a plain client names all that it was ever told of
			for _, p := range ev.Lost {
				out = append(out, h.unreachedLocked(host, p)...)
			}
		}
	}
	out = append(out, h.stepLocked(ev)...)
	h.mu.Unlock()
	h.report(out)
}

// report tells events outside the lock.
func (h *hub) report(all []news) {
	for _, e := range all {
		switch e := e.(type) {
		case swarm.Offer:
			tell(h.cfg.Events.Offered, Offered{Parents: len(e.Parents)})
		case swarm.GoToSource:
			tell(h.cfg.Events.SourceAssigned, SourceAssigned{Task: e.Task, Peer: e.Peer, Kind: e.Kind, Pieces: e.Pieces.Len(), Reason: e.Reason})
		case swarm.TriggerSeed:
			tell(h.cfg.Events.SeedTriggered, SeedTriggered{Task: e.Task, Host: e.Host.ID, Reason: e.Reason})
		case swarm.CloseStream:
			tell(h.cfg.Events.StreamClosed, StreamClosed{Peer: e.Peer, Kind: e.Kind, Reason: e.Reason})
		case swarm.Forgot:
			tell(h.cfg.Events.HostLeft, HostLeft{Host: e.Host, Reason: e.Reason})
		case swarm.Disproved:
			tell(h.cfg.Events.Disproved, e)
		case swarm.Repaired:
			tell(h.cfg.Events.Repaired, e)
		case swarm.Reclaimed:
			tell(h.cfg.Events.Reclaimed, e)
		case swarm.InventoryTaken:
			tell(h.cfg.Events.InventoryTaken, e)
		default:
			h.reportWatch(e)
		}
	}
}

func (h *hub) stepLocked(ev swarm.Event) []news {
	effects := h.mu.swarm.Step(time.Now(), ev)
	out := make([]news, len(effects))
	for i, e := range effects {
		out[i] = e
		switch e := e.(type) {
		case swarm.Offer:
			h.pushLocked(e.Peer, e)
		case swarm.GoToSource:
			h.pushLocked(e.Peer, e)
		case swarm.Empty:
			h.pushLocked(e.Peer, e)
		case swarm.Recorded:
			h.pushLocked(e.Peer, e)
		case swarm.CloseStream:
			if c := h.mu.streams[e.Peer]; c != nil {
				c.end(&darter.Error{Kind: e.Kind, Op: "schedule " + string(e.Peer), Hint: e.Hint, Err: errors.New(e.Reason)})
			}
		case swarm.TriggerSeed:
			h.triggerLocked(e)
		case swarm.Disproved:
			h.doubtedLocked(e.Host)
		case swarm.Wake:
			h.mu.wake = e.At
			signal(h.wakeUp)
		}
	}
	return out
}

func (h *hub) pushLocked(peer darter.PeerID, e swarm.Effect) {
	if c := h.mu.streams[peer]; c != nil && !c.push(e) {
		c.unread()
	}
}

// triggerLocked queues a trigger with the request of the peer it is for. Without that peer's request, or
// with too many under way, the swarm's own deadline finds another way.
func (h *hub) triggerLocked(e swarm.TriggerSeed) {
	c := h.mu.streams[e.For]
	key := seedTask{host: e.Host.ID, task: e.Task}
	if _, busy := h.mu.busy[key]; busy || c == nil {
		return
	}
	select {
	case h.jobs <- job{seedTask: key, host: e.Host, download: forSeed(c.download)}:
		h.mu.busy[key] = struct{}{}
	default:
	}
}

// tick has the swarm look at its deadlines.
func (h *hub) tick() {
	h.mu.Lock()
	if !h.mu.wake.After(time.Now()) {
		h.mu.wake = time.Time{}
	}
	out := h.stepLocked(swarm.Tick{})
	h.mu.Unlock()
	h.report(out)
}

// untilTick is the time to the next tick, at most every.
func (h *hub) untilTick(every time.Duration) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.wake.IsZero() {
		return every
	}
	return min(max(time.Until(h.mu.wake), 0), every)
}

// ended takes the end of a trigger.
func (h *hub) ended(j job, ev swarm.Event) {
	h.mu.Lock()
	delete(h.mu.busy, j.seedTask)
	out := h.stepLocked(ev)
	h.mu.Unlock()
	h.report(out)
}

// register makes c the stream of its peer.
func (h *hub) register(c *conversation, ev swarm.Registered) error {
	h.mu.Lock()
	if c.left {
		h.mu.Unlock()
		return context.Canceled
	}
	if old := h.mu.streams[ev.Peer]; old != nil {
		h.mu.Unlock()
		return &darter.Error{Kind: darter.Conflict, Op: "register " + string(ev.Peer), Err: errors.New("a peer of this id is registered"),
			Hint: "make a fresh peer id for every attempt"}
	}
	host, known := h.mu.swarm.Host(ev.Host)
	if !known {
		h.mu.Unlock()
		return &darter.Error{Kind: darter.NotFound, Op: "register " + string(ev.Peer), Err: errors.New("host " + string(ev.Host) + " is not known"),
			Hint: "announce the host before registering; a restarted scheduler may have forgotten it"}
	}
	c.kind, c.native, c.joined = host.Host.Kind, host.Host.Native, true
	h.mu.streams[ev.Peer] = c
	out := append(h.heardLocked(ev.Host), h.stepLocked(ev)...)
	h.mu.Unlock()
	h.report(out)
	return nil
}

// leave ends the stream of a peer.
func (h *hub) leave(c *conversation) {
	h.mu.Lock()
	c.left = true
	var out []news
	if c.joined && h.mu.streams[c.peer] == c {
		delete(h.mu.streams, c.peer)
		if c.broke() {
			out = h.judgeLocked(liveness.StreamReset{Host: c.host, Conn: c.conn})
		}
		out = append(out, h.stepLocked(swarm.StreamEnded{Peer: c.peer})...)
	}
	h.mu.Unlock()
	h.report(out)
}

// stop ends every stream.
func (h *hub) stop(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.mu.streams {
		c.end(why)
	}
}

// view2 is view for what may be missing.
func view2[T any](h *hub, read func(*swarm.Swarm) (T, bool)) (T, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return read(h.mu.swarm)
}

// view reads the swarm under the lock.
func view[T any](h *hub, read func(*swarm.Swarm) T) T {
	h.mu.Lock()
	defer h.mu.Unlock()
	return read(h.mu.swarm)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
