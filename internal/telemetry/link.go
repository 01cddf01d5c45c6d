package telemetry

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/scheduler"
	"github.com/darter-p2p/darter/internal/scheduler/control"
	controlrpc "github.com/darter-p2p/darter/internal/scheduler/control/rpc"
)

// schedulerLink turns what happens between a scheduler and its manager into metrics and log lines.
type schedulerLink struct {
	log *slog.Logger

	listed, attached                 prometheus.Gauge
	broken                           *prometheus.CounterVec
	standings, began, ended, refused prometheus.Counter
	told                             prometheus.Counter
	hostOrders                       *prometheus.CounterVec
}

func newSchedulerLink(r *Registry, log *slog.Logger) *schedulerLink {
	const p = "darter_scheduler_manager_"
	return &schedulerLink{log: log,
		listed:     r.gauges(p+"listed", "Whether the manager lists this scheduler.").WithLabelValues(),
		attached:   r.gauges(p+"attached", "Whether a control stream to the manager is open.").WithLabelValues(),
		broken:     r.counters(p+"broken_total", "Connections to the manager that broke or were not made.", "what"),
		standings:  r.counter(p+"changes_total", "Times that the manager said something new of the cluster."),
		began:      r.counter(p+"orders_begun_total", "Orders of the manager that were begun."),
		ended:      r.counter(p+"orders_ended_total", "Orders of the manager that ended."),
		told:       r.counter(p+"hosts_told_total", "Hosts that the manager was told of."),
		hostOrders: r.counters(p+"host_orders_total", "Orders of the manager about hosts and zones.", "what", "outcome"),
		refused:    r.counter(p+"reports_refused_total", "Reports that made no sense to the manager."),
	}
}

func (l *schedulerLink) events() scheduler.ManagerEvents {
	return scheduler.ManagerEvents{Enlist: l.enlist(), Link: l.link(), Work: l.work(), Tell: l.tell()}
}

func (l *schedulerLink) enlist() controlrpc.EnlistEvents {
	return controlrpc.EnlistEvents{
		Enlisted: func(s controlrpc.Standing) {
			l.listed.Set(1)
			l.log.Info("the manager lists this scheduler", "id", s.ID, "cluster", s.Cluster, "cluster_name", s.ClusterName)
		},
		Changed: func(s controlrpc.Standing, old bool) {
			l.standings.Inc()
			l.log.Info("the manager's word on the cluster is in force", "cluster", s.Cluster, "from_an_earlier_run", old)
		},
		Broken: func(err error) {
			l.listed.Set(0)
			l.broken.WithLabelValues("list").Inc()
			l.log.Warn("the manager does not list this scheduler; it serves on, and tries again", "error", err)
		},
		Kept: func(err error) { l.log.Warn("what the manager says is not kept over a restart", "error", err) },
	}
}

func (l *schedulerLink) link() controlrpc.Events {
	return controlrpc.Events{
		Attached: func() {
			l.attached.Set(1)
			l.log.Info("attached to the manager")
		},
		Broken: func(err error) {
			l.attached.Set(0)
			l.broken.WithLabelValues("control").Inc()
			l.log.Debug("the control stream broke", "error", err)
		},
		Refused: func(lease darter.OrderLease, why string) {
			l.refused.Inc()
			l.log.Warn("a report made no sense to the manager", "job", lease.Job, "step", lease.Step, "reason", why)
		},
	}
}

func (l *schedulerLink) work() control.Events {
	return control.Events{
		Began: func(lease darter.OrderLease, kind darter.JobKind, items, hosts int) {
			l.began.Inc()
			l.log.Info("order begun", "job", lease.Job, "step", lease.Step, "kind", kind, "items", items, "hosts", hosts)
		},
		Ended: func(lease darter.OrderLease, why string) {
			l.ended.Inc()
			l.log.Info("order ended", "job", lease.Job, "step", lease.Step, "reason", why)
		},
	}
}

func (l *schedulerLink) tell() controlrpc.TellEvents {
	return controlrpc.TellEvents{
		Broken: func(err error) {
			l.broken.WithLabelValues("hosts").Inc()
			l.log.Debug("the manager could not be told of hosts", "error", err)
		},
		Told: func(hosts int, _ bool) { l.told.Add(float64(hosts)) },
		Ordered: func(what, whom, why string, err error) {
			l.hostOrders.WithLabelValues(what, outcome(err)).Inc()
			l.log.Info("the manager ordered", "what", what, "whom", whom, "why", why, "error", err)
		},
	}
}

// Manager returns what the scheduler role is to call about its manager. It registers metrics: call it once.
func (s *Scheduler) Manager() scheduler.ManagerEvents { return newSchedulerLink(s.reg, s.log).events() }
