package telemetry

import (
	"log/slog"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/scheduler"
	"github.com/darter-p2p/darter/internal/scheduler/rpc"
)

// Scheduler turns the events of the scheduler's rooms into metrics and log lines.
type Scheduler struct {
	log   *slog.Logger
	reg   *Registry
	names bounded // what hosts say of themselves
	roll  *Liveness

	calls, callFailures         map[string]prometheus.Counter // by method
	peers, hosts                pair                          // register_peer, announce_host
	started, toSource, finished pair
	sourceFinished, sourcePiece *prometheus.CounterVec
	pieces                      pair
	traffic                     *prometheus.CounterVec
	peerTook                    *prometheus.HistogramVec
	scheduleTook                prometheus.Observer
	seeds, seedsEnded, left     *prometheus.CounterVec
	assigned, assignedPieces    *prometheus.CounterVec
	closed                      *prometheus.CounterVec
	offered, offers, asked      prometheus.Counter
	snapshots                   prometheus.Counter
}

// pair is a counter and the one of its failures.
type pair struct{ total, failure *prometheus.CounterVec }

const schedulerPrefix = "dragonfly_scheduler_"

func pairOf(r *Registry, name, help string, labels ...string) pair {
	return pair{r.counters(schedulerPrefix+name+"_total", help+".", labels...), r.counters(schedulerPrefix+name+"_failure_total", help+", in vain.", labels...)}
}

func (p pair) count(failed bool, labels ...string) {
	p.total.WithLabelValues(labels...).Inc()
	if failed {
		p.failure.WithLabelValues(labels...).Inc()
	}
}

// NewScheduler registers the scheduler's metrics.
func NewScheduler(r *Registry, log *slog.Logger) *Scheduler {
	peer, piece := []string{"priority", "task_type", "host_type"}, []string{"traffic_type", "task_type", "host_type"}
	s := &Scheduler{log: log, reg: r, roll: NewLiveness(r, log),
		calls: map[string]prometheus.Counter{}, callFailures: map[string]prometheus.Counter{},
		peers:          pairOf(r, "register_peer", "Registrations of peers", peer...),
		hosts:          pairOf(r, "announce_host", "Announcements of hosts", "os", "platform", "platform_family", "git_version"),
		started:        pairOf(r, "download_peer_started", "Downloads that began at peers", peer...),
		toSource:       pairOf(r, "download_peer_back_to_source_started", "Downloads that began at the source", peer...),
		finished:       pairOf(r, "download_peer_finished", "Downloads that ended", peer...),
		sourceFinished: r.counters(schedulerPrefix+"download_peer_back_to_source_finished_failure_total", "Downloads from the source that failed.", peer...),
		pieces:         pairOf(r, "download_piece_finished", "Pieces that arrived", piece...),
		sourcePiece:    r.counters(schedulerPrefix+"download_piece_back_to_source_finished_failure_total", "Pieces that the source did not give.", piece...),
		traffic:        r.counters(schedulerPrefix+"traffic", "Bytes that peers received.", "type", "task_type", "host_type"),
		peerTook:       r.histograms(schedulerPrefix+"download_peer_duration_milliseconds", "Time of a peer's download.", milliseconds, "task_size_level"),
		scheduleTook:   r.histograms(schedulerPrefix+"schedule_duration_milliseconds", "Time from a registration to its decision.", milliseconds).WithLabelValues(),
		seeds:          r.counters("darter_scheduler_seeds_triggered_total", "Requests to seeds to fetch.", "reason"),
		seedsEnded:     r.counters("darter_scheduler_seed_downloads_total", "Such requests that ended.", "outcome"),
		left:           r.counters("darter_scheduler_hosts_gone_total", "Hosts that are gone.", "reason"),
		assigned:       r.counters("darter_scheduler_source_assignments_total", "Times a peer was sent to the source.", "reason"),
		assignedPieces: r.counters("darter_scheduler_source_pieces_total", "Pieces given to such peers.", "reason"),
		closed:         r.counters("darter_scheduler_streams_closed_total", "Streams of peers that the scheduler ended.", "kind"),
		offers:         r.counter("darter_scheduler_offers_total", "Times a peer was told of parents."),
		offered:        r.counter("darter_scheduler_parents_offered_total", "Parents named in such answers."),
		snapshots:      r.counter("darter_scheduler_snapshot_failures_total", "Snapshots of hosts that could not be written or read."),
		asked:          r.counter("darter_scheduler_reschedules_total", "Times a peer asked for other parents."),
	}
	for method, name := range map[string]string{"AnnouncePeer": "announce_peer", "StatPeer": "stat_peer", "DeletePeer": "leave_peer", "StatTask": "stat_task",
		"DeleteTask": "leave_task", "ListHosts": "list_hosts", "DeleteHost": "leave_host"} {
		s.calls[method] = r.counter(schedulerPrefix+name+"_total", "Calls of "+method+".")
		s.callFailures[method] = r.counter(schedulerPrefix+name+"_failure_total", "Calls of "+method+" that failed.")
	}
	return s
}

func hostType(k darter.HostKind) string {
	if k == darter.Normal {
		return "normal"
	}
	return "super"
}

// Events returns what the scheduler's service is to call.
func (s *Scheduler) Events() rpc.Events {
	e := rpc.Events{
		HostAnnounced: s.hostAnnounced, HostLeft: s.hostLeft, PeerRegistered: s.registered, PeerStarted: s.peerStarted,
		PieceFinished: s.pieceFinished, PieceFailed: s.pieceFailed, PeerFinished: s.peerFinished, SourceAssigned: s.sourceAssigned,
		SeedTriggered: s.seedTriggered, SeedEnded: s.seedEnded, SeedHealth: s.seedHealth,
		Rescheduled: func(rpc.Rescheduled) { s.asked.Inc() },
		Offered: func(o rpc.Offered) {
			s.offers.Inc()
			s.offered.Add(float64(o.Parents))
		},
		StreamClosed: func(c rpc.StreamClosed) {
			s.closed.WithLabelValues(c.Kind.String()).Inc()
			s.log.Info("ended a peer's stream", "peer", c.Peer, "kind", c.Kind.String(), "reason", c.Reason)
		},
		Called: func(c rpc.Called) {
			if counter := s.calls[c.Method]; counter != nil {
				counter.Inc()
				if c.Err != nil {
					s.callFailures[c.Method].Inc()
				}
			}
		},
	}
	s.roll.Into(&e)
	return e
}

func (s *Scheduler) hostAnnounced(a rpc.HostAnnounced) {
	h := a.Host
	s.hosts.count(a.Err != nil, s.names.value(h.OS), s.names.value(h.Platform), s.names.value(h.Family), s.names.value(h.Version))
	switch {
	case a.Err != nil:
		s.log.Warn("refused a host", "host", h.ID, "error", a.Err)
	case a.New:
		s.log.Info("a host joined", "host", h.ID, "kind", h.Kind.String(), "at", h.Endpoint().String(), "version", h.Version)
	}
}

func (s *Scheduler) hostLeft(l rpc.HostLeft) {
	reason, _, _ := strings.Cut(l.Reason, ":")
	if reason != "left" && reason != "gone" {
		reason = "other"
	}
	s.left.WithLabelValues(reason).Inc()
	s.log.Info("a host is gone", "host", l.Host, "reason", l.Reason)
}

func (s *Scheduler) registered(p rpc.PeerRegistered) {
	s.peers.count(p.Err != nil, strconv.Itoa(int(p.Priority)), standard, hostType(p.Kind))
	s.scheduleTook.Observe(float64(p.Took.Microseconds()) / 1000)
	if p.Err != nil {
		s.log.Info("refused a peer", "task", p.Task, "peer", p.Peer, "host", p.Host, "error", p.Err)
	}
}

func (s *Scheduler) peerStarted(p rpc.PeerStarted) {
	to := s.started
	if p.FromSource {
		to = s.toSource
	}
	to.count(false, strconv.Itoa(int(p.Priority)), standard, hostType(p.Kind))
}

func (s *Scheduler) pieceFinished(p rpc.PieceFinished) {
	kind := trafficType(p.Traffic)
	s.pieces.count(false, kind, standard, hostType(p.Kind))
	s.traffic.WithLabelValues(kind, standard, hostType(p.Kind)).Add(float64(p.Bytes))
}

func (s *Scheduler) pieceFailed(p rpc.PieceFailed) {
	if p.FromSource {
		s.sourcePiece.WithLabelValues(trafficType(darter.FromSource), standard, hostType(p.Kind)).Inc()
		return
	}
	s.pieces.failure.WithLabelValues(trafficType(darter.FromPeer), standard, hostType(p.Kind)).Inc()
}

func trafficType(t darter.Traffic) string {
	switch t {
	case darter.FromSource:
		return "BACK_TO_SOURCE"
	case darter.FromPeer:
		return "REMOTE_PEER"
	case darter.FromCache:
		return "LOCAL_PEER"
	}
	return "OTHER"
}

func (s *Scheduler) peerFinished(p rpc.PeerFinished) {
	labels := []string{strconv.Itoa(int(p.Priority)), standard, hostType(p.Kind)}
	s.finished.count(!p.OK, labels...)
	if !p.OK && p.FromSource {
		s.sourceFinished.WithLabelValues(labels...).Inc()
	}
	if p.OK {
		s.peerTook.WithLabelValues(strconv.Itoa(sizeLevel(p.Length))).Observe(float64(p.Took.Milliseconds()))
	}
	s.log.Debug("a peer is through", "task", p.Task, "peer", p.Peer, "ok", p.OK, "from_source", p.FromSource, "seconds", p.Took.Seconds())
}

func (s *Scheduler) sourceAssigned(a rpc.SourceAssigned) {
	s.assigned.WithLabelValues(a.Reason).Inc()
	s.assignedPieces.WithLabelValues(a.Reason).Add(float64(a.Pieces))
	s.log.Info("sent a peer to the source", "task", a.Task, "peer", a.Peer, "kind", a.Kind.String(), "pieces", a.Pieces, "reason", a.Reason)
}

func (s *Scheduler) seedTriggered(t rpc.SeedTriggered) {
	s.seeds.WithLabelValues(t.Reason).Inc()
	s.log.Info("asked a seed to fetch", "task", t.Task, "seed", t.Host, "reason", t.Reason)
}

func (s *Scheduler) seedEnded(e rpc.SeedEnded) {
	s.seedsEnded.WithLabelValues(outcome(e.Err)).Inc()
	if e.Err != nil {
		s.log.Warn("a seed failed", "task", e.Task, "seed", e.Host, "error", e.Err)
	}
}

func (s *Scheduler) seedHealth(h rpc.SeedHealth) {
	if h.OK {
		s.log.Info("a seed is well", "seed", h.Host)
		return
	}
	s.log.Warn("a seed is unwell", "seed", h.Host, "error", h.Err)
}

// WatchHosts adds what is asked of the scheduler at each scrape.
func (s *Scheduler) WatchHosts(k Known) { s.roll.Watch(k) }

// Snapshots returns what the scheduler role is to call about its snapshot of hosts.
func (s *Scheduler) Snapshots() scheduler.Snapshots {
	return scheduler.Snapshots{
		Loaded: func(hosts int) { s.log.Info("hosts known from before", "hosts", hosts) },
		Saved:  func(hosts int) { s.log.Debug("wrote the hosts down", "hosts", hosts) },
		Failed: func(err error) {
			s.snapshots.Inc()
			s.log.Warn("the hosts could not be written down; it is tried again", "error", err)
		},
		Damaged: func(aside string, err error) {
			s.snapshots.Inc()
			s.log.Warn("the snapshot of hosts is damaged and was moved aside", "to", aside, "error", err)
		},
	}
}

// Watch adds the gauges of what the scheduler knows, asked at each scrape.
func (s *Scheduler) Watch(count func() (hosts, tasks, peers int)) {
	s.reg.ask("darter_scheduler_hosts", "Hosts that are known.", func() float64 { n, _, _ := count(); return float64(n) })
	s.reg.ask("darter_scheduler_tasks", "Tasks that are known.", func() float64 { _, n, _ := count(); return float64(n) })
	s.reg.ask("darter_scheduler_peers", "Peers that are known.", func() float64 { _, _, n := count(); return float64(n) })
}
