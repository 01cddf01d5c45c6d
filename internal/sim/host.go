package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/scheduler/swarm"
)

// announceEvery is short, so that dead hosts are forgotten within a world's time.
const announceEvery = 10 * time.Second

// host is one machine: links, a store, a piece server, and a download while there is one.
type host struct {
	w        *World
	spec     Host
	facts    darter.Host
	up, down *link
	upload   *upload
	alive    bool
	held     darter.PieceSet
	watchers []*watcher
	d        *download
	left     []float64 // per piece, bytes that an ask left when it ended; kept in memory only
	seedFor  int       // the run of the scheduler that triggered the download
	finished time.Duration
}

// watcher is a child's stream of this host's holdings.
type watcher struct {
	d    *download
	k    *parentLink
	last time.Duration
}

func newHost(w *World, i int, spec Host) *host {
	kind := darter.Normal
	if spec.Seed {
		kind = darter.Seed
	}
	h := &host{w: w, spec: spec, up: &link{cap: spec.Up}, down: &link{cap: spec.Down}, alive: true,
		facts: darter.Host{ID: darter.HostID(fmt.Sprintf("h%d", i)), Kind: kind, IP: address(i), Port: 4000, IDC: spec.Zone,
			Network: darter.Network{MaxTx: uint64(8 * spec.Up)}, Native: true, Epoch: 1, Interval: announceEvery}}
	h.upload = newUpload(h)
	h.left = make([]float64, w.cfg.Layout.Count())
	return h
}

func newUpload(h *host) *upload {
	return &upload{h: h, slots: h.w.cfg.Slots, sent: make([]int, h.w.cfg.Layout.Count()), served: map[darter.HostID]int{}}
}

func (w *World) hostOf(id darter.HostID) *host {
	return w.hosts[slices.IndexFunc(w.hosts, func(h *host) bool { return h.facts.ID == id })]
}

func (h *host) complete() bool { return h.held.Contains(h.w.wanted) }

// announce tells the scheduler of the host, again and again.
func (h *host) announce() {
	if !h.alive {
		return
	}
	facts := h.facts
	h.w.clock.after(h.w.delay(), func() { h.w.sched.announced(facts) })
	h.w.clock.after(announceEvery, func() {
		if h.facts.Epoch == facts.Epoch {
			h.announce()
		}
	})
}

// want starts the download unless it runs or is done.
func (h *host) want() {
	if !h.alive || h.d != nil || h.complete() {
		return
	}
	h.d = newDownload(h)
	d := h.d
	h.w.clock.after(2*h.w.delay(), d.begin) // the source was asked about the content
}

// triggered is the scheduler's word to a seed.
func (h *host) triggered(run int) {
	s := h.w.sched
	switch {
	case !h.alive:
		h.w.clock.after(h.w.refusal(), func() { s.hear(run, swarm.SeedFailed{Task: h.w.task, Host: h.facts.ID}) })
	case h.complete():
		h.recall(run)
	default:
		h.want()
		h.seedFor = run
	}
}

// recall reminds the scheduler that everything is here.
func (h *host) recall(run int) {
	want := h.w.want(h)
	want.MetadataOnly = true
	ev := swarm.Registered{Host: h.facts.ID, Peer: h.w.newPeer(h), Task: h.w.task, Want: want, Held: h.held.Clone()}
	h.w.clock.after(h.w.delay(), func() {
		h.w.sched.hear(run, ev)
		h.w.sched.hear(run, swarm.PeerFinished{Peer: ev.Peer})
		h.w.sched.hear(run, swarm.StreamEnded{Peer: ev.Peer})
		h.w.sched.hear(run, swarm.SeedDone{Task: h.w.task, Host: h.facts.ID})
	})
}

func (w *World) want(h *host) darter.Want {
	return darter.Want{URL: "http://origin/file", Layout: w.cfg.Layout, LayoutKnown: true, NeedSource: h.spec.Seed}
}

// gained puts a piece into the store and tells those who watch.
func (h *host) gained(n uint32) {
	if h.held.Add(n); h.complete() {
		h.finished = h.w.clock.now
	}
	for _, wt := range slices.Clone(h.watchers) {
		h.tell(wt, n)
	}
	if h.complete() {
		for _, wt := range h.watchers {
			h.w.inOrder(&wt.last, func() { wt.d.unlinked(wt.k, false) })
		}
		h.watchers = nil
	}
}

func (h *host) tell(wt *watcher, n uint32) {
	h.w.inOrder(&wt.last, func() { wt.d.heard(wt.k, n) })
}

// watch answers a child that wants to know what is here.
func (h *host) watch(d *download, k *parentLink) {
	if !h.alive {
		h.w.clock.after(h.w.refusal(), func() { d.unlinked(k, true) })
		return
	}
	wt := &watcher{d: d, k: k}
	for n := range h.held.All() {
		h.tell(wt, n)
	}
	if h.complete() {
		h.w.inOrder(&wt.last, func() { d.unlinked(k, false) })
		return
	}
	h.watchers = append(h.watchers, wt)
	for n := range h.w.cfg.Layout.Count() {
		if h.receiving(n) != nil {
			h.announces(wt, n)
		}
	}
}

// crash stops everything at once. What is stored stays.
func (h *host) crash() {
	w := h.w
	h.alive = false
	clear(h.left)
	h.upload.crash(w.notice())
	for _, wt := range h.watchers {
		w.clock.after(w.notice(), func() { wt.d.unlinked(wt.k, true) })
	}
	h.watchers = nil
	if d := h.d; d != nil {
		d.abort()
		if d.talk != nil {
			d.talk.ended(w.notice())
		}
		h.trigger(swarm.SeedFailed{Task: w.task, Host: h.facts.ID}, w.notice())
	}
	h.d = nil
	w.check.crashed(h)
}

// trigger answers whoever triggered the download.
func (h *host) trigger(ev swarm.Event, after time.Duration) {
	if run := h.seedFor; run > 0 {
		h.seedFor = 0
		h.w.clock.after(after, func() { h.w.sched.hear(run, ev) })
	}
}

// back starts the host again, as a new run. Its user asks again for what is missing.
func (h *host) back() {
	h.alive = true
	h.facts.Epoch++
	h.upload = newUpload(h)
	h.announce()
	if !h.spec.Seed {
		h.w.clock.after(10*time.Millisecond, h.want)
	}
}
