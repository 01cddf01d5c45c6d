package telemetry

import (
	"errors"
	"log/slog"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/daemon"
	"github.com/darter-p2p/darter/internal/daemon/announce"
	"github.com/darter-p2p/darter/internal/daemon/fetch"
	"github.com/darter-p2p/darter/internal/daemon/rpc"
	"github.com/darter-p2p/darter/internal/source"
	httpsource "github.com/darter-p2p/darter/internal/source/http"
	"github.com/darter-p2p/darter/internal/store"
	"github.com/darter-p2p/darter/internal/store/disk"
	"github.com/darter-p2p/darter/internal/vortex"
)

// standard is Dragonfly's name for the type of an ordinary task.
const standard = "STANDARD"

// Buckets of histograms.
var (
	milliseconds = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 3e4, 6e4, 3e5, 6e5, 3.6e6}
	seconds      = []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60}
)

// Daemon turns the events of the daemon's rooms into metrics and log lines.
type Daemon struct {
	log   *slog.Logger
	reg   *Registry
	spans *spans // nil: no tracing

	tags, apps bounded

	begun struct {
		sync.Mutex
		tasks map[darter.TaskID]bool // a download that fails early ends without having begun
	}

	downloads, failures, prefetches, prefetchFailures *prometheus.CounterVec
	running                                           *prometheus.GaugeVec
	took                                              *prometheus.HistogramVec
	traffic, bytes                                    [3]prometheus.Counter // by darter.Traffic
	avoided, uploaded                                 prometheus.Counter
	sourceRequests, sourceFailures                    *prometheus.CounterVec
	sourceTook                                        *prometheus.HistogramVec
	asksFailed, fallbacks, rejected                   *prometheus.CounterVec
	sendTook, sendWaited                              prometheus.Observer
	piecesSent, conversationsLost                     prometheus.Counter
	quarantined                                       *prometheus.CounterVec
	dropped, droppedBytes, mended                     prometheus.Counter
	announced, leases                                 *prometheus.CounterVec
	renewed, told                                     prometheus.Counter
	schedulers                                        prometheus.Gauge
	served                                            *prometheus.CounterVec
	schedulersDown, schedulersSilent, sourceRetries   prometheus.Counter
}

// NewDaemon registers the daemon's metrics.
func NewDaemon(r *Registry, log *slog.Logger, t *Tracing) *Daemon {
	task := []string{"type", "tag", "app", "priority"}
	d := &Daemon{log: log, reg: r, spans: t.spans(),
		downloads:         r.counters("dragonfly_client_download_task_total", "Downloads that began.", task...),
		failures:          r.counters("dragonfly_client_download_task_failure_total", "Downloads that failed.", task...),
		prefetches:        r.counters("dragonfly_client_prefetch_task_total", "Prefetches that began.", task...),
		prefetchFailures:  r.counters("dragonfly_client_prefetch_task_failure_total", "Prefetches that failed.", task...),
		running:           r.gauges("dragonfly_client_concurrent_download_task_total", "Downloads that run now.", task...),
		took:              r.histograms("dragonfly_client_download_task_duration_milliseconds", "Time from the begin of a download to its good end.", milliseconds, "task_type", "task_size_level"),
		avoided:           r.counter("darter_origin_avoided_bytes_total", "Bytes that came from peers or from the store instead of the origin."),
		uploaded:          r.counter("dragonfly_client_upload_traffic", "Bytes of pieces served to peers."),
		sourceRequests:    r.counters("dragonfly_client_backend_request_total", "Requests to sources.", "scheme", "method"),
		sourceFailures:    r.counters("dragonfly_client_backend_request_failure_total", "Requests to sources that failed.", "scheme", "method"),
		sourceTook:        r.histograms("dragonfly_client_backend_request_duration_milliseconds", "Time of requests to sources, body included.", milliseconds, "scheme", "method"),
		asksFailed:        r.counters("darter_piece_requests_failed_total", "Requests for pieces that a parent did not fulfil.", "reason"),
		fallbacks:         r.counters("darter_fallbacks_total", "Times the source was asked without the scheduler's word.", "reason"),
		rejected:          r.counters("darter_uploads_rejected_total", "Requests of peers that got no piece.", "reason"),
		sendTook:          r.histograms("darter_piece_send_seconds", "Time to send one piece to a peer.", seconds).WithLabelValues(),
		sendWaited:        r.histograms("darter_piece_wait_seconds", "Time a peer's request waited for an upload slot.", seconds).WithLabelValues(),
		piecesSent:        r.counter("darter_pieces_sent_total", "Pieces served to peers."),
		conversationsLost: r.counter("darter_scheduler_conversations_lost_total", "Conversations about a download that broke before their end."),
		quarantined:       r.counters("darter_store_quarantined_total", "Stored tasks that were not adopted at start.", "reason"),
		dropped:           r.counter("darter_store_dropped_pieces_total", "Pieces whose bytes did not match their checksum after a crash."),
		droppedBytes:      r.counter("darter_store_dropped_bytes_total", "Bytes of such pieces."),
		mended:            r.counter("darter_store_mended_records_total", "Damaged piece records that were skipped."),
		announced:         r.counters("darter_announcements_total", "Announcements to schedulers, by outcome.", "outcome"),
		leases:            r.counters("darter_leases_total", "Leases with schedulers, by what became of them.", "outcome"),
		renewed:           r.counter("darter_lease_renewals_total", "Renewals that schedulers granted."),
		told:              r.counter("darter_inventory_told_total", "Locations that schedulers asked for and were told."),
		served:            r.counters("darter_upload_calls_total", "Calls of other hosts and schedulers.", "method", "outcome"),
		schedulersSilent:  r.counter("darter_scheduler_silences_total", "Times a scheduler owed an answer and gave no sign of life."),
		schedulersDown:    r.counter("darter_scheduler_failures_total", "Times a scheduler failed and was left alone for a while."),
		sourceRetries:     r.counter("darter_source_retries_total", "Requests to sources that were tried again."),
		schedulers:        r.gauges("darter_schedulers_known", "Schedulers in the set in force.").WithLabelValues(),
	}
	d.begun.tasks = map[darter.TaskID]bool{}
	traffic := r.counters("dragonfly_client_download_traffic", "Bytes that downloads received, by where they came from.", "type")
	bytes := r.counters("darter_bytes_total", "Bytes that downloads received, by where they came from.", "source")
	for t, name := range [...]string{darter.FromSource: "BACK_TO_SOURCE", darter.FromPeer: "REMOTE_PEER", darter.FromCache: "LOCAL_PEER"} {
		d.traffic[t] = traffic.WithLabelValues(name)
		d.bytes[t] = bytes.WithLabelValues(darter.Traffic(t).String())
	}
	return d
}

// WatchStore adds the gauges of the content store, asked at each scrape.
func (d *Daemon) WatchStore(usage func() store.Usage) {
	d.reg.ask("darter_cache_bytes", "Bytes of pieces held in the store.", func() float64 { return float64(usage().Held) })
	d.reg.ask("darter_cache_tasks", "Tasks in the store.", func() float64 { return float64(usage().Tasks) })
	d.reg.ask("dragonfly_client_disk_usage_space_total", "Bytes that the store uses.", func() float64 { return float64(usage().Held) })
	d.reg.ask("dragonfly_client_disk_space_total", "Bytes that the store uses and may use.", func() float64 {
		u := usage()
		return float64(u.Held + max(0, u.Free))
	})
}

func (d *Daemon) labels(w darter.Want) []string {
	return []string{standard, d.tags.value(w.Tag), d.apps.value(w.Application), strconv.Itoa(int(w.Priority))}
}

// Events returns what the daemon role is to call.
func (d *Daemon) Events() daemon.Events {
	return daemon.Events{
		Fetch: d.fetchEvents(), Pieces: d.pieceEvents(), Store: d.storeEvents(), Announce: d.announceEvents(), Membership: d.membershipEvents(),
		Upload: rpc.UploadEvents{Served: func(method string, _ time.Duration, err error) {
			d.served.WithLabelValues(bare(method), outcome(err)).Inc()
		}},
		Socket: rpc.SocketEvents{Refused: func(method string, uid uint32, err error) {
			d.log.Warn("refused a local client", "method", bare(method), "uid", uid, "error", err)
		}},
		Schedulers: rpc.SchedulersEvents{
			Down: func(at netip.AddrPort, err error) {
				d.schedulersDown.Inc()
				d.log.Warn("a scheduler failed and is left alone for a while", "scheduler", at.String(), "error", err)
			},
			Returned: func(at netip.AddrPort) { d.log.Info("a scheduler is back", "scheduler", at.String()) },
			Silent: func(at netip.AddrPort) {
				d.schedulersSilent.Inc()
				d.log.Warn("a scheduler gives no sign of life; downloads go on without it until it does", "scheduler", at.String())
			},
			Awake: func(at netip.AddrPort) { d.log.Info("a silent scheduler speaks again", "scheduler", at.String()) },
		},
		Source: httpsource.Events{
			Retried: func(host string, err error) {
				d.sourceRetries.Inc()
				d.log.Debug("asks the source again", "host", host, "error", err)
			},
			Redirected: func(from, to string) { d.log.Debug("the source redirects", "from", from, "to", to) },
		},
		Recalled: func(tasks, failed int) {
			d.log.Info("told the schedulers what this host holds", "tasks", tasks, "failed", failed)
		},
	}
}

// bare cuts the service off a gRPC method.
func bare(method string) string { return method[strings.LastIndexByte(method, '/')+1:] }

func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return darter.KindOf(err).String()
}

// fetchEvents is what package fetch calls.
func (d *Daemon) fetchEvents() fetch.Events {
	return fetch.Events{
		Started: d.DownloadStarted, Ended: d.DownloadEnded, Piece: d.pieceDone, Failed: d.askFailed, Fallback: d.fellBack, Source: d.sourceAsked,
		Lost: func(task darter.TaskID, _ darter.PeerID, err error) {
			d.conversationsLost.Inc()
			d.log.Warn("conversation with the scheduler broke", "task", task, "error", err)
		},
	}
}

// DownloadStarted counts a download that begins.
func (d *Daemon) DownloadStarted(b fetch.Begun) {
	labels := d.labels(b.Want)
	if b.Want.IsPrefetch {
		d.prefetches.WithLabelValues(labels...).Inc()
	}
	d.downloads.WithLabelValues(labels...).Inc()
	d.running.WithLabelValues(labels...).Inc()
	d.begun.Lock()
	d.begun.tasks[b.Task] = true
	d.begun.Unlock()
	d.spans.begin(b)
	d.log.Debug("download begins", "task", b.Task, "peer", b.Peer, "url", b.URL, "held_pieces", b.Held)
}

// DownloadEnded counts and logs a download that ended: one line each.
func (d *Daemon) DownloadEnded(e fetch.Ended) {
	labels := d.labels(e.Want)
	d.spans.end(e)
	if d.ran(e.Task) {
		d.running.WithLabelValues(labels...).Dec()
	} else {
		d.downloads.WithLabelValues(labels...).Inc()
	}
	line := []any{"task", e.Task, "url", e.URL, "from_origin", e.Bytes[darter.FromSource], "from_peers", e.Bytes[darter.FromPeer],
		"from_cache", e.Bytes[darter.FromCache], "seconds", e.Took.Seconds()}
	switch {
	case e.Err == nil:
		if here := e.Bytes[darter.FromCache]; here > 0 {
			d.received(darter.FromCache, here)
		}
		if size := e.Bytes[darter.FromSource] + e.Bytes[darter.FromPeer]; size > 0 { // nothing moved when the store had it all
			d.took.WithLabelValues(standard, strconv.Itoa(sizeLevel(size))).Observe(float64(e.Took.Milliseconds()))
		}
		d.log.Info("download finished", line...)
	case e.Abandoned:
		d.log.Info("download left by everybody who waited", line...)
	default:
		if e.Want.IsPrefetch {
			d.prefetchFailures.WithLabelValues(labels...).Inc()
		}
		d.failures.WithLabelValues(labels...).Inc()
		d.log.Warn("download failed", append(line, "kind", darter.KindOf(e.Err).String(), "error", e.Err, "hint", darter.HintOf(e.Err))...)
	}
}

// ran reports, once, whether the download had begun.
func (d *Daemon) ran(task darter.TaskID) bool {
	d.begun.Lock()
	defer d.begun.Unlock()
	yes := d.begun.tasks[task]
	delete(d.begun.tasks, task)
	return yes
}

func (d *Daemon) pieceDone(_ darter.TaskID, p darter.Piece) {
	if int(p.Traffic) >= len(d.traffic) {
		return
	}
	d.received(p.Traffic, p.Length)
}

// received counts bytes of downloads. Those that were in the store are counted when the download has ended well.
func (d *Daemon) received(from darter.Traffic, n int64) {
	d.traffic[from].Add(float64(n))
	d.bytes[from].Add(float64(n))
	if from != darter.FromSource {
		d.avoided.Add(float64(n))
	}
}

func (d *Daemon) askFailed(task darter.TaskID, peer darter.PeerID, why fetch.FailReason) {
	d.asksFailed.WithLabelValues(string(why)).Inc()
	d.spans.note(task, "piece not delivered: "+string(why))
	if why == fetch.BadBytes {
		d.log.Warn("a parent sent wrong bytes", "task", task, "parent", peer)
		return
	}
	d.log.Debug("a parent did not deliver a piece", "task", task, "parent", peer, "reason", string(why))
}

func (d *Daemon) fellBack(task darter.TaskID, why fetch.FallbackReason) {
	d.fallbacks.WithLabelValues(string(why)).Inc()
	d.spans.note(task, "fallback: "+string(why))
	what := "goes to the source without the scheduler's word"
	if why == fetch.NoSource {
		what = "the source does not answer, peers serve"
	}
	d.log.Info(what, "task", task, "reason", string(why))
}

func (d *Daemon) sourceAsked(raw string, took time.Duration, err error) {
	scheme := "other"
	if u, perr := url.Parse(raw); perr == nil && (u.Scheme == "http" || u.Scheme == "https") {
		scheme = u.Scheme
	}
	d.spans.source(raw, took, err)
	d.sourceRequests.WithLabelValues(scheme, "GET").Inc()
	d.sourceTook.WithLabelValues(scheme, "GET").Observe(float64(took.Milliseconds()))
	if err == nil {
		return
	}
	d.sourceFailures.WithLabelValues(scheme, "GET").Inc()
	if answer, ok := errors.AsType[*source.Error](err); ok {
		d.log.Debug("the source answered an error", "url", raw, "status", answer.Status)
	}
}

// pieceEvents is what the piece server is to call.
func (d *Daemon) pieceEvents() vortex.ServerEvents {
	return vortex.ServerEvents{
		PieceSent: func(s vortex.PieceSent) {
			d.uploaded.Add(float64(s.Bytes))
			d.piecesSent.Inc()
			d.sendTook.Observe(s.Duration.Seconds())
			d.sendWaited.Observe(s.Waited.Seconds())
		},
		Rejected: func(r vortex.Rejected) { d.rejected.WithLabelValues(string(r.Why)).Inc() },
	}
}

// storeEvents is what the content store is to call.
func (d *Daemon) storeEvents() disk.Events {
	return disk.Events{
		Quarantined: func(q disk.Quarantined) {
			d.quarantined.WithLabelValues(string(q.Reason)).Inc()
			d.log.Warn("a stored task was not adopted", "task", q.ID, "reason", string(q.Reason), "error", q.Err)
		},
		Dropped: func(x disk.Dropped) {
			d.dropped.Add(float64(x.Pieces.Len()))
			d.droppedBytes.Add(float64(x.Bytes))
			d.log.Warn("pieces did not survive a crash; they will be fetched again", "task", x.ID, "pieces", x.Pieces.String(), "bytes", x.Bytes)
		},
		Mended: func(m disk.Mended) {
			d.mended.Add(float64(m.Records))
			d.log.Warn("damaged piece records were skipped", "task", m.ID, "records", m.Records)
		},
		Adopted: func(a disk.Adopted) {
			d.log.Info("store opened", "tasks", a.Tasks, "complete", a.Complete, "bytes", a.Bytes, "to_check", a.Suspect, "seconds", a.Took.Seconds())
		},
	}
}

// announceEvents is what the announcer is to call.
func (d *Daemon) announceEvents() announce.Events {
	return announce.Events{
		Announced: func(at netip.AddrPort, took time.Duration) {
			d.announced.WithLabelValues("ok").Inc()
			d.log.Debug("announced", "scheduler", at.String(), "seconds", took.Seconds())
		},
		Failed: func(at netip.AddrPort, err error) {
			d.announced.WithLabelValues("failed").Inc()
			d.log.Warn("a scheduler did not take the announcement; it is tried again", "scheduler", at.String(), "error", err)
		},
		Left: func(at netip.AddrPort, err error) {
			d.announced.WithLabelValues("left").Inc()
			d.log.Info("told the scheduler that this host leaves", "scheduler", at.String(), "error", err)
		},
		Leased: func(at netip.AddrPort, next time.Duration) {
			d.leases.WithLabelValues("granted").Inc()
			d.log.Info("a scheduler granted a lease", "scheduler", at.String(), "renew_seconds", next.Seconds())
		},
		Renewed: func(netip.AddrPort) { d.renewed.Inc() },
		LeaseEnded: func(at netip.AddrPort, err error) {
			if darter.KindOf(err) == darter.NotFound {
				d.leases.WithLabelValues("none").Inc()
				d.log.Debug("a scheduler grants no leases; it hears announcements", "scheduler", at.String())
				return
			}
			d.leases.WithLabelValues("ended").Inc()
			d.log.Warn("a lease ended; another one is asked for, and announcements go on", "scheduler", at.String(), "error", err)
		},
		Superseded: func(at netip.AddrPort, later darter.Epoch) {
			d.leases.WithLabelValues("superseded").Inc()
			d.log.Error("a scheduler listens to a later run of this host: two machines use one host id, or a clock went back", "scheduler", at.String(), "later_epoch", uint64(later))
		},
		Told: func(_ netip.AddrPort, locations int) { d.told.Add(float64(locations)) },
	}
}

// membershipEvents is what the membership of schedulers is to call.
func (d *Daemon) membershipEvents() announce.MembershipEvents {
	return announce.MembershipEvents{
		Changed: func(set []netip.AddrPort) {
			d.schedulers.Set(float64(len(set)))
			d.log.Info("schedulers", "set", set)
		},
		Failed: func(err error) {
			d.log.Warn("cannot learn which schedulers there are; the last set stays", "error", err)
		},
		Unwell: func(at netip.AddrPort, err error) {
			d.log.Warn("a scheduler does not serve", "scheduler", at.String(), "error", err)
		},
		FromFile: func(set []netip.AddrPort, file string) {
			d.schedulers.Set(float64(len(set)))
			d.log.Info("schedulers from an earlier run", "set", set, "file", file)
		},
	}
}

// sizeLevel sorts a size into the levels 0 to 20 that Dragonfly's dashboards know.
func sizeLevel(n int64) int {
	const mib = 1 << 20
	if n <= 0 {
		return 0
	}
	for i, limit := range [...]int64{1, 4, 8, 16, 32, 64, 128, 256, 512, 1 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10,
		128 << 10, 256 << 10, 512 << 10, 1 << 20} {
		if n < limit*mib {
			return i + 1
		}
	}
	return 20
}
