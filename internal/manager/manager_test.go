package manager

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/test/bufconn"
)

// rig is a manager in a bubble, and its clients.
type rig struct {
	*Manager
	conn *grpc.ClientConn
	http *http.Client
	stop context.CancelFunc
}

func run(t *testing.T, test func(*testing.T, *rig)) { runWith(t, nil, test) }

func runWith(t *testing.T, change func(*Config), test func(*testing.T, *rig)) {
	synctest.Test(t, func(t *testing.T) {
		calls, pages := bufconn.Listen(64<<10), bufconn.Listen(64<<10)
		cfg := DefaultConfig()
		cfg.GRPC, cfg.HTTP, cfg.Version, cfg.Commit, cfg.DataDir = calls, pages, "1.2.3", "abc", t.TempDir()
		if change != nil {
			change(&cfg)
		}
		m, err := New(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		ran := make(chan error, 1)
		go func() { ran <- m.Run(ctx) }()
		<-m.Ready()
		conn, err := grpc.NewClient("passthrough:///m", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return calls.DialContext(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return pages.DialContext(ctx) }}
		test(t, &rig{Manager: m, conn: conn, http: &http.Client{Transport: transport}, stop: stop})
		_ = conn.Close()
		transport.CloseIdleConnections()
		stop()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestRunServesAndStops(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		h, err := healthv1.NewHealthClient(r.conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
		if err != nil || h.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("health %v, %v", h, err)
		}
	})
}

func TestPages(t *testing.T) {
	run(t, func(t *testing.T, r *rig) {
		for _, c := range []struct {
			method, path string
			want         int
			kind         string
		}{
			{"GET", "/livez", 200, "application/json"}, {"GET", "/readyz", 200, "application/json"}, {"HEAD", "/healthy", 200, "application/json"},
			{"GET", "/v1/system", 200, "application/json"}, {"GET", "/", 404, "application/problem+json"},
			{"GET", "/v1/system/", 404, "application/problem+json"}, {"GET", "/debug/pprof/", 404, "application/problem+json"},
			{"POST", "/livez", 405, "application/problem+json"}, {"DELETE", "/v1/system", 405, "application/problem+json"},
		} {
			request, err := http.NewRequestWithContext(t.Context(), c.method, "http://m"+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := r.http.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if answer.StatusCode != c.want || answer.Header.Get("Content-Type") != c.kind || err != nil {
				t.Errorf("%s %s: %d %s %q", c.method, c.path, answer.StatusCode, answer.Header.Get("Content-Type"), text)
			}
			var body map[string]any
			if c.method == "HEAD" {
				continue
			}
			if err := json.Unmarshal(text, &body); err != nil {
				t.Errorf("%s %s: %q is no JSON: %v", c.method, c.path, text, err)
			}
			if c.path == "/v1/system" && c.want == 200 && (body["version"] != "1.2.3" || body["commit"] != "abc" || body["started"] == "") {
				t.Errorf("system %v", body)
			}
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	l := bufconn.Listen(1)
	for name, c := range map[string]Config{
		"no listeners":      {},
		"no folder":         {GRPC: l, HTTP: l},
		"short life":        {GRPC: l, HTTP: l, DataDir: "x", TTL: time.Millisecond},
		"scheduler nowhere": {GRPC: l, HTTP: l, DataDir: "x", Schedulers: []Scheduler{{Hostname: "a"}}},
	} {
		if _, err := New(t.Context(), c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
