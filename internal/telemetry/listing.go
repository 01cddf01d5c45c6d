package telemetry

import (
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/darter-p2p/darter/internal/manager"
)

// Manager turns the manager's events into metrics. The role logs its own few lines.
type Manager struct {
	searches, joined, lost prometheus.Counter
	listed                 prometheus.Gauge
}

// NewManager registers the manager's metrics.
func NewManager(r *Registry) *Manager {
	return &Manager{
		searches: r.counters("dragonfly_manager_search_scheduler_cluster_total", "Times a daemon asked for schedulers.", "version", "commit").WithLabelValues("", ""),
		joined:   r.counter("darter_manager_schedulers_joined_total", "Schedulers that announced themselves, or came back."),
		lost:     r.counter("darter_manager_schedulers_lost_total", "Schedulers that went silent."),
		listed:   r.gauges("darter_manager_schedulers_listed", "Schedulers named in the last answer.").WithLabelValues(),
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
	}
}
