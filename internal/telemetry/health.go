package telemetry

import (
	"encoding/json"
	"net/http"
	"runtime/trace"
	"sync/atomic"
	"time"

	"net/http/pprof"
)

// Health answers probes. The process is alive as long as it answers; it is ready between Ready(true) and
// Ready(false). Liveness never depends on other components.
type Health struct{ ready atomic.Bool }

// Ready says whether this process serves.
func (h *Health) Ready(yes bool) { h.ready.Store(yes) }

// Handler serves /livez, /readyz and Dragonfly's /healthy.
func (h *Health) Handler() http.Handler {
	mux := http.NewServeMux()
	alive := func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") }
	mux.HandleFunc("GET /livez", alive)
	mux.HandleFunc("GET /healthy", alive)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if h.ready.Load() {
			answer(w, http.StatusOK, "ok")
			return
		}
		answer(w, http.StatusServiceUnavailable, "not ready")
	})
	return mux
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"status": text}) // a prober that went away is no error
}

// Debug serves profiles and the flight recorder: the last seconds of the scheduler's and the network's
// events, for when something was slow. Only for a loopback listener.
type Debug struct{ recorder *trace.FlightRecorder }

// NewDebug returns a Debug whose recorder does not run yet.
func NewDebug() *Debug {
	return &Debug{recorder: trace.NewFlightRecorder(trace.FlightRecorderConfig{MinAge: 10 * time.Second, MaxBytes: 8 << 20})}
}

// Handler serves /debug/pprof/ and /debug/flight. The first call of /debug/flight starts the recorder,
// because it costs memory and time as long as it runs; later calls give the trace, and ?stop ends it.
func (d *Debug) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/flight", d.flight)
	return mux
}

func (d *Debug) flight(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Query().Has("stop"):
		d.recorder.Stop()
		answer(w, http.StatusOK, "stopped")
	case !d.recorder.Enabled():
		if err := d.recorder.Start(); err != nil {
			answer(w, http.StatusConflict, err.Error())
			return
		}
		answer(w, http.StatusOK, "recording; ask again for the trace")
	default:
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Disposition", `attachment; filename="darter.trace"`)
		if _, err := d.recorder.WriteTo(w); err != nil {
			answer(w, http.StatusConflict, err.Error())
		}
	}
}

// Both serves health beside metrics, for a role with one port for the two.
func Both(metrics, health http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", health)
	mux.Handle("GET /metrics", metrics)
	return mux
}
