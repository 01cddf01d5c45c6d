package manager

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/authtest"
)

const good = "correct horse battery staple"

// fine fails the test unless the answer has that status.
func (r reply) fine(t testing.TB, status int) reply {
	t.Helper()
	if r.StatusCode != status {
		t.Fatalf("%s: %d, want %d: %s", r.Header.Get("X-Request-Id"), r.StatusCode, status, r.text)
	}
	return r
}

// refused fails the test unless the answer is that problem.
func (r reply) refused(t testing.TB, what string, status int, code string) {
	t.Helper()
	if r.StatusCode != status || r.body["code"] != code || r.Header.Get("Content-Type") != "application/problem+json" || r.body["request_id"] == "" {
		t.Errorf("%s: %d %v, want %d %s: %.500s", what, r.StatusCode, r.body["code"], status, code, r.text)
	}
}

func (r reply) text1(name string) string {
	s, _ := r.body[name].(string)
	return s
}

func TestTheFirstAdministrator(t *testing.T) {
	eachSite(t, func(t *testing.T, s *site) {
		body := func(token string) string {
			return fmt.Sprintf(`{"token":%q,"name":"root","password":%q}`, token, good)
		}
		s.ask(t, "POST", "/v1/setup", body("dtu_wrong")).refused(t, "a wrong token", 401, "unauthenticated")
		s.ask(t, "POST", "/v1/setup", fmt.Sprintf(`{"token":%q,"name":"root","password":"short"}`, s.Setup().Token)).refused(t, "a weak password", 422, "invalid_argument")
		s.ask(t, "POST", "/v1/setup", body(s.Setup().Token)).fine(t, 201)
		s.ask(t, "POST", "/v1/setup", body(s.Setup().Token)).refused(t, "twice", 401, "unauthenticated")

		s.ask(t, "POST", "/v1/sessions", `{"name":"root","password":"wrong wrong wrong"}`).refused(t, "a wrong password", 401, "unauthenticated")
		in := s.ask(t, "POST", "/v1/sessions", fmt.Sprintf(`{"name":"root","password":%q}`, good)).fine(t, 201)
		cookie := strings.Split(in.Header.Get("Set-Cookie"), ";")[0]
		csrf := in.text1("csrf_token")
		if !strings.Contains(in.Header.Get("Set-Cookie"), "HttpOnly") || csrf == "" || strings.Contains(in.text, strings.TrimPrefix(cookie, "darter=")) {
			t.Errorf("%v %s", in.Header, in.text)
		}
		who := s.ask(t, "GET", "/v1/sessions/current", "", "Cookie", cookie).fine(t, 200)
		if who.text1("name") != "root" || who.text1("csrf_token") != csrf {
			t.Errorf("%s", who.text)
		}
		order := `{"name":"ci","scopes":["*:*"],"life":"24h"}`
		s.ask(t, "POST", "/v1/tokens", order, "Cookie", cookie).refused(t, "without the CSRF token", 403, "csrf")
		first := s.ask(t, "POST", "/v1/tokens", order, "Cookie", cookie, "X-Csrf-Token", csrf, "Idempotency-Key", "one").fine(t, 201)
		again := s.ask(t, "POST", "/v1/tokens", order, "Cookie", cookie, "X-Csrf-Token", csrf, "Idempotency-Key", "one").fine(t, 201)
		if first.text1("id") != again.text1("id") || first.text1("secret") == "" || again.text1("secret") != "" || again.Header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s, %s", first.text, again.text)
		}
		bearer := "Bearer " + first.text1("secret")
		if list := s.ask(t, "GET", "/v1/tokens", "", "Authorization", bearer).fine(t, 200); len(list.items()) != 1 || strings.Contains(list.text, first.text1("secret")) {
			t.Errorf("%s", list.text)
		}
		next := s.ask(t, "POST", "/v1/tokens/"+first.text1("id")+":rotate", `{"overlap":"1h"}`, "Authorization", bearer).fine(t, 201)
		s.ask(t, "DELETE", "/v1/tokens/"+first.text1("id"), "", "Authorization", "Bearer "+next.text1("secret")).fine(t, 204)
		s.ask(t, "GET", "/v1/tokens", "", "Authorization", bearer).refused(t, "a revoked token", 401, "unauthenticated")
		last := s.ask(t, "POST", "/v1/tokens/"+next.text1("id")+":rotate", "", "Authorization", "Bearer "+next.text1("secret")).fine(t, 201) // nothing has to be said
		s.ask(t, "GET", "/v1/tokens", "", "Authorization", "Bearer "+next.text1("secret")).refused(t, "a token that ended at once", 401, "unauthenticated")
		s.ask(t, "GET", "/v1/tokens", "", "Authorization", "Bearer "+last.text1("secret")).fine(t, 200)
		s.ask(t, "DELETE", "/v1/sessions/current", "", "Cookie", cookie, "X-Csrf-Token", csrf).fine(t, 204)
		s.nowhere(t, good, first.text1("secret"), next.text1("secret"), strings.TrimPrefix(cookie, "darter="), csrf, s.Setup().Token)
		s.ask(t, "GET", "/v1/sessions/current", "", "Cookie", cookie).refused(t, "a session that has ended", 401, "unauthenticated")
	})
}

func TestClustersAreDocumentsInVersions(t *testing.T) {
	eachSite(t, func(t *testing.T, s *site) {
		admin := s.token(t, s.user(t, "admin", auth.AdminRole, ""), "*:*")
		ask := func(method, target, body string, headers ...string) reply {
			t.Helper()
			return s.ask(t, method, target, body, append(headers, "Authorization", admin)...)
		}
		try := ask("POST", "/v1/clusters?dry_run=true", `{"name":"eu"}`).fine(t, 201)
		if list := ask("GET", "/v1/clusters", ""); len(list.items()) != 1 || try.Header.Get("Dry-Run") != "true" {
			t.Errorf("a dry run left something: %s", list.text)
		}
		made := ask("POST", "/v1/clusters?reason=growth", `{"name":"eu","scopes":{"cidrs":["10.0.0.0/8"]}}`, "Idempotency-Key", "k").fine(t, 201)
		again := ask("POST", "/v1/clusters?reason=growth", `{"name":"eu","scopes":{"cidrs":["10.0.0.0/8"]}}`, "Idempotency-Key", "k").fine(t, 201)
		if made.text != again.text || made.Header.Get("Location") != again.Header.Get("Location") || len(ask("GET", "/v1/clusters", "").items()) != 2 {
			t.Errorf("%s, %s", made.text, again.text)
		}
		ask("POST", "/v1/clusters", `{"name":"us"}`, "Idempotency-Key", "k").refused(t, "the key for something else", 422, "idempotency_mismatch")
		ask("POST", "/v1/clusters", `{"name":"eu"}`).refused(t, "a taken name", 409, "conflict")
		one := made.Header.Get("Location")

		ask("PUT", one, `{"name":"eu-1"}`).refused(t, "no If-Match", 428, "precondition_required")
		ask("PUT", one, `{"name":"eu-1"}`, "If-Match", `"9-abc"`).refused(t, "another If-Match", 412, "precondition_failed")
		ask("PUT", one, `{"name":"eu-1"}`, "If-Match", `"a", "b"`).refused(t, "two ETags", 422, "invalid_argument")
		second := ask("PATCH", one, `{"bio":"Europe","scopes":{"cidrs":null}}`, "If-Match", made.Header.Get("ETag"), "Content-Type", "application/merge-patch+json").fine(t, 200)
		if second.text1("bio") != "Europe" || strings.Contains(second.text, "10.0.0.0") || second.text1("name") != "eu" {
			t.Errorf("%s", second.text)
		}
		ask("PATCH", one, `{"bio":"x"}`, "If-Match", made.Header.Get("ETag")).refused(t, "a stale If-Match", 412, "precondition_failed")
		ask("PATCH", one, `{"owner":"me"}`, "If-Match", "*").refused(t, "an unknown member", 422, "invalid_argument")
		diff := ask("GET", one+"/revisions/2:diff?against=1", "").fine(t, 200)
		if !strings.Contains(diff.text, `"path":"bio"`) || !strings.Contains(diff.text, `Europe`) {
			t.Errorf("%s", diff.text)
		}
		back := ask("POST", one+":rollback", `{"version":1}`, "If-Match", second.Header.Get("ETag")).fine(t, 200)
		if !strings.Contains(back.text, "10.0.0.0/8") || back.body["version"] != 3.0 {
			t.Errorf("%s", back.text)
		}
		history := ask("GET", one+"/revisions?page_size=2", "").fine(t, 200)
		if len(history.items()) != 2 || history.text1("next_page_token") == "" || !strings.Contains(history.Header.Get("Link"), `rel="next"`) {
			t.Errorf("%v %s", history.Header, history.text)
		}
		rest := ask("GET", one+"/revisions?page_size=2&page_token="+history.text1("next_page_token"), "").fine(t, 200)
		if len(rest.items()) != 1 || rest.text1("next_page_token") != "" || !strings.Contains(rest.text, `"growth"`) {
			t.Errorf("%s", rest.text)
		}
		ask("GET", "/v1/clusters?page_token="+history.text1("next_page_token"), "").refused(t, "a token of another list", 422, "invalid_page_token")
		ask("DELETE", one+"?dry_run=true", "", "If-Match", back.Header.Get("ETag")).fine(t, 204)
		ask("DELETE", one, "", "If-Match", back.Header.Get("ETag")).fine(t, 204)
		ask("GET", one, "").refused(t, "a deleted one", 404, "not_found")
		audit := ask("GET", `/v1/audit-events?filter=resource%20%3D%20"cluster/`+made.text1("id")+`"`, "").fine(t, 200)
		if len(audit.items()) != 4 { // created, patched, rolled back, deleted: no trace of what was refused or tried
			t.Errorf("%d events: %s", len(audit.items()), audit.text)
		}
		lines := strings.Split(strings.TrimSpace(ask("GET", "/v1/audit-events:export", "").fine(t, 200).text), "\n")
		if last := lines[len(lines)-1]; last != `{"end":true}` || !json.Valid([]byte(lines[0])) || len(lines) < 5 {
			t.Errorf("%d lines, the last %s", len(lines), last)
		}
	})
}

func TestSettingsHaveDefaultsAndHistory(t *testing.T) {
	s := newSite(t)
	admin := s.token(t, s.user(t, "admin", auth.AdminRole, ""), "*:*")
	ask := func(method, target, body string, headers ...string) reply {
		t.Helper()
		return s.ask(t, method, target, body, append(headers, "Authorization", admin)...)
	}
	const one = "/v1/settings/lifecycle"
	unset := ask("GET", one, "").fine(t, 200)
	if unset.body["version"] != 0.0 || unset.Header.Get("ETag") != `"0"` || !strings.Contains(unset.text, "scheduler_remove_after") {
		t.Errorf("%v %s", unset.Header, unset.text)
	}
	ask("PUT", one, `{"scheduler_remove_after":"1s"}`, "If-Match", `"0"`).refused(t, "a bad document", 422, "invalid_argument")
	first := ask("PATCH", one+"?reason=why", `{"scheduler_remove_after":"48h"}`, "If-Match", `"0"`).fine(t, 200)
	ask("PUT", one, `{}`, "If-Match", `"0"`).refused(t, "as if nobody had written it", 412, "precondition_failed")
	draft := ask("PATCH", one+"?draft=true", `{"scheduler_remove_after":"72h"}`, "If-Match", first.Header.Get("ETag")).fine(t, 200)
	if now := ask("GET", one, ""); now.body["version"] != 1.0 || draft.body["version"] != 2.0 {
		t.Errorf("a draft is in force: %s", now.text)
	}
	second := ask("POST", one+":publish", `{"version":2}`, "If-Match", first.Header.Get("ETag")).fine(t, 200)
	back := ask("POST", one+":rollback", `{"version":1}`, "If-Match", second.Header.Get("ETag")).fine(t, 200)
	if !strings.Contains(back.text, `"scheduler_remove_after":"2d"`) {
		t.Errorf("%s", back.text)
	}
	ask("GET", "/v1/settings/nonsense", "").refused(t, "no such setting", 404, "not_found")
	ask("PUT", "/v1/settings/nonsense", `{}`, "If-Match", "*").refused(t, "no such setting", 404, "not_found")
	if all := ask("GET", "/v1/settings", "").fine(t, 200); len(all.items()) != len(s.rooms.Catalog.Settings()) {
		t.Errorf("%s", all.text)
	}
}

func TestWhoSeesOneClusterSeesNoOther(t *testing.T) {
	s := newSite(t)
	admin := s.token(t, s.user(t, "admin", auth.AdminRole, ""), "*:*")
	var ids []string
	for _, name := range []string{"a", "b", "c"} {
		ids = append(ids, s.ask(t, "POST", "/v1/clusters", `{"name":"`+name+`"}`, "Authorization", admin).fine(t, 201).text1("id"))
	}
	some := s.token(t, s.user(t, "some", "viewer", ids[1]), "*:*")
	list := s.ask(t, "GET", "/v1/clusters?page_size=1", "", "Authorization", some).fine(t, 200)
	if len(list.items()) != 1 || !strings.Contains(list.text, ids[1]) {
		t.Errorf("%s", list.text)
	}
	s.ask(t, "GET", "/v1/clusters/"+ids[1], "", "Authorization", some).fine(t, 200)
	s.ask(t, "GET", "/v1/clusters/"+ids[0], "", "Authorization", some).refused(t, "another cluster", 403, "forbidden")
	s.ask(t, "GET", "/v1/clusters/"+ids[0]+"/revisions/1:diff", "", "Authorization", some).refused(t, "another cluster's history", 403, "forbidden")
	s.ask(t, "PATCH", "/v1/clusters/"+ids[1], `{"bio":"x"}`, "If-Match", "*", "Authorization", some).refused(t, "to write", 403, "forbidden")
}

// TestBadInputChangesNothing sends what nobody should, and compares the rows.
func TestBadInputChangesNothing(t *testing.T) {
	eachSite(t, func(t *testing.T, s *site) {
		admin := s.token(t, s.user(t, "admin", auth.AdminRole, ""), "*:*")
		before := s.rows(t)
		injection := `x'); DROP TABLE clusters; --`
		quoted, _ := json.Marshal(injection)
		for name, c := range map[string]struct {
			method, target, body string
			status               int
			code                 string
		}{
			"not JSON":            {"POST", "/v1/clusters", `{"name"`, 400, "invalid_argument"},
			"a list":              {"POST", "/v1/clusters", `[]`, 422, "invalid_argument"},
			"an unknown member":   {"POST", "/v1/clusters", `{"name":"a","x":1}`, 422, "invalid_argument"},
			"an empty name":       {"POST", "/v1/clusters", `{"name":""}`, 422, "invalid_argument"},
			"a bad network":       {"POST", "/v1/clusters", `{"name":"a","scopes":{"cidrs":["10.0.0.0/99"]}}`, 422, "invalid_argument"},
			"a line break":        {"POST", "/v1/clusters", `{"name":"a\nlevel=error msg=forged"}`, 422, "invalid_argument"},
			"a zero byte":         {"POST", "/v1/clusters", `{"name":"a\u0000"}`, 422, "invalid_argument"},
			"a huge body":         {"POST", "/v1/clusters", `{"bio":"` + strings.Repeat("a", 2<<20) + `"}`, 413, "body_too_large"},
			"a huge document":     {"POST", "/v1/clusters", `{"name":"a","client":{"a":"` + strings.Repeat("a", 300<<10) + `"}}`, 422, "invalid_argument"},
			"no such cluster":     {"PUT", "/v1/clusters/01JD3K0000000000000000000X", `{"name":"a"}`, 404, "not_found"},
			"injection in a path": {"GET", "/v1/clusters/x'%20OR%20'1'='1", "", 404, "not_found"},
			"injection, filter":   {"GET", "/v1/audit-events?filter=actor%20%3D%20" + url.QueryEscape(string(quoted)), "", 200, ""},
			"a bad filter":        {"GET", "/v1/audit-events?filter=actor%20OR%201%3D1", "", 422, "invalid_filter"},
			"an unknown field":    {"GET", "/v1/audit-events?filter=body%20%3D%20x", "", 422, "invalid_filter"},
			"a forged page":       {"GET", "/v1/clusters?page_token=eyJhIjoiMDEifQ", "", 422, "invalid_page_token"},
			"too large a page":    {"GET", "/v1/clusters?page_size=501", "", 422, "invalid_argument"},
			"a negative page":     {"GET", "/v1/clusters?page_size=-1", "", 422, "invalid_argument"},
			"an unknown query":    {"GET", "/v1/clusters?pagesize=5", "", 422, "invalid_argument"},
			"a bad version":       {"GET", "/v1/clusters/x/revisions/0", "", 422, "invalid_argument"},
			"an overflow":         {"GET", "/v1/clusters/x/revisions/99999999999999999999", "", 422, "invalid_argument"},
			"a bad scope":         {"POST", "/v1/tokens", `{"name":"a","scopes":["eat:cake"]}`, 422, "invalid_argument"},
			"a bad life":          {"POST", "/v1/tokens", `{"name":"a","scopes":["*:*"],"life":"-1h"}`, 422, "invalid_argument"},
			"an endless life":     {"POST", "/v1/tokens", `{"name":"a","scopes":["*:*"],"life":"99999d"}`, 422, "invalid_argument"},
			"a life of nonsense":  {"POST", "/v1/tokens", `{"name":"a","scopes":["*:*"],"life":"soon"}`, 422, "invalid_argument"},
			"no such route":       {"GET", "/v1/nonsense", "", 404, "not_found"},
			"no such method":      {"PUT", "/v1/clusters", "", 405, "method_not_allowed"},
			"no authority":        {"GET", "/v1/join-tokens", "", 409, "conflict"},
		} {
			r := s.ask(t, c.method, c.target, c.body, "Authorization", admin, "If-Match", "*")
			if c.code == "" {
				r.fine(t, c.status)
				continue
			}
			r.refused(t, name, c.status, c.code)
			if strings.Contains(r.text, "SQL") || strings.Contains(r.text, "constraint") {
				t.Errorf("%s: inner text comes out: %s", name, r.text)
			}
		}
		if after := s.rows(t); after != before {
			t.Errorf("rows were %s, and are %s", before, after)
		}
	})
}

// nowhere fails the test when a secret lies in a row. A token's id is no secret: what follows it is.
func (s *site) nowhere(t *testing.T, secrets ...string) {
	t.Helper()
	rows := authtest.Dump(t, s.rooms.DB, "users", "tokens", "sessions", "setup_tokens", "idempotency_keys", "audit_events", "document_versions")
	for i, secret := range secrets {
		secret = secret[strings.LastIndexByte(secret, '_')+1:]
		if len(secret) < 10 || strings.Contains(rows, secret) {
			t.Errorf("secret %d lies in a row, or is none: %d bytes", i, len(secret))
		}
	}
}

// rows counts what a request could have left.
func (s *site) rows(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	err := s.rooms.DB.Read(t.Context(), func(ctx context.Context, tx *database.Tx) error {
		out.Reset()
		for _, table := range []string{"clusters", "documents", "document_versions", "tokens", "users", "audit_events", "idempotency_keys"} {
			var n int
			if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&n); err != nil {
				return err
			}
			fmt.Fprintf(&out, "%s %d ", table, n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestOneKeyManyRequests sends the same request many times at once: one effect, and everybody else gets its answer or
// is told that it is under way.
func TestOneKeyManyRequests(t *testing.T) {
	eachSite(t, func(t *testing.T, s *site) {
		admin := s.token(t, s.user(t, "admin", auth.AdminRole, ""), "*:*")
		var wait sync.WaitGroup
		var mu sync.Mutex
		got := make(map[string]int)
		for range 20 {
			wait.Add(1)
			go func() {
				defer wait.Done()
				r := s.ask(t, "POST", "/v1/clusters", `{"name":"x"}`, "Authorization", admin, "Idempotency-Key", "k")
				key := r.text1("code")
				if r.StatusCode == http.StatusCreated {
					key = r.text1("id")
				}
				mu.Lock()
				defer mu.Unlock()
				got[key]++
			}()
		}
		wait.Wait()
		flying := got["idempotency_in_flight"]
		delete(got, "idempotency_in_flight")
		if len(got) != 1 {
			t.Errorf("answers: %v, and %d in flight", got, flying)
		}
		if list := s.ask(t, "GET", "/v1/clusters", "", "Authorization", admin); len(list.items()) != 2 {
			t.Errorf("%s", list.text)
		}
	})
}
