package telemetry

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/liveness"
	"github.com/darter-p2p/darter/internal/scheduler/rpc"
	"github.com/darter-p2p/darter/internal/scheduler/swarm"
)

// Liveness turns what the scheduler thinks of hosts into metrics and log lines.
type Liveness struct {
	log *slog.Logger
	reg *Registry

	transitions, exits, probes       *prometheus.CounterVec
	repairs, orders, policies        *prometheus.CounterVec
	detect                           *prometheus.HistogramVec
	cleanup, slice, lateness, jitter prometheus.Observer
	items                            *prometheus.CounterVec // of inventories
	leases                           prometheus.Gauge
	compared                         prometheus.Counter

	mu struct {
		sync.Mutex
		down map[darter.HostID]time.Time // since when hosts that are to be forgotten were offline or left
	}
}

var (
	detectBuckets  = []float64{0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 90, 120, 300, 600, 900, 1800}
	cleanupBuckets = []float64{0.1, 1, 10, 60, 300, 330, 360, 420, 600, 1800, 3600, 21600, 86400}
	pauseBuckets   = []float64{0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25}
	latenessBucket = []float64{0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 60}
	jitterBuckets  = []float64{0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 8, 32}
)

// NewLiveness registers the metrics.
func NewLiveness(r *Registry, log *slog.Logger) *Liveness {
	const p = "darter_scheduler_"
	l := &Liveness{log: log, reg: r,
		transitions: r.counters(p+"host_transitions_total", "Changes of what is thought of a host.", "from", "to", "reason"),
		exits:       r.counters(p+"host_exits_total", "Runs of hosts that ended, by how.", "type"),
		probes:      r.counters(p+"host_probes_total", "Hosts in doubt that were asked.", "result"),
		repairs:     r.counters(p+"invariant_repairs_total", "Records at odds with one another that the auditor mended.", "kind"),
		orders:      r.counters(p+"orders_total", "Orders of operators.", "what", "outcome"),
		policies:    r.counters(p+"liveness_policies_total", "Liveness policies that were read.", "outcome"),
		detect:      r.histograms(p+"host_detect_seconds", "Time from the last sign of a host to its being suspect or offline.", detectBuckets, "to", "evidence"),
		cleanup:     r.histograms(p+"host_cleanup_seconds", "Time from a host's leave, or its being offline, until nothing is left of it.", cleanupBuckets).WithLabelValues(),
		slice:       r.histograms(p+"slice_pause_seconds", "Time that one turn over deadlines kept everything else waiting.", pauseBuckets).WithLabelValues(),
		lateness:    r.histograms(p+"scan_lateness_seconds", "How long the first deadline of a turn had been due.", latenessBucket).WithLabelValues(),
		jitter:      r.histograms(p+"scan_jitter_ratio", "How late a turn itself came, as a share of the time between two.", jitterBuckets).WithLabelValues(),
		items:       r.counters(p+"inventory_items_total", "Locations that inventories told of.", "what"),
		leases:      r.gauges(p+"leases", "Streams of hosts that hold a lease.").WithLabelValues(),
		compared:    r.counter(p+"inventory_comparisons_total", "Comparisons of inventories that ended."),
	}
	l.mu.down = map[darter.HostID]time.Time{}
	return l
}

// Into adds what is to be called to the scheduler's events.
func (l *Liveness) Into(e *rpc.Events) {
	e.Verdict, e.Noted, e.GuardChanged, e.HealthChanged = l.verdict, l.noted, l.guard, l.health
	e.PolicyApplied, e.Probed, e.Sliced, e.Ordered, e.Reclaimed = l.policy, l.probed, l.sliced, l.ordered, l.reclaimed
	e.Repaired = func(r swarm.Repaired) {
		l.repairs.WithLabelValues(r.Kind).Inc()
		l.log.Error("mended records that were at odds: please report this", "kind", r.Kind, "what", r.What)
	}
	e.Disproved = func(d swarm.Disproved) {
		l.items.WithLabelValues("disproved").Inc()
		l.log.Info("a host does not hold what it was believed to", "host", d.Host, "task", d.Task, "child", d.By)
	}
	e.InventoryTaken = func(t swarm.InventoryTaken) {
		l.items.WithLabelValues("added").Add(float64(t.Added))
		l.items.WithLabelValues("removed").Add(float64(t.Removed))
		l.items.WithLabelValues("refused").Add(float64(t.Refused))
	}
	e.Lease = rpc.LeaseEvents{
		Opened: func(darter.HostID, rpc.LeaseConn) { l.leases.Inc() },
		Ended: func(host darter.HostID, _ rpc.LeaseConn, err error) {
			if host != "" { // else it never opened
				l.leases.Dec()
			}
			if err != nil {
				l.log.Debug("a lease ended", "host", host, "error", err)
			}
		},
		Compared: func(c rpc.Compared) {
			l.compared.Inc()
			l.log.Info("compared an inventory", "host", c.Host, "gained", c.Gained, "lost", c.Lost, "answers", c.Answers, "seconds", c.Took.Seconds())
		},
	}
}

func (l *Liveness) verdict(v liveness.Verdict) {
	from := v.From.String()
	if v.From == 0 {
		from = "new"
	}
	l.transitions.WithLabelValues(from, v.To.String(), v.Reason.String()).Inc()
	if v.Exit != darter.Running {
		l.exits.WithLabelValues(v.Exit.String()).Inc()
	}
	if v.To == darter.Suspect || v.To == darter.Offline {
		l.detect.WithLabelValues(v.To.String(), v.Sign.String()).Observe(v.Detect.Seconds())
	}
	l.mu.Lock()
	switch v.To {
	case darter.Offline, darter.Left:
		if _, known := l.mu.down[v.Host]; !known {
			l.mu.down[v.Host] = time.Now()
		}
	case darter.Alive, darter.Late, darter.Suspect, darter.Draining:
		delete(l.mu.down, v.Host)
	}
	l.mu.Unlock()
	say := l.log.Info
	switch {
	case v.To == darter.Late || v.From == 0 && v.To == darter.Alive:
		say = l.log.Debug // ordinary; a join has a line of its own
	case v.To == darter.Offline:
		say = l.log.Warn
	}
	say("a host is "+v.To.String(), "host", v.Host, "epoch", uint64(v.Epoch), "was", from, "reason", v.Reason.String(), "evidence", v.Sign.String(),
		"zone", v.Zone.String(), "quiet_seconds", v.Detect.Seconds(), "policy", v.Policy)
}

func (l *Liveness) reclaimed(r swarm.Reclaimed) {
	l.mu.Lock()
	since, known := l.mu.down[r.Host]
	delete(l.mu.down, r.Host)
	l.mu.Unlock()
	if known {
		l.cleanup.Observe(time.Since(since).Seconds())
	}
	l.log.Info("nothing is left of a host", "host", r.Host, "peers", r.Peers, "locations", r.Locations)
}

func (l *Liveness) noted(n liveness.Noted) {
	l.log.Info("noted of a host", "host", n.Host, "what", n.Reason.String(), "times", n.Times)
}

func (l *Liveness) guard(g liveness.GuardChanged) {
	say := l.log.Warn
	if g.To < g.From {
		say = l.log.Info
	}
	say("the guard against mass failures is "+g.To.String(), "zone", g.Zone.String(), "was", g.From.String(), "hosts", g.Hosts, "down", g.Down, "why", g.Why)
}

func (l *Liveness) health(h liveness.HealthChanged) {
	l.log.Warn("this scheduler's own health changed: suspicion is stretched by it", "from", h.From, "to", h.To, "why", h.Why)
}

func (l *Liveness) policy(p rpc.PolicyApplied) {
	l.policies.WithLabelValues(outcome(p.Err)).Inc()
	if p.Err != nil {
		l.log.Error("the liveness policy was refused; the one in force stays", "source", p.Source, "in_force", p.Number, "error", p.Err)
		return
	}
	l.log.Info("a liveness policy is in force", "source", p.Source, "number", p.Number)
}

func (l *Liveness) probed(p rpc.Probed) {
	result := "answered"
	if !p.OK {
		result = "failed"
	}
	l.probes.WithLabelValues(result).Inc()
	l.log.Debug("asked a host in doubt", "host", p.Host, "ok", p.OK, "error", p.Err)
}

func (l *Liveness) sliced(s rpc.Slice) {
	l.slice.Observe(s.Took.Seconds())
	l.lateness.Observe(s.Late.Seconds())
	l.jitter.Observe(s.Lag.Seconds() / max(s.Every.Seconds(), 0.001))
}

func (l *Liveness) ordered(o rpc.Ordered) {
	l.orders.WithLabelValues(o.What, outcome(o.Err)).Inc()
	l.log.Warn("an operator gave an order", "what", o.What, "whom", o.Whom, "why", o.Why, "error", o.Err)
}

// Known is a scheduler, asked at each scrape.
type Known interface {
	Liveness() (liveness.Stats, []darter.ZoneStatus)
	Swarm() (swarm.Tally, int)
}

// Watch adds what is asked for at each scrape.
func (l *Liveness) Watch(k Known) { l.reg.prom.MustRegister(&rosterGauges{of: k}) }

// rosterGauges asks once per scrape and tells many things.
type rosterGauges struct {
	of    Known
	zones bounded
}

// told says what rosterGauges tells: by name, the help and the label.
var told = map[string][2]string{
	"hosts_by_state":              {"Hosts known, by what is thought of them.", "state"},
	"host_oddities_total":         {"Odd things about hosts that were counted.", "reason"},
	"false_offline_total":         {"Hosts that were counted as offline and came back with the same run.", ""},
	"stale_leaves_ignored_total":  {"Leaves of earlier runs that were ignored.", ""},
	"self_health":                 {"What suspicion is stretched by because this scheduler itself fares badly: 1 is well, 8 the worst.", ""},
	"self_fault":                  {"1 while everybody is silent and the fault is sought here.", ""},
	"tombstones":                  {"Hosts of which only a tombstone is left.", ""},
	"lease_interval_seconds":      {"Interval of a lease that is granted now, before jitter.", ""},
	"locations":                   {"Copies of which nothing but the location is kept.", ""},
	"dead_parent_offers_total":    {"Offers of hosts that turned out to be offline, after their last sign.", ""},
	"last_resort_offers_total":    {"Offers of suspect hosts for want of others.", ""},
	"locations_evicted_total":     {"Locations that went because there were too many.", ""},
	"registrations_refused_total": {"Registrations for which there was no room.", ""},
	"guard_state":                 {"Guard against mass failures: 0 open, 1 overridden, 2 partial, 3 full, 4 the fault is sought here.", "zone"},
	"zone_hosts":                  {"Hosts of a zone.", "zone"},
	"zone_hosts_down":             {"Hosts of a zone that are suspect or offline.", "zone"},
	"zone_hosts_waiting":          {"Hosts of a zone that would be forgotten if the guard let them.", "zone"},
}

func desc(name string) *prometheus.Desc {
	var labels []string
	if told[name][1] != "" {
		labels = []string{told[name][1]}
	}
	return prometheus.NewDesc("darter_scheduler_"+name, told[name][0], labels, nil)
}

// Describe implements prometheus.Collector.
func (g *rosterGauges) Describe(out chan<- *prometheus.Desc) {
	for name := range told {
		out <- desc(name)
	}
}

// Collect implements prometheus.Collector.
func (g *rosterGauges) Collect(out chan<- prometheus.Metric) {
	stats, zones := g.of.Liveness()
	tally, locations := g.of.Swarm()
	gauge := func(name string, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc(name), prometheus.GaugeValue, v, labels...)
	}
	count := func(name string, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc(name), prometheus.CounterValue, float64(v), labels...)
	}
	for v := darter.Alive; v <= darter.Left; v++ {
		gauge("hosts_by_state", float64(stats.Hosts[v]), v.String())
	}
	for reason, n := range stats.Notes {
		if n > 0 {
			count("host_oddities_total", n, liveness.Reason(reason).String())
		}
	}
	count("false_offline_total", stats.Notes[liveness.FalseOffline])
	count("stale_leaves_ignored_total", stats.Notes[liveness.StaleLeave])
	count("dead_parent_offers_total", tally.DeadOffers)
	count("last_resort_offers_total", tally.LastResort)
	count("locations_evicted_total", tally.Evicted)
	count("registrations_refused_total", tally.Refused)
	gauge("self_health", float64(stats.Multiplier))
	gauge("tombstones", float64(stats.Tombstones))
	gauge("lease_interval_seconds", stats.Interval.Seconds())
	gauge("locations", float64(locations))
	self := 0.0
	if stats.SelfFault {
		self = 1
	}
	gauge("self_fault", self)
	g.collectZones(gauge, zones)
}

// guardLevels are the values of the guard's gauge.
var guardLevels = map[string]float64{"open": 0, "overridden": 1, "partial": 2, "full": 3, "self-fault": 4}

// collectZones sums up what shares a name: further zones than are told apart are one "other".
func (g *rosterGauges) collectZones(gauge func(string, float64, ...string), zones []darter.ZoneStatus) {
	type sums struct{ guard, hosts, down, waiting float64 }
	by := map[string]sums{}
	for _, z := range zones {
		name := g.zones.value(z.Zone)
		s := by[name]
		by[name] = sums{max(s.guard, guardLevels[z.Guard]), s.hosts + float64(z.Hosts), s.down + float64(z.Down), s.waiting + float64(z.Waiting)}
	}
	for name, s := range by {
		gauge("guard_state", s.guard, name)
		gauge("zone_hosts", s.hosts, name)
		gauge("zone_hosts_down", s.down, name)
		gauge("zone_hosts_waiting", s.waiting, name)
	}
}
