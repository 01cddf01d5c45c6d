package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/darter-p2p/darter/internal/cli/rest"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/database/databasetest"
)

// manager starts a manager with rows at url, and returns a client for its own socket.
func (f *fleet) manager(ctx context.Context, name, rows string) (*node, *rest.Client, error) {
	socket := filepath.Join(f.dir, name+".m")
	n, err := f.start(ctx, name, loopback(), "manager", "--database", rows, "--secret-key", filepath.Join(f.dir, "secret.key"), "--manager-socket", socket,
		"--manager-grpc", "127.0.0.1:0", "--manager-http", "127.0.0.1:0", "--manager-metrics", "127.0.0.1:0", "--debug-listen", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	c, err := rest.Open(rest.Config{Socket: socket})
	return n, c, err
}

// runEdits is M3: many edits of one policy through three managers at once, while jobs are listed and made.
func runEdits(ctx context.Context, s *suite) (err error) {
	ctx, cancel := bounded(ctx, 10*time.Minute)
	defer cancel()
	edits := 1000
	if s.quick {
		edits = 60
	}
	server, err := databasetest.Start(true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	rows, drop, err := server.Create(ctx)
	if err != nil {
		return err
	}
	f, err := s.newFleet(ctx, loopback())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close(), drop(context.WithoutCancel(ctx))) }()
	r := s.before(ctx, "M3", "postgres, 3 managers", 1, 0)
	var managers []*node
	var clients []*rest.Client
	for i := range 3 {
		n, c, err := f.manager(ctx, "m"+strconv.Itoa(i), rows)
		if err != nil {
			return err
		}
		managers, clients = append(managers, n), append(clients, c)
	}
	e := editing{clients: clients, left: int64(edits)}
	began := time.Now()
	if err := e.run(ctx); err != nil {
		return err
	}
	r.Values["edits/s"] = float64(edits) / time.Since(began).Seconds()
	r.Values["refused and tried again"], r.Values["requests beside"] = float64(e.refused.Load()), float64(e.beside.Load())
	if err := e.followed(ctx, managers, edits); err != nil {
		return err
	}
	lost, err := lostEdits(ctx, rows, edits)
	if err != nil {
		return err
	}
	r.Values["lost"] = float64(lost)
	for _, n := range managers {
		p99, err := bucketQuantile(ctx, n.ready["metrics"], "darter_policy_propagation_seconds", 0.99)
		if err != nil {
			return err
		}
		r.Values["propagation p99 below s"] = max(r.Values["propagation p99 below s"], p99)
	}
	return s.book.add(r)
}

// editing is six people who edit one policy, two at each manager.
type editing struct {
	clients []*rest.Client
	left    int64
	refused atomic.Int64
	beside  atomic.Int64
}

func (e *editing) run(ctx context.Context) error {
	load, calm := context.WithCancel(ctx)
	defer calm()
	var beside errgroup.Group
	for _, c := range e.clients {
		beside.Go(func() error { return e.others(load, c) })
	}
	group, within := errgroup.WithContext(ctx)
	for i := range 2 * len(e.clients) {
		group.Go(func() error {
			for n := atomic.AddInt64(&e.left, -1); n >= 0; n = atomic.AddInt64(&e.left, -1) {
				if err := e.edit(within, e.clients[i%len(e.clients)], n); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := group.Wait()
	calm()
	return errors.Join(err, beside.Wait())
}

// edit reads and writes until nobody came between.
func (e *editing) edit(ctx context.Context, c *rest.Client, n int64) error {
	const path = "/v1/gc/policies/job"
	for {
		now, err := c.Do(ctx, rest.Request{Op: "read the policy", Method: http.MethodGet, Path: path})
		if err != nil {
			return err
		}
		_, err = c.Do(ctx, rest.Request{Op: "edit the policy", Method: http.MethodPut, Path: path, IfMatch: now.ETag, Query: url.Values{"reason": {fmt.Sprint("edit ", n)}},
			Body: map[string]any{"keep_last": map[string]any{"count": 100 + n, "per": "group"}}})
		var p *rest.Problem
		if errors.As(err, &p) && p.Status == http.StatusPreconditionFailed {
			e.refused.Add(1)
			continue
		}
		return err
	}
}

// others list jobs again and again.
func (e *editing) others(ctx context.Context, c *rest.Client) error {
	for ctx.Err() == nil {
		_, err := c.Do(ctx, rest.Request{Op: "list jobs", Method: http.MethodGet, Path: "/v1/jobs"})
		if err != nil && ctx.Err() == nil {
			return err
		}
		e.beside.Add(1)
		if pause(ctx, 20*time.Millisecond) != nil {
			return nil
		}
	}
	return nil
}

// followed waits until every manager follows the last version.
func (e *editing) followed(ctx context.Context, managers []*node, last int) error {
	for _, n := range managers {
		for {
			version, err := gauge(ctx, n.ready["metrics"], "darter_policy_version{", `name="job"`)
			if err != nil {
				return err
			}
			if int(version) == last {
				break
			}
			if err := pause(ctx, 50*time.Millisecond); err != nil {
				return fmt.Errorf("%s follows version %v, not %d: %w", n.Name, version, last, err)
			}
		}
	}
	return nil
}

// lostEdits returns how many edits that were taken left no version.
func lostEdits(ctx context.Context, rows string, edits int) (int, error) {
	cfg := database.DefaultConfig()
	cfg.URL = rows
	db, err := database.Open(ctx, cfg)
	if err != nil {
		return 0, err
	}
	var reasons int
	err = db.Read(ctx, func(ctx context.Context, tx *database.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT count(DISTINCT reason) FROM document_versions WHERE class = 'gc_policy' AND name = 'job'").Scan(&reasons)
	})
	return edits - reasons, errors.Join(err, db.Close())
}

// scrape returns the lines of a metric.
func scrape(ctx context.Context, address, prefix string) (lines []string, err error) {
	text, err := page(ctx, "http://"+address+"/metrics")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines, nil
}

// gauge returns the value of the first sample that mentions label.
func gauge(ctx context.Context, address, prefix, label string) (float64, error) {
	lines, err := scrape(ctx, address, prefix)
	if err != nil {
		return 0, err
	}
	for _, line := range lines {
		if strings.Contains(line, label) {
			return strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		}
	}
	return 0, nil
}

// bucketQuantile returns the upper bound of the histogram's bucket that the quantile falls into.
func bucketQuantile(ctx context.Context, address, name string, q float64) (float64, error) {
	lines, err := scrape(ctx, address, name+"_bucket{")
	if err != nil {
		return 0, err
	}
	if len(lines) == 0 {
		return 0, fmt.Errorf("there is no %s", name)
	}
	var bounds, counts []float64
	for _, line := range lines {
		_, rest, _ := strings.Cut(line, `le="`)
		le, _, _ := strings.Cut(rest, `"`)
		bound := math.Inf(1)
		if le != "+Inf" {
			if bound, err = strconv.ParseFloat(le, 64); err != nil {
				return 0, err
			}
		}
		n, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			return 0, err
		}
		bounds, counts = append(bounds, bound), append(counts, n)
	}
	for i, n := range counts {
		if n >= q*counts[len(counts)-1] {
			return bounds[i], nil
		}
	}
	return math.Inf(1), nil
}

// runRest is M4: small questions to one manager on SQLite with 10,000 jobs.
func runRest(ctx context.Context, s *suite) (err error) {
	ctx, cancel := bounded(ctx, 5*time.Minute)
	defer cancel()
	f, err := s.newFleet(ctx, loopback())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	rows := "sqlite:" + filepath.Join(f.dir, "rows.db")
	db, err := openTables(ctx, rows)
	if err != nil {
		return err
	}
	if err := errors.Join(fillJobs(ctx, db, "01J0000000000000", 10_000, 0), db.Close()); err != nil {
		return err
	}
	r := s.before(ctx, "M4", "sqlite, 10,000 jobs", 1, 0)
	n, c, err := f.manager(ctx, "m", rows)
	if err != nil {
		return err
	}
	var pages, wholes, visible []float64
	for range 20 {
		first, whole, err := listAll(ctx, c)
		if err != nil {
			return err
		}
		seen, err := createAndSee(ctx, c)
		if err != nil {
			return err
		}
		pages, wholes, visible = append(pages, first), append(wholes, whole), append(visible, seen)
	}
	r.Values["first page p50 ms"], r.Values["all 10,000 p50 ms"], r.Values["create to visible p50 ms"] = median(pages), median(wholes), median(visible)
	r.Values["create to visible p99 ms"] = quantile(visible, 0.99)
	return s.addRSS(r, n.PID())
}

// listAll returns the milliseconds of the first page of 500 jobs, and of all pages.
func listAll(ctx context.Context, c *rest.Client) (first, whole float64, err error) {
	began, token, n := time.Now(), "", 0
	for {
		q := url.Values{"page_size": {"500"}}
		if token != "" {
			q.Set("page_token", token)
		}
		a, err := c.Do(ctx, rest.Request{Op: "list jobs", Method: http.MethodGet, Path: "/v1/jobs", Query: q})
		if err != nil {
			return 0, 0, err
		}
		var page struct {
			Items []json.RawMessage `json:"items"`
			Next  string            `json:"next_page_token"`
		}
		if err := json.Unmarshal(a.Body, &page); err != nil {
			return 0, 0, err
		}
		whole = float64(time.Since(began).Microseconds()) / 1000
		if n == 0 {
			first = whole
		}
		if n += len(page.Items); page.Next == "" {
			if n < 10_000 {
				err = fmt.Errorf("only %d jobs are listed", n)
			}
			return first, whole, err
		}
		token = page.Next
	}
}

// createAndSee returns the milliseconds from asking for a preheat until a list shows it.
func createAndSee(ctx context.Context, c *rest.Client) (float64, error) {
	began := time.Now()
	var made struct {
		ID string `json:"id"`
	}
	a, err := c.Do(ctx, rest.Request{Op: "create a preheat", Method: http.MethodPost, Path: "/v1/preheats",
		Body: map[string]any{"kind": "files", "urls": []string{"https://origin.example/" + strconv.FormatInt(began.UnixNano(), 36)}}})
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(a.Body, &made); err != nil || made.ID == "" {
		return 0, fmt.Errorf("the answer names no job: %s", a.Body)
	}
	a, err = c.Do(ctx, rest.Request{Op: "list jobs", Method: http.MethodGet, Path: "/v1/jobs"})
	if err != nil {
		return 0, err
	}
	if !strings.Contains(string(a.Body), made.ID) {
		return 0, errors.New("the list does not show the job that was just made")
	}
	return float64(time.Since(began).Microseconds()) / 1000, nil
}

// page returns the text at a URL.
func page(ctx context.Context, at string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(answer.Body)
	return string(text), errors.Join(err, answer.Body.Close())
}
