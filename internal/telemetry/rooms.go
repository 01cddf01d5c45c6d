package telemetry

import (
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager"
	"github.com/darter-p2p/darter/internal/manager/auth/account"
	"github.com/darter-p2p/darter/internal/manager/catalog"
	"github.com/darter-p2p/darter/internal/manager/notify"
	"github.com/darter-p2p/darter/internal/rest"
)

// Manager turns the manager's events into metrics and log lines.
type Manager struct {
	log     *slog.Logger
	records *recordsSink
	jobs    *jobsSink

	searches, joined, lost prometheus.Counter
	listed                 prometheus.Gauge

	database   *prometheus.HistogramVec
	dbFailures *prometheus.CounterVec
	dbRetries  prometheus.Counter
	listening  prometheus.Gauge
	leases     *prometheus.CounterVec

	members, hosts *prometheus.CounterVec
	version        *prometheus.GaugeVec
	propagation    prometheus.Observer

	refused, signIns *prometheus.CounterVec
	accountFailures  prometheus.Counter

	requests *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	problems *prometheus.CounterVec
	streams  *prometheus.GaugeVec
	mistakes prometheus.Counter

	announced, delivered, undelivered *prometheus.CounterVec
	deliverySeconds                   prometheus.Observer
	newsFailures                      prometheus.Counter

	callNames  bounded
	eventNames bounded
}

var (
	statementBuckets   = []float64{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10}
	propagationBuckets = []float64{0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 30}
	longBuckets        = []float64{0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 21600}
)

// NewManager registers the manager's metrics.
func NewManager(r *Registry, log *slog.Logger) *Manager {
	const p = "darter_manager_"
	return &Manager{log: log, records: newRecordsSink(r, log), jobs: newJobsSink(r, log),
		searches: r.counters("dragonfly_manager_search_scheduler_cluster_total", "Times a daemon asked for schedulers.", "version", "commit").WithLabelValues("", ""),
		joined:   r.counter(p+"schedulers_joined_total", "Schedulers that announced themselves, or came back."),
		lost:     r.counter(p+"schedulers_lost_total", "Schedulers that went silent."),
		listed:   r.gauges(p+"schedulers_listed", "Schedulers named in the last answer.").WithLabelValues(),

		database:   r.histograms(p+"database_seconds", "Time of transactions, with all their attempts.", statementBuckets, "write"),
		dbFailures: r.counters(p+"database_failures_total", "Transactions that failed.", "write", "kind"),
		dbRetries:  r.counter(p+"database_retries_total", "Transactions that were tried again."),
		listening:  r.gauges(p+"database_listening", "Whether notifications of other managers arrive; polling goes on without.").WithLabelValues(),
		leases:     r.counters(p+"lease_changes_total", "Leases that changed hands, by scope.", "scope", "change"),

		members:     r.counters(p+"members_total", "What became of schedulers and seed peers.", "kind", "what"),
		hosts:       r.counters(p+"host_events_total", "Changes of what all schedulers together think of a host.", "verdict"),
		version:     r.gauges("darter_policy_version", "Version of each document that this manager follows.", "class", "name"),
		propagation: r.histograms("darter_policy_propagation_seconds", "Time from publishing a document until this manager follows it.", propagationBuckets).WithLabelValues(),

		refused:         r.counters(p+"credentials_refused_total", "Credentials that were not accepted.", "method", "why"),
		signIns:         r.counters(p+"sign_ins_total", "Sessions that were opened.", "method"),
		accountFailures: r.counter(p+"account_failures_total", "Background work on accounts that failed and is tried again."),

		requests:        r.counters("dragonfly_manager_requests_total", "HTTP requests.", "code", "method", "url"),
		latency:         r.histograms("dragonfly_manager_request_duration_seconds", "Time of HTTP requests, streams apart.", statementBuckets, "method", "url"),
		problems:        r.counters(p+"problems_total", "HTTP answers that were problems, by code.", "code"),
		streams:         r.gauges(p+"event_streams", "Event streams that are open.", "url"),
		announced:       r.counters(p+"events_total", "Events of the journal, tried transactions counted too.", "type"),
		delivered:       r.counters(p+"notifications_total", "Deliveries to webhooks that ended.", "outcome"),
		undelivered:     r.counters(p+"notification_failures_total", "Tries of deliveries that failed, by how many came before.", "tries"),
		deliverySeconds: r.histograms(p+"notification_seconds", "Time of deliveries that a webhook took.", statementBuckets).WithLabelValues(),
		newsFailures:    r.counter(p+"notification_loop_failures_total", "Turns over events and deliveries that failed; they go on."),

		mistakes: r.counter(p+"internal_errors_total", "Requests that failed by a mistake of ours."),
	}
}

// Events returns what the manager role is to call.
func (m *Manager) Events() manager.Events {
	return manager.Events{
		SchedulerJoined: func(manager.Scheduler) { m.joined.Inc() },
		SchedulerLost:   func(manager.Scheduler) { m.lost.Inc() },
		Listed: func(_ netip.Addr, n int) {
			m.searches.Inc()
			m.listed.Set(float64(n))
		},
		Database: m.databaseEvents(), Catalog: m.catalogEvents(), Accounts: m.accountEvents(), REST: m.restEvents(), Notify: m.newsEvents(),
		Jobs: m.jobs.events(), Control: m.jobs.control(), Records: m.records.events(),
	}
}

func (m *Manager) databaseEvents() database.Events {
	return database.Events{
		Retried: func(error) { m.dbRetries.Inc() },
		Listening: func(on bool, err error) {
			m.listening.Set(number(on))
			if !on {
				m.log.Warn("notifications of other managers do not arrive; changes are polled for", "error", err)
			}
		},
		Lease: func(c database.LeaseChange) {
			change := "released"
			switch {
			case c.Gained:
				change = "gained"
			case c.Err != nil:
				change = "lost"
				m.log.Warn("a lease was lost", "scope", c.Lease.Scope, "error", c.Err)
			}
			m.leases.WithLabelValues(c.Lease.Scope, change).Inc()
		},
		Finished: func(write bool, d database.Duration) {
			w := strconv.FormatBool(write)
			m.database.WithLabelValues(w).Observe(d.Took.Seconds())
			if k := darter.KindOf(d.Err); d.Err != nil && k != darter.NotFound && k != darter.Conflict && k != darter.Invalid && k != darter.Denied {
				m.dbFailures.WithLabelValues(w, k.String()).Inc()
			}
		},
	}
}

func number(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

func (m *Manager) catalogEvents() catalog.Events {
	return catalog.Events{
		Published: func(d catalog.Document) {
			m.log.Info("published", "class", d.Class, "name", d.Name, "version", d.Number, "author", d.Author.ID)
		},
		Applied: func(d catalog.Document, behind time.Duration) {
			m.propagation.Observe(behind.Seconds())
			if d.Class != catalog.ClusterClass { // clusters are as many as people make
				m.version.WithLabelValues(d.Class, d.Name).Set(float64(d.Number))
			}
		},
		Joined: func(x catalog.Member) { m.members.WithLabelValues(string(x.Kind), "joined").Inc() },
		Silent: func(x catalog.Member) { m.members.WithLabelValues(string(x.Kind), "silent").Inc() },
		Host:   func(e catalog.HostEvent) { m.hosts.WithLabelValues(string(e.Verdict)).Inc() },
	}
}

func (m *Manager) accountEvents() account.Events {
	return account.Events{
		Refused:  func(method, why string) { m.refused.WithLabelValues(method, why).Inc() },
		SignedIn: func(method string) { m.signIns.WithLabelValues(method).Inc() },
		Failed: func(err error) {
			m.accountFailures.Inc()
			m.log.Warn("work on accounts failed and is tried again", "error", err)
		},
	}
}

func (m *Manager) newsEvents() notify.Events {
	return notify.Events{
		Announced: func(event string) { m.announced.WithLabelValues(m.eventNames.value(event)).Inc() },
		Delivered: func(_ string, took time.Duration) {
			m.delivered.WithLabelValues("delivered").Inc()
			m.deliverySeconds.Observe(took.Seconds())
		},
		Refused: func(target string, attempt int, err error) {
			tries := "first"
			if attempt > 1 {
				tries = "further"
			}
			m.undelivered.WithLabelValues(tries).Inc()
			m.log.Debug("a webhook did not take an event; it is tried again", "target", target, "attempt", attempt, "error", err)
		},
		GivenUp: func(target, why string) {
			m.delivered.WithLabelValues("given_up").Inc()
			m.log.Warn("an event was given up for a webhook", "target", target, "reason", why)
		},
		Failed: func(what string, err error) {
			m.newsFailures.Inc()
			m.log.Warn("notifications: could not "+what, "error", err)
		},
	}
}

func (m *Manager) restEvents() rest.Events {
	return rest.Events{
		Served: func(s rest.Served) {
			method := m.callNames.value(s.Method)
			m.requests.WithLabelValues(strconv.Itoa(s.Status), method, s.Route).Inc()
			if s.Route != "" && !strings.HasSuffix(s.Route, ":stream") && !strings.HasSuffix(s.Route, ":watch") {
				m.latency.WithLabelValues(method, s.Route).Observe(s.Took.Seconds())
			}
			if s.Code != "" {
				m.problems.WithLabelValues(s.Code).Inc()
			}
			m.log.Debug("served", "request_id", s.Request, "method", s.Method, "route", s.Route, "status", s.Status, "bytes", s.Bytes, "seconds", s.Took.Seconds(), "actor", s.Actor.ID)
		},
		Failed: func(request, route string, err error) {
			m.mistakes.Inc()
			m.log.Error("a request failed by a mistake of ours", "request_id", request, "route", route, "error", err)
		},
		Streamed: func(route string, open int) { m.streams.WithLabelValues(route).Add(float64(open)) },
	}
}
