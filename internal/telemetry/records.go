package telemetry

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/manager/records"
)

// recordsSink turns what the reclaimer of records does into metrics and log lines.
type recordsSink struct {
	log *slog.Logger

	runs, deleted, vetoed, waits, resumes, skipped *prometheus.CounterVec
	runSeconds, batchSeconds, jitter               *prometheus.HistogramVec
	eligible, held, next, leader, busy             *prometheus.GaugeVec

	mu struct {
		sync.Mutex
		oldest map[string]time.Time // of what the last plan of a kind would remove
		next   map[string]time.Time
	}
}

func newRecordsSink(r *Registry, log *slog.Logger) *recordsSink {
	const p = "darter_gc_"
	s := &recordsSink{log: log,
		runs:         r.counters(p+"runs_total", "Runs that ended.", "policy", "trigger", "state"),
		deleted:      r.counters(p+"rows_deleted_total", "Rows that went.", "policy", "table"),
		vetoed:       r.counters(p+"vetoed_total", "Rows that would have gone but for something that spoke against it, per plan.", "policy", "reason"),
		waits:        r.counters(p+"waits_total", "Times that a run waited.", "policy", "reason"),
		resumes:      r.counters(p+"resumes_total", "Runs that went on from a lost one.", "policy"),
		skipped:      r.counters(p+"skipped_total", "Scheduled runs that could not be planned.", "policy"),
		runSeconds:   r.histograms(p+"run_seconds", "Time from the start to the end of a run.", longBuckets, "policy"),
		batchSeconds: r.histograms(p+"batch_seconds", "Time of one transaction of a run.", statementBuckets, "policy"),
		jitter:       r.histograms(p+"schedule_jitter_seconds", "How much later than planned a scheduled run started.", latenessBucket, "policy"),
		eligible:     r.gauges(p+"rows_eligible", "Rows that the last plan would remove.", "policy"),
		held:         r.gauges(p+"needs_confirmation", "Whether the last run waits for a person.", "policy"),
		next:         r.gauges(p+"next_run_timestamp_seconds", "When the next scheduled run is due.", "policy"),
		leader:       r.gauges(p+"leader", "Whether this manager carries out the runs of a policy.", "policy"),
		busy:         r.gauges(p+"db_busy_ratio", "Share of the last run's time that it kept the database busy.", "policy"),
	}
	s.mu.oldest, s.mu.next = map[string]time.Time{}, map[string]time.Time{}
	r.prom.MustRegister(&ages{s, prometheus.NewDesc(p+"oldest_eligible_age_seconds", "Age of the oldest row that the last plan would remove, now; 0 when there is none: is the collector keeping up?", []string{"policy"}, nil)})
	return s
}

// ages computes at each scrape how old the oldest eligible rows are by then.
type ages struct {
	s    *recordsSink
	desc *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (a *ages) Describe(out chan<- *prometheus.Desc) { out <- a.desc }

// Collect implements prometheus.Collector.
func (a *ages) Collect(out chan<- prometheus.Metric) {
	for policy, age := range a.s.ages(time.Now()) {
		out <- prometheus.MustNewConstMetric(a.desc, prometheus.GaugeValue, age, policy)
	}
}

func (s *recordsSink) ages(now time.Time) map[string]float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]float64, len(s.mu.oldest))
	for policy, at := range s.mu.oldest {
		if out[policy] = 0; !at.IsZero() {
			out[policy] = max(now.Sub(at).Seconds(), 0)
		}
	}
	return out
}

func (s *recordsSink) events() records.Events {
	return records.Events{
		Planned: s.planned,
		Started: s.started,
		Batch: func(run darter.Run, b darter.RunBatch, _ int, _ time.Duration) {
			s.deleted.WithLabelValues(run.Policy, "own").Add(float64(b.Deleted))
			s.deleted.WithLabelValues(run.Policy, "children").Add(float64(b.Children))
			s.batchSeconds.WithLabelValues(run.Policy).Observe(b.Took.Seconds())
		},
		Waited: func(kind string, why records.Wait, _ time.Duration) { s.waits.WithLabelValues(kind, string(why)).Inc() },
		Ended:  s.ended,
		Resumed: func(run darter.Run) {
			s.resumes.WithLabelValues(run.Policy).Inc()
			s.log.Info("a run goes on from one that was lost", "policy", run.Policy, "run", run.ID, "lost", run.Resumes)
		},
		Scheduled: func(kind string, next time.Time) {
			s.mu.Lock()
			s.mu.next[kind] = next
			s.mu.Unlock()
			s.next.WithLabelValues(kind).Set(float64(next.UnixMilli()) / 1000)
		},
		Skipped: func(kind string, err error) {
			s.skipped.WithLabelValues(kind).Inc()
			s.log.Warn("a scheduled run could not be planned", "policy", kind, "error", err)
		},
		Leader: func(kind string, leads bool) { s.leader.WithLabelValues(kind).Set(number(leads)) },
	}
}

func (s *recordsSink) planned(p darter.Plan) {
	s.eligible.WithLabelValues(p.Policy).Set(float64(p.Eligible))
	for _, v := range p.Vetoed {
		s.vetoed.WithLabelValues(p.Policy, v.Reason).Add(float64(v.Count))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.oldest[p.Policy] = p.Oldest; p.Eligible == 0 {
		s.mu.oldest[p.Policy] = time.Time{}
	}
}

func (s *recordsSink) started(run darter.Run) {
	s.log.Info("run started", "policy", run.Policy, "run", run.ID, "trigger", run.Trigger, "eligible", run.Eligible)
	s.mu.Lock()
	due := s.mu.next[run.Policy]
	s.mu.Unlock()
	if run.Trigger == darter.BySchedule && !due.IsZero() {
		s.jitter.WithLabelValues(run.Policy).Observe(max(run.Started.Sub(due).Seconds(), 0))
	}
}

func (s *recordsSink) ended(run darter.Run) {
	s.runs.WithLabelValues(run.Policy, string(run.Trigger), string(run.State)).Inc()
	s.held.WithLabelValues(run.Policy).Set(number(run.State == darter.RunHeld))
	took := run.Finished.Sub(run.Started)
	if !run.Started.IsZero() && took > 0 {
		s.runSeconds.WithLabelValues(run.Policy).Observe(took.Seconds())
		s.busy.WithLabelValues(run.Policy).Set(min(run.Busy.Seconds()/took.Seconds(), 1))
	}
	if run.State == darter.RunSucceeded {
		s.mu.Lock()
		s.mu.oldest[run.Policy] = time.Time{} // all that was eligible is gone
		s.mu.Unlock()
	}
	say := s.log.Info
	if run.State != darter.RunSucceeded && run.State != darter.RunCancelled {
		say = s.log.Warn
	}
	say("run ended", "policy", run.Policy, "run", run.ID, "state", run.State, "deleted", run.Deleted, "children", run.Children, "seconds", max(took, 0).Seconds(), "code", run.Code, "message", run.Message)
}
