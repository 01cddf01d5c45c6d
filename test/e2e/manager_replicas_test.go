package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/darter-p2p/darter/internal/cli/rest"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
)

// replicas are managers that share one PostgreSQL, and a connection of the test's own to it.
type replicas struct {
	t     *testing.T
	nodes []*Node
	db    *database.DB
}

func newManager(t *testing.T, dir, name, url string) *Node {
	n := newNode(t, dir, name)
	n.Socket = filepath.Join(n.Dir, "m")
	n.role = []string{"manager", "--data-dir", filepath.Join(n.Dir, "data"), "--database", url, "--secret-key", filepath.Join(dir, "secret.key"), "--manager-socket", n.Socket}
	n.listen = []string{"--manager-grpc", "manager_grpc", "--manager-http", "manager_http", "--manager-metrics", "metrics", "--debug-listen", "debug"}
	return n
}

func newReplicas(t *testing.T, ctx context.Context, n int) *replicas {
	t.Helper()
	at := databasetest.Postgres(t)
	m := &replicas{t: t}
	dir := shortDir(t)
	for i := range n {
		m.nodes = append(m.nodes, newManager(t, dir, "m"+strconv.Itoa(i), at))
	}
	var all errgroup.Group // at once: one makes the tables, the others wait for that
	for _, node := range m.nodes {
		all.Go(func() error { return node.TryStart(ctx) })
	}
	check(t, all.Wait())
	cfg := database.DefaultConfig()
	cfg.URL = at
	db, err := database.Open(ctx, cfg)
	check(t, err)
	t.Cleanup(func() { _ = db.Close() })
	m.db = db
	return m
}

// ask sends one request to one manager, over its own socket.
func (n *Node) ask(ctx context.Context, r rest.Request, into any) (*rest.Answer, error) {
	c, err := rest.Open(rest.Config{Socket: n.Socket})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	a, err := c.Do(ctx, r)
	if err != nil || into == nil {
		return a, err
	}
	return a, json.Unmarshal(a.Body, into)
}

// count returns the one number that a query gives.
func (m *replicas) count(ctx context.Context, query string, args ...any) (n int64) {
	m.t.Helper()
	check(m.t, m.db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		return tx.QueryRowContext(ctx, query, args...).Scan(&n)
	}))
	return n
}

// old adds jobs that ended long ago, with a step each.
func (m *replicas) old(ctx context.Context, n int) {
	m.t.Helper()
	ended := time.Now().Add(-20 * 24 * time.Hour).UnixMicro()
	check(m.t, m.db.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO jobs (id, kind, state, owner, tenant, spec, max_attempts, threshold, created_at, updated_at, finalized_at)
			SELECT '01J' || to_char(g, 'FM00000000000000000000000'), 'preheat.files', 'succeeded', 'o', 'o', '{}', 3, 100, ?, ?, ? FROM generate_series(1, ?::bigint) AS s(g)`, ended, ended, ended, n)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO job_steps (job_id, number, kind, job_kind, tenant, state, ready) SELECT id, 1, 'dispatch', kind, tenant, 'ended', FALSE FROM jobs")
		return err
	}))
}

// leader returns who carries out the runs over jobs.
func (m *replicas) leader(ctx context.Context) (*Node, error) {
	var leaders []*Node
	for _, n := range m.nodes {
		if n.Process == nil {
			continue
		}
		_, text, err := fetchText(ctx, "http://"+n.Ready["metrics"]+"/metrics")
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "darter_gc_leader{") && strings.Contains(line, `"job"`) && strings.HasSuffix(strings.TrimSpace(line), " 1") {
				leaders = append(leaders, n)
			}
		}
	}
	if len(leaders) != 1 {
		return nil, fmt.Errorf("%d managers lead", len(leaders))
	}
	return leaders[0], nil
}

// gcRun is what the test reads of a run.
type gcRun struct {
	ID, State, Resumes, Message string
	Deleted, Batches            int64
}

// TestThreeManagersShareOneDatabase kills the manager that cleans, in the middle of a run: another goes on from what was
// committed, and the records say exactly what is gone.
func TestThreeManagersShareOneDatabase(t *testing.T) {
	ctx := deadline(t, 3*time.Minute)
	m := newReplicas(t, ctx, 3)
	const jobs, kept = 2000, 100 // the last hundred of a kind stay
	m.old(ctx, jobs)
	slow := map[string]any{"enabled": false, "rules": []any{map[string]any{"after": "168h"}}, "keep_last": map[string]any{"count": kept, "per": "group"},
		"batch": map[string]any{"start": 50, "min": 50, "max": 50, "target": "150ms", "pause": "100ms", "busy": 0.2}, "blast": map[string]any{"share": 1, "factor": 10, "floor": 1000}}
	if _, err := m.nodes[0].ask(ctx, rest.Request{Op: "slow the policy down", Method: http.MethodPut, Path: "/v1/gc/policies/job", Body: slow, IfMatch: `"0"`,
		Query: url.Values{"reason": {"a run that can be caught"}}}, nil); err != nil {
		t.Fatal(err)
	}
	var run gcRun
	_, err := m.nodes[1].ask(ctx, rest.Request{Op: "start a run", Method: http.MethodPost, Path: "/v1/gc/runs", Body: map[string]any{"kind": "job"}}, &run)
	check(t, err)

	caught := eventually(ctx, time.Minute, func() bool {
		_, err := m.nodes[2].ask(ctx, rest.Request{Op: "look", Method: http.MethodGet, Path: "/v1/gc/runs/" + run.ID}, &run)
		return err == nil && run.Batches >= 3
	})
	if !caught || run.State != "running" {
		t.Fatalf("the run cannot be caught in the middle: %+v", run)
	}
	leader, err := m.leader(ctx)
	check(t, err)
	leader.Kill()
	survivor := m.nodes[(slices.Index(m.nodes, leader)+1)%3]

	if !eventually(ctx, 90*time.Second, func() bool {
		return m.count(ctx, "SELECT count(*) FROM gc_runs WHERE resumes = ? AND state = 'succeeded'", run.ID) == 1
	}) {
		t.Fatalf("nobody went on: %d runs resumed it", m.count(ctx, "SELECT count(*) FROM gc_runs WHERE resumes = ?", run.ID))
	}
	_, err = survivor.ask(ctx, rest.Request{Op: "look", Method: http.MethodGet, Path: "/v1/gc/runs/" + run.ID}, &run)
	check(t, err)
	if run.State != "lost" || run.Message == "" {
		t.Errorf("the run of the dead manager is %+v, want it lost, with a reason", run)
	}
	gone, left := int64(jobs-kept), m.count(ctx, "SELECT count(*) FROM jobs")
	if said := m.count(ctx, "SELECT sum(deleted) FROM gc_runs WHERE id = ? OR resumes = ?", run.ID, run.ID); left != kept || said != gone {
		t.Errorf("%d jobs are left, %d recorded as gone; want %d and %d", left, said, kept, gone)
	}
	if parts := m.count(ctx, "SELECT sum(deleted) FROM gc_run_batches"); parts != gone {
		t.Errorf("the batches say that %d are gone, want %d", parts, gone)
	}
	if orphans := m.count(ctx, "SELECT count(*) FROM job_steps s WHERE NOT EXISTS (SELECT 1 FROM jobs j WHERE j.id = s.job_id)"); orphans != 0 {
		t.Errorf("%d steps have no job", orphans)
	}
	leader.Start(ctx) // it comes back, and finds its way
	if _, err := m.leader(ctx); err != nil {
		t.Error(err)
	}
	for _, n := range m.nodes {
		n.Stop(ctx)
	}
}

// TestNoPolicyEditIsLost has several people edit one policy through all managers at once: every edit that was taken is a
// version, and every manager ends with the last.
func TestNoPolicyEditIsLost(t *testing.T) {
	ctx := deadline(t, 2*time.Minute)
	m := newReplicas(t, ctx, 3)
	const editors, edits = 6, 10
	var mu sync.Mutex
	taken, refused := map[string]bool{}, 0
	var all errgroup.Group
	for e := range editors {
		all.Go(func() error {
			node := m.nodes[e%3]
			for i := 0; i < edits; {
				now, err := node.ask(ctx, rest.Request{Op: "read", Method: http.MethodGet, Path: "/v1/gc/policies/job"}, nil)
				if err != nil {
					return err
				}
				reason := fmt.Sprintf("editor %d, edit %d", e, i)
				answer, err := node.ask(ctx, rest.Request{Op: "edit", Method: http.MethodPut, Path: "/v1/gc/policies/job", IfMatch: now.ETag,
					Query: url.Values{"reason": {reason}}, Body: map[string]any{"keep_last": map[string]any{"count": 100 + e*edits + i, "per": "group"}}}, nil)
				mu.Lock()
				switch {
				case err == nil && answer.Status < 300:
					taken[reason] = true
					i++
				case strings.Contains(fmt.Sprint(err), "changed") || strings.Contains(fmt.Sprint(err), "precondition"):
					refused++
				default:
					mu.Unlock()
					return fmt.Errorf("%s: %w", reason, err)
				}
				mu.Unlock()
			}
			return nil
		})
	}
	check(t, all.Wait())
	if len(taken) != editors*edits {
		t.Fatalf("%d edits were taken, want %d", len(taken), editors*edits)
	}
	if n := m.count(ctx, "SELECT count(*) FROM document_versions WHERE class = 'gc_policy' AND name = 'job'"); n != editors*edits {
		t.Errorf("%d versions for %d edits", n, editors*edits)
	}
	if n := m.count(ctx, "SELECT count(DISTINCT reason) FROM document_versions WHERE class = 'gc_policy' AND name = 'job'"); n != editors*edits {
		t.Errorf("%d different reasons for %d edits", n, editors*edits)
	}
	if refused == 0 {
		t.Error("no edit met another: this showed nothing")
	}
	for _, node := range m.nodes {
		var now struct{ Version int64 }
		_, err := node.ask(ctx, rest.Request{Op: "read", Method: http.MethodGet, Path: "/v1/gc/policies/job"}, &now)
		check(t, err)
		if now.Version != editors*edits {
			t.Errorf("%s says version %d, want %d", node.Name, now.Version, editors*edits)
		}
	}
}
