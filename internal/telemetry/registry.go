package telemetry

import (
	"net/http"
	"runtime"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Build is what was built.
type Build struct{ Version, Commit string }

// Registry holds the metrics of one process. Roles in one process share it.
type Registry struct{ prom *prometheus.Registry }

// NewRegistry returns a registry with the metrics of the process itself.
func NewRegistry(b Build) *Registry {
	r := &Registry{prom: prometheus.NewRegistry()}
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "darter_build_info", Help: "What this process was built from; always 1."},
		[]string{"version", "commit", "go_version", "platform"})
	info.WithLabelValues(b.Version, b.Commit, runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH).Set(1)
	r.prom.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), info)
	return r
}

// MetricsHandler serves the metrics to Prometheus.
func (r *Registry) MetricsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r.prom, promhttp.HandlerOpts{MaxRequestsInFlight: 8, EnableOpenMetrics: true}))
	return mux
}

func (r *Registry) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	r.prom.MustRegister(c)
	return c
}

func (r *Registry) counters(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	r.prom.MustRegister(c)
	return c
}

func (r *Registry) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	r.prom.MustRegister(g)
	return g
}

func (r *Registry) histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	r.prom.MustRegister(h)
	return h
}

// ask adds a gauge whose value is asked for at each scrape.
func (r *Registry) ask(name, help string, value func() float64) {
	r.prom.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

// maxNames bounds how many values a label takes that callers choose.
const maxNames = 50

// bounded lets the first values of a label through and calls the rest "other", so that callers cannot
// fill the memory of this process and of whoever scrapes it.
type bounded struct {
	mu struct {
		sync.Mutex
		seen map[string]bool
	}
}

func (b *bounded) value(v string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.seen[v] {
		return v
	}
	if len(v) > 100 || len(b.mu.seen) >= maxNames {
		return "other"
	}
	if b.mu.seen == nil {
		b.mu.seen = map[string]bool{}
	}
	b.mu.seen[v] = true
	return v
}
