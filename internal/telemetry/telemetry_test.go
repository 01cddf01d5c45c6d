package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/daemon/fetch"
	"github.com/darter-p2p/darter/internal/liveness"
	schedulerrpc "github.com/darter-p2p/darter/internal/scheduler/rpc"
	"github.com/darter-p2p/darter/internal/scheduler/swarm"
	"github.com/darter-p2p/darter/internal/store"
	"github.com/darter-p2p/darter/internal/vortex"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func scrape(t *testing.T, r *Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	r.MetricsHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	return w.Body.String()
}

// callAll calls every function in a struct of typed events, deep down, with zero values and errors.
func callAll(t *testing.T, v reflect.Value, path string) int {
	t.Helper()
	switch v.Kind() {
	case reflect.Struct:
		n := 0
		for i := range v.NumField() {
			n += callAll(t, v.Field(i), path+"."+v.Type().Field(i).Name)
		}
		return n
	case reflect.Func:
		require.False(t, v.IsNil(), "%s is not bound", path)
		for _, failed := range []bool{false, true} {
			var args []reflect.Value
			for i := range v.Type().NumIn() {
				in := v.Type().In(i)
				arg := reflect.Zero(in)
				if in == reflect.TypeFor[error]() && failed {
					arg = reflect.ValueOf(errors.New("x"))
				}
				args = append(args, arg)
			}
			require.NotPanics(t, func() { v.Call(args) }, path)
		}
		return 1
	}
	return 0
}

// TestEveryEventIsBound finds an event that a room gained and nobody turns into a metric or a line.
func TestEveryEventIsBound(t *testing.T) {
	r := NewRegistry(Build{})
	quiet := slog.New(slog.DiscardHandler)
	require.Greater(t, callAll(t, reflect.ValueOf(NewDaemon(r, quiet, nil).Events()), "daemon"), 20)
	s := NewScheduler(r, quiet)
	require.Greater(t, callAll(t, reflect.ValueOf(s.Events()), "scheduler"), 10)
	require.Equal(t, 4, callAll(t, reflect.ValueOf(s.Snapshots()), "snapshots"))
	require.Equal(t, 12, callAll(t, reflect.ValueOf(s.Manager()), "scheduler's manager"))
	require.Greater(t, callAll(t, reflect.ValueOf(NewManager(r, quiet).Events()), "manager"), 30)
	scrape(t, r)
}

func TestDownloadMetrics(t *testing.T) {
	var log bytes.Buffer
	r := NewRegistry(Build{Version: "1", Commit: "c"})
	d := NewDaemon(r, NewLogger(LogConfig{Out: &log, JSON: true}), nil)
	d.WatchStore(func() store.Usage { return store.Usage{Tasks: 2, Held: 10, Free: 90} })
	e := d.Events()
	w := darter.Want{Tag: "t", Application: "a", Priority: 6, Header: map[string]string{"Authorization": "canary"}}
	e.Fetch.Started(fetch.Begun{Task: "x", Want: w})
	e.Fetch.Piece("x", darter.Piece{Length: 5, Traffic: darter.FromPeer})
	e.Fetch.Piece("x", darter.Piece{Length: 7, Traffic: darter.FromSource})
	e.Pieces.PieceSent(vortex.PieceSent{Bytes: 11})
	e.Fetch.Source("http://h/x", time.Second, errors.New("x"))
	text := scrape(t, r)
	require.Contains(t, text, `dragonfly_client_concurrent_download_task_total{app="a",priority="6",tag="t",type="STANDARD"} 1`)
	e.Fetch.Ended(fetch.Ended{Task: "x", Want: w, Bytes: [3]int64{7, 5, 3}, Took: time.Second})
	e.Fetch.Started(fetch.Begun{Task: "z", Want: w})
	e.Fetch.Ended(fetch.Ended{Task: "z", Want: w, Bytes: [3]int64{darter.FromCache: 40}})
	e.Schedulers.Silent(netip.MustParseAddrPort("10.0.0.1:8002"))
	e.Fetch.Ended(fetch.Ended{Task: "y", Want: w, Err: errors.New("boom")})
	text = scrape(t, r)
	for _, line := range []string{
		`dragonfly_client_download_task_total{app="a",priority="6",tag="t",type="STANDARD"} 3`,
		`dragonfly_client_download_task_failure_total{app="a",priority="6",tag="t",type="STANDARD"} 1`,
		`dragonfly_client_concurrent_download_task_total{app="a",priority="6",tag="t",type="STANDARD"} 0`,
		`dragonfly_client_download_traffic{type="REMOTE_PEER"} 5`,
		`dragonfly_client_download_traffic{type="BACK_TO_SOURCE"} 7`,
		`dragonfly_client_upload_traffic 11`,
		`dragonfly_client_backend_request_failure_total{method="GET",scheme="http"} 1`,
		`darter_bytes_total{source="peers"} 5`,
		`darter_bytes_total{source="cache"} 43`,
		`dragonfly_client_download_traffic{type="LOCAL_PEER"} 43`,
		`darter_origin_avoided_bytes_total 48`,
		`darter_scheduler_silences_total 1`,
		`dragonfly_client_download_task_duration_milliseconds_count{task_size_level="1",task_type="STANDARD"} 1`,
		`dragonfly_client_disk_space_total 100`,
		`darter_cache_tasks 2`,
		`darter_build_info{commit="c"`,
	} {
		require.Contains(t, text, line)
	}
	require.NotContains(t, log.String()+text, "canary")
	// A task that began once is not taken for one that runs when it fails before its next begin.
	e.Fetch.Ended(fetch.Ended{Task: "x", Want: w, Err: errors.New("again")})
	text = scrape(t, r)
	require.Contains(t, text, `dragonfly_client_concurrent_download_task_total{app="a",priority="6",tag="t",type="STANDARD"} 0`)
	require.Contains(t, text, `dragonfly_client_download_task_total{app="a",priority="6",tag="t",type="STANDARD"} 4`)
	require.Equal(t, 2, strings.Count(log.String(), "download finished"))
	require.Contains(t, log.String(), `"from_cache":40`)
	require.Contains(t, log.String(), `"scheduler":"10.0.0.1:8002"`)
	require.Contains(t, log.String(), `"error":"boom"`)
}

func TestCallersCannotFillTheLabels(t *testing.T) {
	r := NewRegistry(Build{})
	e := NewDaemon(r, slog.New(slog.DiscardHandler), nil).Events()
	for i := range 1000 {
		e.Fetch.Started(fetch.Begun{Want: darter.Want{Tag: fmt.Sprintf("tag-%d", i), Application: strings.Repeat("x", i)}})
	}
	text := scrape(t, r)
	require.LessOrEqual(t, strings.Count(text, "dragonfly_client_download_task_total{"), 2*maxNames+1)
	require.Contains(t, text, `tag="other"`)
}

func TestSchedulerMetrics(t *testing.T) {
	r := NewRegistry(Build{})
	s := NewScheduler(r, slog.New(slog.DiscardHandler))
	s.Watch(func() (int, int, int) { return 1, 2, 3 })
	e := s.Events()
	e.PeerRegistered(schedulerrpc.PeerRegistered{Kind: darter.Seed, Priority: 6, Err: errors.New("x")})
	e.PieceFinished(schedulerrpc.PieceFinished{Traffic: darter.FromPeer, Bytes: 9})
	e.Called(schedulerrpc.Called{Method: "ListHosts"})
	text := scrape(t, r)
	for _, line := range []string{
		`dragonfly_scheduler_register_peer_total{host_type="super",priority="6",task_type="STANDARD"} 1`,
		`dragonfly_scheduler_register_peer_failure_total{host_type="super",priority="6",task_type="STANDARD"} 1`,
		`dragonfly_scheduler_traffic{host_type="normal",task_type="STANDARD",type="REMOTE_PEER"} 9`,
		`dragonfly_scheduler_list_hosts_total 1`,
		`darter_scheduler_peers 3`,
	} {
		require.Contains(t, text, line)
	}
}

// someHosts is a scheduler with one zone that is guarded.
type someHosts struct{}

func (someHosts) Liveness() (liveness.Stats, []darter.ZoneStatus) {
	s := liveness.Stats{Multiplier: 1}
	s.Hosts[darter.Alive], s.Hosts[darter.Offline], s.Notes[liveness.FalseOffline] = 3, 2, 7
	return s, []darter.ZoneStatus{{Zone: "1/a/-", Guard: "partial", Hosts: 5, Down: 2, Waiting: 1}}
}

func (someHosts) Swarm() (swarm.Tally, int) { return swarm.Tally{DeadOffers: 4}, 9 }

// TestHostsAreTold scrapes what a scheduler thinks of its hosts.
func TestHostsAreTold(t *testing.T) {
	r := NewRegistry(Build{})
	s := NewScheduler(r, slog.New(slog.DiscardHandler))
	s.WatchHosts(someHosts{})
	e := s.Events()
	e.Verdict(liveness.Verdict{Host: "h", From: darter.Alive, To: darter.Suspect, Reason: liveness.Silent, Sign: liveness.Silence, Detect: 3 * time.Second})
	e.Verdict(liveness.Verdict{Host: "h", From: darter.Suspect, To: darter.Offline, Reason: liveness.Unrefuted, Sign: liveness.Silence, Detect: 20 * time.Second, Exit: darter.ExitCrash})
	e.Reclaimed(swarm.Reclaimed{Host: "h"})
	e.Reclaimed(swarm.Reclaimed{Host: "never heard of"})
	text := scrape(t, r)
	for _, line := range []string{
		`darter_scheduler_hosts_by_state{state="offline"} 2`,
		`darter_scheduler_guard_state{zone="1/a/-"} 2`,
		`darter_scheduler_zone_hosts_waiting{zone="1/a/-"} 1`,
		`darter_scheduler_false_offline_total 7`,
		`darter_scheduler_dead_parent_offers_total 4`,
		`darter_scheduler_locations 9`,
		`darter_scheduler_host_exits_total{type="crash"} 1`,
		`darter_scheduler_host_detect_seconds_sum{evidence="silence",to="offline"} 20`,
		`darter_scheduler_host_cleanup_seconds_count 1`,
		`darter_scheduler_host_transitions_total{from="alive",reason="silent",to="suspect"} 1`,
	} {
		require.Contains(t, text, line)
	}
}

// TestReference finds a metric that docs/reference/metrics.md does not name, and one that is gone.
func TestReference(t *testing.T) {
	r := NewRegistry(Build{})
	quiet := slog.New(slog.DiscardHandler)
	d := NewDaemon(r, quiet, nil)
	d.WatchStore(func() store.Usage { return store.Usage{} })
	s := NewScheduler(r, quiet)
	s.Watch(func() (int, int, int) { return 0, 0, 0 })
	s.WatchHosts(someHosts{})
	s.Manager()
	NewManager(r, slog.New(slog.DiscardHandler))
	described := make(chan *prometheus.Desc, 1000)
	r.prom.Describe(described)
	close(described)
	text, err := os.ReadFile("../../docs/reference/metrics.md")
	require.NoError(t, err)
	known := map[string]bool{}
	for desc := range described {
		name := strings.Split(desc.String(), `"`)[1]
		if strings.HasPrefix(name, "darter_") || strings.HasPrefix(name, "dragonfly_") {
			known[name] = true
			require.Contains(t, string(text), "`"+name+"`", "not in docs/reference/metrics.md")
		}
	}
	for _, name := range regexp.MustCompile("`((?:darter|dragonfly)_[a-z_]+)`").FindAllStringSubmatch(string(text), -1) {
		require.True(t, known[name[1]], "%s is documented, but there is no such metric", name[1])
	}
}

// TestDeployedBoardsAskForWhatIsThere finds a dashboard or an alert that asks for a metric that does not exist.
func TestDeployedBoardsAskForWhatIsThere(t *testing.T) {
	text, err := os.ReadFile("../../docs/reference/metrics.md") // which TestReference holds to the registry
	require.NoError(t, err)
	var files []string
	for _, pattern := range []string{"../../deploy/grafana/*.json", "../../deploy/alerts/*.yaml"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, found, pattern)
		files = append(files, found...)
	}
	for _, file := range files {
		board, err := os.ReadFile(file)
		require.NoError(t, err)
		names := regexp.MustCompile(`(?:darter|dragonfly)_[a-z_]+`).FindAllString(string(board), -1)
		require.NotEmpty(t, names, file)
		for _, name := range names {
			name = strings.TrimSuffix(name, "_bucket")
			require.Contains(t, string(text), "`"+name+"`", "%s asks for a metric that does not exist", file)
		}
	}
}

func TestHealthFollowsReady(t *testing.T) {
	var h Health
	get := func(path string) int {
		w := httptest.NewRecorder()
		h.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code
	}
	require.Equal(t, []int{200, 200, 503}, []int{get("/livez"), get("/healthy"), get("/readyz")})
	h.Ready(true)
	require.Equal(t, 200, get("/readyz"))
	h.Ready(false)
	require.Equal(t, []int{200, 503}, []int{get("/livez"), get("/readyz")})
}

func TestFlightRecorderStartsOnDemand(t *testing.T) {
	h := NewDebug().Handler()
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	require.Contains(t, get("/debug/flight").Body.String(), "recording")
	w := get("/debug/flight")
	require.Equal(t, "application/octet-stream", w.Header().Get("Content-Type"))
	require.NotZero(t, w.Body.Len())
	require.Contains(t, get("/debug/flight?stop").Body.String(), "stopped")
}

func TestServeEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, NewRegistry(Build{}).MetricsHandler()) }()
	r, err := http.Get("http://" + l.Addr().String() + "/metrics")
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, r.Body)
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	cancel()
	require.NoError(t, <-ended)
	http.DefaultClient.CloseIdleConnections()
}

func TestTracingIsOffUntilAskedFor(t *testing.T) {
	env := func(pairs ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1]
				}
			}
			return ""
		}
	}
	require.False(t, TracingConfig{}.Enabled(env()))
	require.True(t, TracingConfig{Endpoint: "h:1"}.Enabled(env()))
	require.True(t, TracingConfig{}.Enabled(env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://h:1")))
	require.False(t, TracingConfig{Endpoint: "h:1"}.Enabled(env("OTEL_SDK_DISABLED", "true")))
	var none *Tracing
	require.NoError(t, none.Stop(t.Context()))
	require.Empty(t, none.ServerOptions())
}

func TestSizeLevels(t *testing.T) {
	for n, want := range map[int64]int{0: 0, 1: 1, 1 << 20: 2, 4<<20 - 1: 2, 4 << 20: 3, 1 << 30: 11, 1<<40 - 1: 19, 1 << 40: 20} {
		require.Equal(t, want, sizeLevel(n), n)
	}
}

func TestLoggerForms(t *testing.T) {
	var b bytes.Buffer
	NewLogger(LogConfig{Out: &b, Level: Level("warn"), JSON: true}).Info("hidden")
	require.Empty(t, b.String())
	NewLogger(LogConfig{Out: &b, Level: Level("debug")}).Debug("shown", "at", netip.MustParseAddr("10.0.0.1"))
	require.Contains(t, b.String(), "at=10.0.0.1")
	require.NotContains(t, b.String(), "\x1b")
	require.Equal(t, slog.LevelInfo, Level("loud"))
	b.Reset()
	NewLogger(LogConfig{Out: &b, Colour: true}).Warn("x")
	require.Contains(t, b.String(), "\x1b")
}
