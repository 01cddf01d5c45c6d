package manager

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/auth"
)

// live runs the site's rooms until the test ends.
func (s *site) live(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Manager.live(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// admin returns an Authorization header that may do everything.
func (s *site) admin(t testing.TB) string {
	return s.token(t, s.user(t, "root", auth.AdminRole, ""), "*:*")
}

// want fails the test unless the reply has the status, and a problem the code.
func (r reply) want(t testing.TB, what string, status int, code ...string) reply {
	t.Helper()
	if r.StatusCode != status || len(code) > 0 && r.body["code"] != code[0] {
		t.Errorf("%s: %d %s, want %d %v", what, r.StatusCode, r.text, status, code)
	}
	return r
}

// until asks again until the reply is as it should be.
func (s *site) until(t *testing.T, path, header, what string, ok func(reply) bool) reply {
	t.Helper()
	deadline := time.After(2 * time.Minute) // for what never comes
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		r := s.ask(t, "GET", path, "", "Authorization", header)
		if ok(r) {
			return r
		}
		select {
		case <-deadline:
			t.Fatalf("%s: still %d %s", what, r.StatusCode, r.text)
		case <-tick.C:
		}
	}
}

const filePreheat = `{"kind":"files","urls":["https://origin.example/model.bin"],"targets":{"scope":"all_peers","percentage":20},"headers":{"Authorization":"Bearer s3cret"}}`

func TestJobsAreMadeShownAndSteered(t *testing.T) {
	eachSite(t, func(t *testing.T, s *site) {
		root := s.admin(t)
		post := func(path, body string, more ...string) reply {
			return s.ask(t, "POST", path, body, append([]string{"Authorization", root, "Content-Type", "application/json"}, more...)...)
		}
		made := post("/v1/preheats?reason=release", filePreheat).want(t, "create", 202)
		id := made.text1("id")
		if made.Header.Get("Location") != "/v1/jobs/"+id || made.text1("state") != "queued" || strings.Contains(made.text, "s3cret") || made.body["compat_id"] != 1.0 {
			t.Errorf("created: %v %s", made.Header, made.text)
		}
		again := post("/v1/preheats", filePreheat).want(t, "the same again", 202)
		if again.text1("id") != id || again.body["attached"] != true {
			t.Errorf("not attached: %s", again.text)
		}
		keyed := post("/v1/jobs", strings.Replace(filePreheat, "{", `{"force":true,`, 1), "Idempotency-Key", "k1", "Prefer", "wait=10").want(t, "with a key", 202)
		replayed := post("/v1/jobs", strings.Replace(filePreheat, "{", `{"force":true,`, 1), "Idempotency-Key", "k1", "Prefer", "wait=10").want(t, "replayed", 202)
		if keyed.text1("id") == id || replayed.text1("id") != keyed.text1("id") || replayed.Header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("%s, %s", keyed.text, replayed.text)
		}
		post("/v1/jobs", filePreheat, "Idempotency-Key", "k1").want(t, "the key for something else", 422, "idempotency_mismatch")
		dry := post("/v1/preheats?dry_run=true", strings.Replace(filePreheat, "model", "other", 1)).want(t, "dry run", 202)
		s.ask(t, "GET", "/v1/jobs/"+dry.text1("id"), "", "Authorization", root).want(t, "what a dry run made", 404, "not_found")
		list := s.ask(t, "GET", "/v1/jobs?state=queued,running&kind=preheat.files&page_size=1", "", "Authorization", root).want(t, "list", 200)
		if len(list.items()) != 1 || list.text1("next_page_token") == "" {
			t.Errorf("list: %s", list.text)
		}
		for name, c := range map[string]struct {
			body string
			code int
			word string
		}{
			"no URL":           {`{"kind":"files"}`, 422, "invalid_argument"},
			"another kind":     {`{"kind":"nuke"}`, 422, "invalid_argument"},
			"no preheat":       {`{"kind":"task.locate","task_id":"x"}`, 422, "invalid_argument"},
			"unknown member":   {`{"kind":"files","urls":["https://a.example/"],"owner":"me"}`, 422, "invalid_argument"},
			"unknown cluster":  {`{"kind":"files","urls":["https://a.example/"],"clusters":[77]}`, 422, "invalid_argument"},
			"loopback":         {`{"kind":"files","urls":["http://127.0.0.1/x"]}`, 403, "egress_denied"},
			"metadata service": {`{"kind":"files","urls":["http://169.254.169.254/latest"]}`, 403, "egress_denied"},
			"user in the URL":  {`{"kind":"files","urls":["https://me:pw@a.example/"]}`, 422, "invalid_argument"},
			"a digest of two":  {`{"kind":"files","urls":["https://a.example/1","https://a.example/2"],"digest":"sha256:` + strings.Repeat("a", 64) + `"}`, 422, "invalid_argument"},
			"an odd digest":    {`{"kind":"files","urls":["https://a.example/1"],"digest":"md5:1"}`, 422, "invalid_argument"},
			"a host by name":   {`{"kind":"files","urls":["https://a.example/1"],"targets":{"ips":["h1"]}}`, 422, "invalid_argument"},
			"a line break":     {`{"kind":"files","urls":["https://a.example/1"],"headers":{"A":"b\r\nC: d"}}`, 422, "invalid_argument"},
		} {
			post("/v1/preheats", c.body).want(t, name, c.code, c.word)
		}
		post("/v1/jobs/"+id+":pause?reason=night", "").want(t, "pause", 200)
		post("/v1/jobs/"+id+":cancel?reason=wrong+file", "").want(t, "cancel", 200)
		post("/v1/jobs/"+id+":cancel", "").want(t, "cancel twice", 409, "job_over")
		post("/v1/jobs/"+id+":pin", `{"until":"2001-01-01T00:00:00Z"}`).want(t, "pin in the past", 422, "invalid_argument")
		pinned := post("/v1/jobs/"+id+":pin", fmt.Sprintf(`{"until":%q}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))).want(t, "pin", 200)
		if pinned.text1("pinned_until") == "" || pinned.text1("state") != "canceled" || pinned.text1("failure") != "canceled" {
			t.Errorf("pinned: %s", pinned.text)
		}
		retried := post("/v1/preheats/"+id+":retry", `{"headers":{"Authorization":"Bearer new"}}`).want(t, "retry", 202)
		if retried.text1("parent") != id {
			t.Errorf("retried: %s", retried.text)
		}
		events := s.ask(t, "GET", "/v1/jobs/"+id+"/events", "", "Authorization", root).want(t, "events", 200)
		if !strings.Contains(events.text, "wrong file") || len(events.items()) < 4 {
			t.Errorf("events: %s", events.text)
		}
		for _, part := range []string{"steps", "steps/0/items", "steps/0/hosts", "failures"} {
			s.ask(t, "GET", "/v1/jobs/"+id+"/"+part, "", "Authorization", root).want(t, part, 200)
		}
		stream := s.ask(t, "GET", "/v1/jobs/"+id+":watch", "", "Authorization", root).want(t, "watch what is over", 200)
		if !strings.Contains(stream.text, "event: created\n") || !strings.Contains(stream.text, "wrong file") {
			t.Errorf("watch: %s", stream.text)
		}
		audit := s.ask(t, "GET", "/v1/audit-events?filter=resource%20=%20%22jobs/"+id+"%22", "", "Authorization", root).want(t, "audit", 200)
		for _, word := range []string{"job.create", "job.cancel", "release", "wrong file", `"name":"root"`} {
			if !strings.Contains(audit.text, word) {
				t.Errorf("the audit lacks %q: %s", word, audit.text)
			}
		}
	})
}

func TestWhoMayHaveWhichJobMade(t *testing.T) {
	s := newSite(t)
	clusters, err := s.rooms.Catalog.Clusters(t.Context(), "", 1)
	if err != nil {
		t.Fatal(err)
	}
	inOne := s.token(t, s.user(t, "harbor", "preheater", clusters[0].ID), "*:*")
	everywhere := s.token(t, s.user(t, "ci", "preheater", ""), "*:*")
	for name, c := range map[string]struct {
		who, body string
		code      int
	}{
		"one's own cluster":      {inOne, `{"kind":"files","urls":["https://a.example/1"],"clusters":[1]}`, 202},
		"all clusters":           {inOne, `{"kind":"files","urls":["https://a.example/1"]}`, 403},
		"a cluster there is not": {inOne, `{"kind":"files","urls":["https://a.example/1"],"clusters":[2]}`, 422},
		"everywhere":             {everywhere, `{"kind":"files","urls":["https://a.example/2"]}`, 202},
		"purge":                  {everywhere, `{"kind":"task.purge","task_id":"x"}`, 403},
		"clean up":               {everywhere, `{"kind":"gc.records","records":"job"}`, 403},
	} {
		s.ask(t, "POST", "/v1/jobs", c.body, "Authorization", c.who, "Content-Type", "application/json").want(t, name, c.code)
	}
	schedule := `{"name":"%s","cron":"@daily","job":%s}`
	s.ask(t, "POST", "/v1/schedules", fmt.Sprintf(schedule, "purge", `{"kind":"task.purge","task_id":"x"}`), "Authorization", everywhere).want(t, "what one may not do now, one may not schedule", 403)
	s.ask(t, "POST", "/v1/schedules", fmt.Sprintf(schedule, "ok", `{"kind":"files","urls":["https://a.example/1"]}`), "Authorization", everywhere).want(t, "schedule", 201)
}

func TestSchedulesOverREST(t *testing.T) {
	eachSite(t, func(t *testing.T, s *site) {
		root := s.admin(t)
		do := func(method, path, body string, more ...string) reply {
			return s.ask(t, method, path, body, append([]string{"Authorization", root}, more...)...)
		}
		body := `{"name":"nightly","cron":"0 2 * * *","zone":"Europe/Berlin","job":{"kind":"files","urls":["https://a.example/1"]}}`
		made := do("POST", "/v1/schedules", body).want(t, "create", 201)
		one := "/v1/schedules/" + made.text1("id")
		if made.Header.Get("Location") != one || made.text1("next_at") == "" || made.text1("kind") != "preheat.files" {
			t.Errorf("%v %s", made.Header, made.text)
		}
		do("POST", "/v1/schedules", body).want(t, "twice", 409, "conflict")
		do("POST", "/v1/schedules", strings.Replace(body, "0 2", "99 2", 1)).want(t, "never", 422, "invalid_argument")
		do("POST", "/v1/schedules", strings.Replace(body, `"urls"`, `"headers":{"A":"b"},"urls"`, 1)).want(t, "with headers", 422, "invalid_argument")
		weekly := strings.Replace(body, "0 2 * * *", "0 2 * * 1", 1)
		do("PUT", one, weekly).want(t, "without If-Match", 428, "precondition_required")
		do("PUT", one, weekly, "If-Match", `"7"`).want(t, "stale", 412, "precondition_failed")
		do("PUT", one, strings.Replace(weekly, "nightly", "weekly", 1), "If-Match", made.Header.Get("ETag")).want(t, "another name", 422, "invalid_argument")
		put := do("PUT", one, weekly, "If-Match", made.Header.Get("ETag")).want(t, "replace", 200)
		if put.text1("cron") != "0 2 * * 1" || put.Header.Get("ETag") == made.Header.Get("ETag") || put.text1("id") != made.text1("id") {
			t.Errorf("%v %s", put.Header, put.text)
		}
		if r := do("POST", one+":pause", "").want(t, "pause", 200); r.body["paused"] != true {
			t.Error(r.text)
		}
		if r := do("POST", one+":resume", "").want(t, "resume", 200); r.body["paused"] != false {
			t.Error(r.text)
		}
		do("GET", one+"/fires", "").want(t, "fires", 200)
		do("GET", "/v1/schedules", "").want(t, "list", 200)
		now := do("GET", one, "").want(t, "get", 200)
		do("DELETE", one, "", "If-Match", now.Header.Get("ETag")).want(t, "delete", 204)
		do("GET", one, "").want(t, "get what is gone", 404, "not_found")
	})
}

func TestPoliciesPlansAndRunsOverREST(t *testing.T) {
	eachSite(t, func(t *testing.T, s *site) {
		root := s.admin(t)
		do := func(method, path, body string, more ...string) reply {
			return s.ask(t, method, path, body, append([]string{"Authorization", root}, more...)...)
		}
		s.live(t)
		const policy = "/v1/gc/policies/host_event"
		first := do("GET", policy, "").want(t, "built in", 200)
		if first.body["version"] != 0.0 || first.Header.Get("ETag") != `"0"` {
			t.Errorf("%v %s", first.Header, first.text)
		}
		if n := len(do("GET", "/v1/gc/policies", "").want(t, "list", 200).items()); n < 7 {
			t.Errorf("%d policies", n)
		}
		do("GET", "/v1/gc/policies/nothing", "").want(t, "unknown", 404, "not_found")
		twoDays := `{"rules":[{"after":"48h"}]}`
		do("PUT", policy, twoDays).want(t, "without If-Match", 428, "precondition_required")
		bad := do("PUT", policy, `{"rules":[{"after":"1m"}],"rate":-1}`, "If-Match", `"0"`).want(t, "bad", 422, "invalid_argument")
		if !strings.Contains(bad.text, "/rules/0/after") || !strings.Contains(bad.text, "/rate") {
			t.Errorf("the faults are not named: %s", bad.text)
		}
		if r := do("PUT", policy+"?dry_run=true", twoDays, "If-Match", `"0"`).want(t, "dry run", 200); !strings.Contains(r.text, "rules/0/after") {
			t.Errorf("no diff: %s", r.text)
		}
		v1 := do("PUT", policy+"?reason=less+disk", twoDays, "If-Match", `"0"`).want(t, "publish", 200)
		if v1.body["version"] != 1.0 || v1.text1("reason") != "less disk" || v1.body["in_force"] != true {
			t.Errorf("%s", v1.text)
		}
		do("PUT", policy, twoDays, "If-Match", `"0"`).want(t, "stale", 412, "precondition_failed")
		draft := do("PUT", policy+"?draft=true", `{"rules":[{"after":"72h"}]}`, "If-Match", v1.Header.Get("ETag")).want(t, "draft", 200)
		if draft.body["in_force"] != false || draft.body["version"] != 2.0 {
			t.Errorf("%s", draft.text)
		}
		do("POST", policy+":simulate?version=2", "").want(t, "simulate a draft", 200)
		do("POST", policy+":publish", `{"version":2}`, "If-Match", v1.Header.Get("ETag")).want(t, "publish the draft", 200)
		do("GET", policy+"/revisions/2:diff", "").want(t, "diff", 200)
		if r := do("GET", policy+"/revisions", "").want(t, "revisions", 200); len(r.items()) != 2 {
			t.Errorf("%s", r.text)
		}
		now := do("GET", policy, "").want(t, "in force", 200)
		back := do("POST", policy+":rollback?reason=too+long", `{"version":1}`, "If-Match", now.Header.Get("ETag")).want(t, "roll back", 200)
		if back.body["rolled_back_from"] != 1.0 || back.body["version"] != 3.0 {
			t.Errorf("%s", back.text)
		}
		s.hostEvents(t, 3)
		plan := do("POST", "/v1/gc/plans", `{"kind":"host_event"}`).want(t, "plan", 201)
		if plan.body["eligible"] != 3.0 || plan.body["policy_version"] != 3.0 {
			t.Errorf("%s", plan.text)
		}
		at := "/v1/gc/plans/" + plan.text1("id")
		if r := do("GET", at, "").want(t, "get plan", 200); r.text1("digest") != plan.text1("digest") || r.Header.Get("ETag") == "" {
			t.Errorf("%v %s", r.Header, r.text)
		}
		do("POST", at+":apply", "", "If-Match", `"another"`).want(t, "apply another plan than was seen", 412, "precondition_failed")
		run := do("POST", at+":apply?reason=tidy", "", "If-Match", plan.Header.Get("ETag")).want(t, "apply", 202)
		path := run.Header.Get("Location")
		done := s.until(t, path, root, "the run", func(r reply) bool { return r.text1("state") == "succeeded" })
		if done.body["deleted"] != 3.0 || done.text1("plan") != plan.text1("id") || !strings.Contains(done.text, `"name":"root"`) {
			t.Errorf("%s", done.text)
		}
		do("POST", at+":apply", "").want(t, "apply again", 409, "plan_stale")
		if r := do("GET", path+"/batches", "").want(t, "batches", 200); len(r.items()) != 1 {
			t.Errorf("%s", r.text)
		}
		if r := do("GET", path+":watch", "").want(t, "watch", 200); !strings.Contains(r.text, "event: run\n") || !strings.Contains(r.text, "succeeded") {
			t.Errorf("%s", r.text)
		}
		do("POST", path+":cancel", "").want(t, "cancel what is over", 409, "conflict")
		stale := do("POST", "/v1/gc/plans", `{"kind":"host_event"}`).want(t, "another plan", 201)
		do("PUT", policy, twoDays, "If-Match", "*").want(t, "publish again", 200)
		do("POST", "/v1/gc/plans/"+stale.text1("id")+":apply", "").want(t, "a plan of an older policy", 409, "plan_stale")
		by := do("POST", "/v1/gc/runs?reason=by+hand", `{"kind":"host_event"}`).want(t, "run", 202)
		s.until(t, by.Header.Get("Location"), root, "the run by hand", func(r reply) bool { return r.text1("state") == "succeeded" })
		if r := do("GET", "/v1/gc/runs?kind=host_event&state=succeeded", "").want(t, "runs", 200); len(r.items()) != 2 {
			t.Errorf("%s", r.text)
		}
		do("GET", "/v1/gc/runs?state=odd", "").want(t, "an odd state", 422, "invalid_filter")
		operator := s.token(t, s.user(t, "op", "operator", ""), "*:*")
		s.ask(t, "POST", "/v1/gc/plans/"+stale.text1("id")+":apply", `{"confirm":true}`, "Authorization", operator).want(t, "who may not confirm", 403, "forbidden")
		events := s.until(t, "/v1/events?type=gc.run.*,gc_policy.*&resource=gc", root, "events", func(r reply) bool { return strings.Count(r.text, "gc.run.succeeded") >= 2 })
		for _, word := range []string{"gc_policy.draft", "gc_policy.rollback", "too long", "gc.run.queued", "gc/policies/host_event"} {
			if !strings.Contains(events.text, word) {
				t.Errorf("no %s in the events: %s", word, events.text)
			}
		}
	})
}

// TestAWebhookHearsOfWhatFailed goes the whole way: target, failed job, signed delivery.
func TestAWebhookHearsOfWhatFailed(t *testing.T) {
	eachSite(t, func(t *testing.T, s *site) {
		root := s.admin(t)
		do := func(method, path, body string, more ...string) reply {
			return s.ask(t, method, path, body, append([]string{"Authorization", root}, more...)...)
		}
		got := make(chan darter.Event, 10)
		hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var e darter.Event
			if json.NewDecoder(r.Body).Decode(&e) == nil && r.Header.Get("Webhook-Signature") != "" {
				got <- e
			}
		}))
		defer hook.Close()
		do("POST", "/v1/notifications", fmt.Sprintf(`{"name":"ops","url":%q}`, hook.URL)).want(t, "loopback", 403, "egress_denied")
		do("PUT", "/v1/settings/egress", `{"exempt":["127.0.0.0/8","::1/128"]}`, "If-Match", "*").want(t, "allow loopback", 200)
		s.live(t)
		made := s.allowed(t, func() reply {
			return do("POST", "/v1/notifications", fmt.Sprintf(`{"name":"ops","url":%q,"types":["job.*"]}`, hook.URL))
		})
		made.want(t, "create", 201)
		if !strings.HasPrefix(made.text1("secret"), "whsec_") {
			t.Errorf("%s", made.text)
		}
		one := made.Header.Get("Location")
		if r := do("GET", one, "").want(t, "get", 200); r.text1("secret") != "" {
			t.Errorf("the secret is shown again: %s", r.text)
		}
		if r := do("POST", one+":test", "").want(t, "test", 200); r.body["ok"] != true || (<-got).Type != "notification.test" {
			t.Errorf("%s", r.text)
		}
		job := do("POST", "/v1/preheats", `{"kind":"files","urls":["http://127.0.0.1:1/x"]}`).want(t, "preheat", 202).text1("id")
		do("POST", "/v1/jobs/"+job+":cancel?reason=enough", "").want(t, "cancel", 200)
		for seen := ""; seen != "job.canceled"; {
			e := <-got
			if seen = e.Type; e.Resource != "jobs/"+job {
				t.Errorf("%+v", e)
			}
		}
		s.until(t, one+"/deliveries", root, "deliveries", func(r reply) bool { return strings.Count(r.text, `"state":"delivered"`) >= 2 })
		now := do("GET", one, "").want(t, "get", 200)
		do("PUT", one, `{"name":"ops","url":"https://hooks.example/x","enabled":false}`, "If-Match", `"99"`).want(t, "stale", 412, "precondition_failed")
		do("PUT", one, `{"name":"ops","url":"https://hooks.example/x","enabled":false}`, "If-Match", now.Header.Get("ETag")).want(t, "replace", 200)
		do("DELETE", one, "", "If-Match", "*").want(t, "delete", 204)
		down := do("GET", "/v1/events?order=newest&page_size=2", "").want(t, "the newest events", 200)
		more := do("GET", "/v1/events?order=newest&page_size=2&page_token="+down.text1("next_page_token"), "").want(t, "those before", 200)
		var numbers []float64
		for _, item := range append(down.items(), more.items()...) {
			n, _ := item.(map[string]any)["sequence"].(float64)
			numbers = append(numbers, -n)
		}
		if len(numbers) != 4 || !slices.IsSorted(numbers) || numbers[0] == numbers[3] {
			t.Errorf("%v", numbers)
		}
		do("GET", "/v1/events?page_size=2&page_token="+down.text1("next_page_token"), "").want(t, "a token of the other order", 422, "invalid_page_token")
		do("GET", "/v1/events:stream?type=Job", "").want(t, "an odd type", 422, "invalid_argument")
		do("GET", "/v1/events:stream", "", "Last-Event-ID", "x").want(t, "an odd id", 422, "invalid_argument")
	})
}

// allowed asks until a setting that was just published counts here.
func (s *site) allowed(t *testing.T, ask func() reply) reply {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		r := ask()
		if r.StatusCode != http.StatusForbidden {
			return r
		}
		select {
		case <-deadline:
			t.Fatalf("still %s", r.text)
		case <-tick.C:
		}
	}
}

// hostEvents writes old events of a host.
func (s *site) hostEvents(t *testing.T, n int) {
	t.Helper()
	old := database.At(time.Now().Add(-400 * 24 * time.Hour))
	err := s.rooms.DB.Write(t.Context(), func(ctx context.Context, tx *database.Tx) error {
		for range n {
			_, err := tx.ExecContext(ctx, "INSERT INTO host_events (id, host_id, at, epoch, verdict, before, reporter, detail) VALUES (?, 'h', ?, 1, 'alive', '', 's', '')", tx.NewID(), old)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
