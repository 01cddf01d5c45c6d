package manager

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/darter-p2p/darter/internal/database"
)

// message is one server-sent event.
type message struct {
	id, name string
	data     map[string]any
}

// follow reads a stream until it has seen what it wants.
func (s *site) follow(t *testing.T, web *httptest.Server, path, header, last string, enough func(message) bool) []message {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, web.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", header)
	if last != "" {
		r.Header.Set("Last-Event-Id", last)
	}
	resp, err := web.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s: %d %v", path, resp.StatusCode, resp.Header)
	}
	var out []message
	var m message
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			m.id = value
		case "event":
			m.name = value
		case "data":
			if err := json.Unmarshal([]byte(value), &m.data); err != nil {
				t.Fatal(err)
			}
		}
		if lines.Text() == "" && m.name != "" {
			out = append(out, m)
			if enough(m) {
				return out
			}
			m = message{}
		}
	}
	t.Fatalf("%s ended after %+v: %v", path, out, lines.Err())
	return nil
}

// TestOneStreamTellsOfEverything follows a job, a policy and a run on one stream, loses it, and goes on.
func TestOneStreamTellsOfEverything(t *testing.T) {
	eachSite(t, func(t *testing.T, s *site) {
		root := s.admin(t)
		s.live(t)
		web := httptest.NewServer(s.Handler())
		defer web.Close()
		do := func(method, path, body string, more ...string) reply {
			return s.ask(t, method, path, body, append([]string{"Authorization", root}, more...)...)
		}
		id := do("POST", "/v1/preheats", `{"kind":"files","urls":["https://a.example/1"]}`).want(t, "preheat", 202).text1("id")
		first := s.follow(t, web, "/v1/events:stream?after=0&type=job.*", root, "", func(m message) bool { return m.name == "job.queued" })
		last := first[len(first)-1]
		if last.data["resource"] != "jobs/"+id || last.id == "" {
			t.Errorf("%+v", last)
		}
		// What happens while nobody is connected is there afterwards, in order and once.
		do("POST", "/v1/jobs/"+id+":cancel?reason=enough", "").want(t, "cancel", 200)
		do("PUT", "/v1/gc/policies/event?reason=less", `{"rules":[{"after":"24h"}]}`, "If-Match", `"0"`).want(t, "policy", 200)
		ours := strings.TrimPrefix(do("POST", "/v1/gc/runs", `{"kind":"event"}`).want(t, "run", 202).Header.Get("Location"), "/v1/")
		rest := s.follow(t, web, "/v1/events:stream", root, last.id, func(m message) bool { return m.name == "gc.run.succeeded" && m.data["resource"] == ours })
		var names []string
		for i, m := range rest {
			if !strings.HasPrefix(m.name, "gc.run.") || m.data["resource"] == ours { // schedules have runs as well
				names = append(names, m.name)
			}
			if i > 0 && len(m.id) == len(rest[i-1].id) && m.id <= rest[i-1].id {
				t.Errorf("%s after %s", m.id, rest[i-1].id)
			}
		}
		told := strings.Join(names, " ")
		for _, want := range []string{"job.canceled", "gc_policy.publish", "gc.run.queued", "gc.run.running", "gc.run.succeeded"} {
			if strings.Count(told, want) != 1 {
				t.Errorf("%s is told %d times: %s", want, strings.Count(told, want), told)
			}
		}
		// A stream that begins now tells nothing of before.
		fresh := make(chan []message, 1)
		go func() {
			fresh <- s.follow(t, web, "/v1/events:stream?type=job.*", root, "", func(message) bool { return true })
		}()
		until(t, "an event of now", func() bool {
			do("POST", "/v1/preheats", `{"kind":"files","force":true,"urls":["https://a.example/2"]}`).want(t, "preheat", 202)
			select {
			case got := <-fresh:
				if got[0].data["resource"] == "jobs/"+id {
					t.Errorf("%+v", got)
				}
				return true
			default:
				return false
			}
		})
		// Whoever comes back after their place was cleaned is told so.
		err := s.rooms.DB.Write(t.Context(), func(ctx context.Context, tx *database.Tx) error {
			_, err := tx.ExecContext(ctx, "DELETE FROM events WHERE sequence < 5")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		late := s.follow(t, web, "/v1/events:stream", root, "1", func(m message) bool { return m.name != "gap" })
		if late[0].name != "gap" || late[1].data["sequence"] != 5.0 {
			t.Errorf("%+v", late[:2])
		}
	})
}
