package telemetry

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/manager/jobs"
	jobsrpc "github.com/darter-p2p/darter/internal/manager/jobs/rpc"
)

// jobsSink turns what the job engine does into metrics and log lines.
type jobsSink struct {
	log *slog.Logger

	enqueued, moved, retried, reports         *prometheus.CounterVec
	seconds, waited                           *prometheus.HistogramVec
	rescued, fenced, fired, skipped, failures prometheus.Counter
	orders                                    prometheus.Counter
	late                                      prometheus.Observer
	attached                                  prometheus.Gauge
}

func newJobsSink(r *Registry, log *slog.Logger) *jobsSink {
	const p = "darter_jobs_"
	return &jobsSink{log: log,
		enqueued: r.counters(p+"enqueued_total", "Jobs that were asked for; attached ones joined a job that does the same.", "kind", "outcome"),
		moved:    r.counters(p+"moved_total", "Changes of state.", "kind", "to"),
		seconds:  r.histograms(p+"seconds", "Time from a job's birth to its end.", longBuckets, "kind", "state"),
		waited:   r.histograms(p+"claim_wait_seconds", "Time that a step was ready before somebody took it.", latenessBucket, "kind"),
		rescued:  r.counter(p+"rescued_total", "Steps whose holder fell silent."),
		retried:  r.counters(p+"retried_total", "Steps that are tried again.", "failure"),
		fenced:   r.counter(p+"fenced_total", "Late words of holders that had lost their lease."),
		fired:    r.counter(p+"schedules_fired_total", "Jobs that a schedule made."),
		skipped:  r.counter(p+"schedules_skipped_total", "Times of schedules that had passed unseen."),
		late:     r.histograms(p+"schedule_late_seconds", "How long after its time a schedule fired.", latenessBucket).WithLabelValues(),
		failures: r.counter(p+"loop_failures_total", "Turns of the engine that failed; it goes on."),
		attached: r.gauges(p+"schedulers_attached", "Schedulers that hold a control stream with this manager.").WithLabelValues(),
		orders:   r.counter(p+"orders_total", "Orders handed to schedulers."),
		reports:  r.counters(p+"reports_total", "Reports of schedulers.", "outcome"),
	}
}

func (s *jobsSink) events() jobs.Events {
	return jobs.Events{
		Enqueued: func(kind darter.JobKind, attached bool) {
			outcome := "new"
			if attached {
				outcome = "attached"
			}
			s.enqueued.WithLabelValues(string(kind), outcome).Inc()
		},
		Moved: func(id darter.JobID, kind darter.JobKind, from, to darter.JobState, took time.Duration) {
			s.moved.WithLabelValues(string(kind), string(to)).Inc()
			if !to.Terminal() {
				s.log.Debug("job moved", "job", id, "kind", kind, "from", from, "to", to)
				return
			}
			s.seconds.WithLabelValues(string(kind), string(to)).Observe(took.Seconds())
			s.log.Info("job ended", "job", id, "kind", kind, "state", to, "seconds", took.Seconds())
		},
		Claimed: func(kind darter.JobKind, waited time.Duration) {
			s.waited.WithLabelValues(string(kind)).Observe(waited.Seconds())
		},
		Rescued: func(id darter.JobID, step uint32, owner string) {
			s.rescued.Inc()
			s.log.Warn("a step's holder fell silent; others may take it", "job", id, "step", step, "holder", owner)
		},
		Retried: func(id darter.JobID, step uint32, why darter.Failure) {
			s.retried.WithLabelValues(string(why)).Inc()
			s.log.Info("a step is tried again", "job", id, "step", step, "failure", why)
		},
		Fenced: func(darter.OrderLease) { s.fenced.Inc() },
		Fired: func(schedule string, late time.Duration, skipped int) {
			s.fired.Inc()
			s.skipped.Add(float64(skipped))
			s.late.Observe(late.Seconds())
			s.log.Debug("schedule fired", "schedule", schedule, "late", late, "skipped", skipped)
		},
		Failed: func(what string, err error) {
			s.failures.Inc()
			s.log.Warn("the job engine could not "+what, "error", err)
		},
	}
}

func (s *jobsSink) control() jobsrpc.Events {
	return jobsrpc.Events{
		Attached: func(scheduler string, cluster uint64) {
			s.attached.Inc()
			s.log.Info("scheduler attached", "scheduler", scheduler, "cluster", cluster)
		},
		Detached: func(scheduler string, err error) {
			s.attached.Dec()
			s.log.Info("scheduler detached", "scheduler", scheduler, "reason", err)
		},
		Ordered: func(scheduler string, lease darter.OrderLease) {
			s.orders.Inc()
			s.log.Debug("order given", "scheduler", scheduler, "job", lease.Job, "step", lease.Step, "epoch", lease.Epoch)
		},
		Reported: func(scheduler string, outcomes int, err error) {
			s.reports.WithLabelValues(outcome(err)).Inc()
			if err != nil {
				s.log.Debug("a report was not taken", "scheduler", scheduler, "outcomes", outcomes, "error", err)
			}
		},
	}
}
