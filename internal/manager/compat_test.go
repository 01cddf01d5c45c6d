package manager

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/account"
	"github.com/darter-p2p/darter/internal/manager/auth/authtest"
	"github.com/darter-p2p/darter/internal/manager/jobs"
)

// driver asks as Harbor's driver does, over a real connection: no retry, any 2xx but 208 is good, the first answer that
// is not what it knows is the end.
type driver struct {
	t        *testing.T
	endpoint string
	auth     func(r *http.Request) // one of Harbor's modes
}

// harborJob is what Harbor decodes; anything else fails its decoder.
type harborJob struct {
	ID        int       `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	State     string    `json:"state"`
	Result    *struct {
		JobStates []struct {
			Error   string `json:"error"`
			Results []struct {
				SuccessTasks []harborTask `json:"success_tasks"`
				FailureTasks []harborTask `json:"failure_tasks"`
				Cluster      uint         `json:"scheduler_cluster_id"`
			} `json:"results"`
		} `json:"job_states"`
	} `json:"result"`
}

type harborTask struct {
	URL         string `json:"url"`
	Hostname    string `json:"hostname"`
	IP          string `json:"ip"`
	Description string `json:"description"`
}

func (d *driver) do(method, path string, body any) (int, []byte) {
	d.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		d.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(d.t.Context(), method, d.endpoint+path, bytes.NewReader(raw))
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	if d.auth != nil {
		d.auth(r)
	}
	resp, err := (&http.Client{Timeout: 30 * time.Second}).Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	var out bytes.Buffer
	if _, err := out.ReadFrom(resp.Body); err != nil {
		d.t.Fatal(err)
	}
	return resp.StatusCode, out.Bytes()
}

// preheat is what the driver posts: all members, zero values included.
func (d *driver) preheat(url, scope string, clusters []uint) (int, []byte) {
	d.t.Helper()
	return d.do(http.MethodPost, "/oapi/v1/jobs", map[string]any{"type": "preheat", "scheduler_cluster_ids": clusters,
		"args": map[string]any{"type": "image", "url": url, "tag": "", "filtered_query_params": "", "headers": map[string]string{"Authorization": "Bearer pull-s3cret"},
			"scope": scope, "concurrent_count": 0, "timeout": 0}})
}

func (d *driver) poll(id int) harborJob {
	d.t.Helper()
	code, body := d.do(http.MethodGet, fmt.Sprintf("/oapi/v1/jobs/%d", id), nil)
	var j harborJob
	if err := json.Unmarshal(body, &j); err != nil || code/100 != 2 || code == 208 {
		d.t.Fatalf("poll: %d %s, %v", code, body, err)
	}
	switch j.State {
	case "PENDING", "SUCCESS", "FAILURE":
	default:
		d.t.Fatalf("Harbor does not know state %q", j.State)
	}
	return j
}

// registry serves one image, to whoever has the token.
func registry(t *testing.T) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer pull-s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if !strings.HasSuffix(r.URL.Path, "/manifests/1.2") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		layer := func(c string) string {
			return `{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":10,"digest":"sha256:` + strings.Repeat(c, 64) + `"}`
		}
		_, _ = fmt.Fprintf(w, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"sha256:%s"},"layers":[%s]}`,
			strings.Repeat("c", 64), layer("a"))
	}))
	t.Cleanup(s.Close)
	return s
}

// scheduler does the dispatch steps of cluster 1 as an attached scheduler would; what is in bad fails.
func (s *site) scheduler(t *testing.T, bad string) {
	t.Helper()
	e := s.rooms.Jobs
	seed := darter.Target{ID: "seed-1", Hostname: "seed-1", IP: addr("10.0.0.1"), Kind: darter.Seed}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			o, err := e.Claim(ctx, jobs.Claimer{Owner: "scheduler-1", Cluster: 1})
			if err != nil || o == nil {
				continue
			}
			r := darter.OrderReport{Lease: o.Lease, Hosts: []darter.Target{seed}, Ended: true}
			for _, it := range o.Items {
				out := darter.OrderOutcome{Item: it.Number, Bytes: 10}
				if bad != "" && strings.Contains(it.Want.URL, bad) {
					out.Failure, out.Text = darter.Failed404, "no such blob"
				}
				r.Outcomes = append(r.Outcomes, out)
			}
			if err := e.Report(ctx, r); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	}()
	t.Cleanup(func() { stop(); <-ended })
}

// modes are Harbor's ways to authenticate.
func (s *site) modes(t *testing.T) map[string]func(*http.Request) {
	token := strings.TrimPrefix(s.token(t, s.user(t, "harbor", "preheater", ""), "*:*"), "Bearer ")
	person, err := s.rooms.Accounts.CreateUser(t.Context(), authtest.Admin(), account.Draft{Kind: auth.User, Name: "robot", Password: good})
	if err == nil {
		_, err = s.rooms.Accounts.Bind(t.Context(), authtest.Admin(), person.ID, "preheater", "")
	}
	if err != nil {
		t.Fatal(err)
	}
	return map[string]func(*http.Request){
		"oauth":                 func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) },
		"basic":                 func(r *http.Request) { r.SetBasicAuth("robot", good) },
		"basic, with the token": func(r *http.Request) { r.SetBasicAuth("anything", token) },
		"custom": func(r *http.Request) {
			r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("robot:"+good)))
		},
	}
}

// allow lets the manager go to loopback, where the tests' registries are.
func (s *site) allow(t *testing.T, root string) {
	t.Helper()
	s.ask(t, "PUT", "/v1/settings/egress", `{"exempt":["127.0.0.0/8","::1/128"]}`, "Authorization", root, "If-Match", "*").want(t, "allow loopback", 200)
	s.allowed(t, func() reply {
		return s.ask(t, "POST", "/v1/preheats?dry_run=true", `{"kind":"files","urls":["http://127.0.0.1:1/"]}`, "Authorization", root)
	})
}

func TestHarborPreheats(t *testing.T) {
	eachSite(t, func(t *testing.T, s *site) {
		s.live(t)
		s.allow(t, s.admin(t))
		s.scheduler(t, "")
		web, images := httptest.NewServer(s.Handler()), registry(t)
		defer web.Close()
		for mode, auth := range s.modes(t) {
			t.Run(mode, func(t *testing.T) {
				d := &driver{t, web.URL, auth}
				if code, body := d.do("GET", "/healthy", nil); code != 200 {
					t.Fatalf("healthy: %d %s", code, body)
				}
				for _, scope := range []string{"", "single_seed_peer", "all_seed_peers"} {
					code, body := d.preheat(images.URL+"/v2/proj/app/manifests/1.2", scope, nil)
					var made harborJob
					if err := json.Unmarshal(body, &made); err != nil || code/100 != 2 || made.ID == 0 || made.CreatedAt.IsZero() || made.UpdatedAt.IsZero() {
						t.Fatalf("create: %d %s, %v", code, body, err)
					}
					var j harborJob
					until(t, "the end", func() bool { j = d.poll(made.ID); return j.State != "PENDING" })
					if j.State != "SUCCESS" || j.Result == nil || len(j.Result.JobStates) != 1 || len(j.Result.JobStates[0].Results) != 1 {
						t.Fatalf("%+v", j)
					}
					r := j.Result.JobStates[0].Results[0]
					if len(r.SuccessTasks) != 2 || len(r.FailureTasks) != 0 || r.Cluster != 1 || r.SuccessTasks[0].Hostname != "seed-1" || r.SuccessTasks[0].IP != "10.0.0.1" ||
						!strings.Contains(r.SuccessTasks[0].URL, "/v2/proj/app/blobs/sha256:") {
						t.Errorf("%+v", r)
					}
				}
			})
		}
	})
}

func TestHarborIsToldTheTruth(t *testing.T) {
	eachSite(t, func(t *testing.T, s *site) {
		s.live(t)
		s.allow(t, s.admin(t))
		s.scheduler(t, strings.Repeat("a", 64))
		web, images := httptest.NewServer(s.Handler()), registry(t)
		defer web.Close()
		var auth func(*http.Request)
		for mode, f := range s.modes(t) {
			if mode == "oauth" {
				auth = f
			}
		}
		d := &driver{t, web.URL, auth}
		for name, c := range map[string]struct {
			url   string
			words []string
		}{
			"a blob that is nowhere": {"/v2/proj/app/manifests/1.2", []string{"1 of 2 items"}},
			"no such image":          {"/v2/proj/app/manifests/none", []string{"upstream_404"}},
		} {
			_, body := d.preheat(images.URL+c.url, "single_seed_peer", nil)
			var j harborJob
			if err := json.Unmarshal(body, &j); err != nil {
				t.Fatalf("%s: %s", name, body)
			}
			until(t, name, func() bool { j = d.poll(j.ID); return j.State != "PENDING" })
			if j.State != "FAILURE" || j.Result == nil || len(j.Result.JobStates) == 0 || j.Result.JobStates[0].Error == "" {
				t.Fatalf("%s: %+v", name, j)
			}
			for _, word := range c.words {
				if !strings.Contains(j.Result.JobStates[0].Error, word) {
					t.Errorf("%s: %q lacks %q", name, j.Result.JobStates[0].Error, word)
				}
			}
			if name == "no such image" {
				continue
			}
			if r := j.Result.JobStates[0].Results[0]; len(r.FailureTasks) != 1 || !strings.Contains(r.FailureTasks[0].Description, "no such blob") || len(r.SuccessTasks) != 1 {
				t.Errorf("%s: %+v", name, r)
			}
		}
		for name, c := range map[string]struct {
			url  string
			ids  []uint
			code int
		}{
			"metadata service": {"http://169.254.169.254/v2/a/manifests/1", nil, 403},
			"no URL":           {"not a url", nil, 422},
			"unknown cluster":  {images.URL + "/v2/a/manifests/1", []uint{99}, 422},
		} {
			code, body := d.preheat(c.url, "", c.ids)
			var p struct{ Message, Code string }
			if err := json.Unmarshal(body, &p); err != nil || code != c.code || p.Message == "" || p.Code == "" {
				t.Errorf("%s: %d %s", name, code, body)
			}
		}
		if bytes.Contains([]byte(fmt.Sprint(s.ask(t, "GET", "/v1/jobs", "", "Authorization", s.admin(t)).text)), []byte("pull-s3cret")) {
			t.Error("the token is shown")
		}
	})
}

func TestHarborWithoutOrWithWrongCredentials(t *testing.T) {
	s := newSite(t)
	web := httptest.NewServer(s.Handler())
	defer web.Close()
	for name, c := range map[string]struct {
		auth    func(*http.Request)
		healthy int
	}{
		"none":        {nil, 200},
		"wrong token": {func(r *http.Request) { r.Header.Set("Authorization", "Bearer nonsense") }, 401},
		"wrong basic": {func(r *http.Request) { r.SetBasicAuth("robot", "wrong wrong wrong") }, 401},
	} {
		d := &driver{t, web.URL, c.auth}
		if code, body := d.do("GET", "/healthy", nil); code != c.healthy {
			t.Errorf("%s: healthy %d %s", name, code, body)
		}
		if code, body := d.preheat("https://harbor.example/v2/a/manifests/1", "", nil); code != 401 || !bytes.Contains(body, []byte("unauthenticated")) {
			t.Errorf("%s: create %d %s", name, code, body)
		}
	}
}

// TestPollsAreNeverToldToWait polls faster than anybody else may ask.
func TestPollsAreNeverToldToWait(t *testing.T) {
	s := newSite(t)
	who := s.token(t, s.user(t, "harbor", "preheater", ""), "*:*")
	s.ask(t, "POST", "/oapi/v1/jobs", `{"type":"preheat","args":{"type":"file","url":"https://a.example/1"}}`, "Authorization", who).want(t, "create", 200)
	for range 300 { // the bucket of a principal has 200
		if r := s.ask(t, "GET", "/oapi/v1/jobs/1", "", "Authorization", who); r.StatusCode != 200 {
			t.Fatalf("%d %s", r.StatusCode, r.text)
		}
	}
}

func TestOldJobs(t *testing.T) {
	eachSite(t, func(t *testing.T, s *site) {
		root := s.admin(t)
		s.live(t)
		do := func(method, path, body string) reply { return s.ask(t, method, path, body, "Authorization", root) }
		made := do("POST", "/oapi/v1/jobs", `{"type":"preheat","bio":"release","args":{"type":"file","urls":["https://a.example/1"],"username":"u","password":"p4ss","scope":"all_peers","timeout":90000000000,"unknown":1},"user_id":77}`).want(t, "create", 200)
		if made.body["id"] != 1.0 || made.body["state"] != "PENDING" || made.body["type"] != "preheat" || made.body["bio"] != "release" || made.body["result"] != nil || strings.Contains(made.text, "p4ss") {
			t.Errorf("%s", made.text)
		}
		if args, _ := made.body["args"].(map[string]any); args["timeout"] != 90e9 || args["scope"] != "all_peers" || args["type"] != "file" {
			t.Errorf("%s", made.text)
		}
		do("POST", "/oapi/v1/jobs", `{"type":"get_task","args":{"task_id":"`+strings.Repeat("a", 64)+`"}}`).want(t, "get_task", 200)
		do("POST", "/oapi/v1/jobs", `{"type":"delete_task","args":{"url":"https://a.example/1"}}`).want(t, "delete_task", 200)
		do("POST", "/oapi/v1/jobs", `{"type":"sync_peers"}`).want(t, "sync_peers", 200)
		for name, body := range map[string]string{"no type": `{}`, "odd type": `{"type":"x"}`, "odd preheat": `{"type":"preheat","args":{"type":"x","url":"https://a.example/1"}}`,
			"odd gc": `{"type":"gc","args":{"type":"user"}}`, "storage": `{"type":"preheat","args":{"type":"file","url":"https://a.example/1","object_storage":{"region":"x"}}}`} {
			do("POST", "/oapi/v1/jobs", body).want(t, name, 422, "invalid_argument")
		}
		do("POST", "/oapi/v1/jobs", `[`).want(t, "no JSON", 400, "invalid_argument")
		do("POST", "/oapi/v1/jobs", `{"type":"get_image_distribution","args":{"url":"https://a.example/1"}}`).want(t, "what is not there", 501, "not_implemented")
		list := do("GET", "/oapi/v1/jobs?type=preheat&state=PENDING&page=1&per_page=10", "").want(t, "list", 200)
		if !strings.HasPrefix(list.text, "[") || strings.Count(list.text, `"type":"preheat"`) != 1 || !strings.Contains(list.Header.Get("Link"), `rel="last"`) {
			t.Errorf("%v %s", list.Header, list.text)
		}
		if two := do("GET", "/oapi/v1/jobs?per_page=1&page=2", "").want(t, "second page", 200); !strings.Contains(two.Header.Get("Link"), `rel="prev"`) || strings.Count(two.text, `"created_at"`) != 1 {
			t.Errorf("%v %s", two.Header, two.text)
		}
		if r := do("PATCH", "/oapi/v1/jobs/1", `{"bio":"other"}`).want(t, "patch", 200); r.body["bio"] != "other" {
			t.Errorf("%s", r.text)
		}
		do("DELETE", "/oapi/v1/jobs/1", "").want(t, "delete", 200)
		do("DELETE", "/oapi/v1/jobs/1", "").want(t, "delete twice", 200)
		s.until(t, "/oapi/v1/jobs/1", root, "the end of what was deleted", func(r reply) bool { // whoever holds it is told to stop first
			return r.body["state"] == "FAILURE" && strings.Contains(r.text, "canceled")
		})
		do("GET", "/oapi/v1/jobs/x", "").want(t, "no number", 404, "not_found")
		do("GET", "/oapi/v1/jobs/999", "").want(t, "no such job", 404, "not_found")
		gc := do("POST", "/oapi/v1/jobs", `{"type":"gc","args":{"type":"audit"}}`).want(t, "gc", 200)
		if result, _ := gc.body["result"].(map[string]any); gc.body["state"] != "SUCCESS" || result["purged"] != 0.0 || result["ttl"] != float64(90*24*time.Hour) || result["type"] != "audit" {
			t.Errorf("%s", gc.text)
		}
	})
}

// TestRefusalsHaveTheOldMessage holds that a script of the old interface finds "message" also where no handler was asked.
func TestRefusalsHaveTheOldMessage(t *testing.T) {
	s := newSite(t)
	root, guest := s.admin(t), s.token(t, s.user(t, "guest", "", ""), "*:*")
	for _, c := range []struct {
		name, method, path, header string
		status                     int
		code                       string
	}{
		{"without a credential", "GET", "/oapi/v1/jobs", "", 401, "unauthenticated"},
		{"without the right", "GET", "/oapi/v1/jobs", guest, 403, "forbidden"},
		{"no such route", "GET", "/oapi/v1/peers", root, 404, "not_found"},
		{"no such method", "PUT", "/oapi/v1/jobs", root, 405, "method_not_allowed"},
		{"by a handler", "GET", "/oapi/v1/jobs/999", root, 404, "not_found"},
		{"signing out without a token", "POST", "/api/v1/users/signout", "", 401, "unauthenticated"},
	} {
		var headers []string
		if c.header != "" {
			headers = []string{"Authorization", c.header}
		}
		r := s.ask(t, c.method, c.path, "", headers...).want(t, c.name, c.status, c.code)
		if r.text1("message") == "" || r.text1("message") != r.text1("detail") {
			t.Errorf("%s: %s", c.name, r.text)
		}
	}
	if r := s.ask(t, "GET", "/v1/jobs", "").want(t, "a native path", 401, "unauthenticated"); strings.Contains(r.text, `"message"`) {
		t.Errorf("%s", r.text)
	}
}

// TestDeletingAJobThatSomebodyHolds holds that an old job can be deleted again and again while its holder has not yet let go.
func TestDeletingAJobThatSomebodyHolds(t *testing.T) {
	eachSite(t, func(t *testing.T, s *site) {
		root := s.admin(t)
		do := func(method, path, body string) reply { return s.ask(t, method, path, body, "Authorization", root) }
		do("POST", "/oapi/v1/jobs", `{"type":"preheat","args":{"type":"file","urls":["https://a.example/1"]}}`).want(t, "create", 200)
		held, err := s.rooms.Jobs.Claim(t.Context(), jobs.Claimer{Owner: "somebody", Manager: true})
		if err != nil || held == nil {
			t.Fatal(held, err)
		}
		for range 2 {
			do("DELETE", "/oapi/v1/jobs/1", "").want(t, "delete", 200)
			if r := do("GET", "/oapi/v1/jobs/1", "").want(t, "a job that is being stopped", 200); r.body["state"] != "PENDING" {
				t.Errorf("%s", r.text)
			}
		}
		if err := s.rooms.Jobs.Report(t.Context(), darter.OrderReport{Lease: held.Lease, Released: true}); err != nil {
			t.Fatal(err)
		}
		if r := do("GET", "/oapi/v1/jobs/1", "").want(t, "what was deleted", 200); r.body["state"] != "FAILURE" {
			t.Errorf("%s", r.text)
		}
	})
}

func TestOldClustersAndSigningIn(t *testing.T) {
	eachSite(t, func(t *testing.T, s *site) {
		root := s.admin(t)
		do := func(method, path, body string) reply { return s.ask(t, method, path, body, "Authorization", root) }
		made := do("POST", "/oapi/v1/clusters", `{"name":"eu","bio":"b","scopes":{"idc":"a|b","cidrs":["10.0.0.0/8"]},"scheduler_cluster_config":{"candidate_parent_limit":4},"is_default":false}`).want(t, "create", 200)
		if made.body["id"] != 2.0 || made.body["name"] != "eu" {
			t.Fatalf("%s", made.text)
		}
		patched := do("PATCH", "/oapi/v1/clusters/2", `{"bio":"c"}`).want(t, "patch", 200)
		if patched.body["bio"] != "c" || !strings.Contains(patched.text, "candidate_parent_limit") || !strings.Contains(patched.text, "10.0.0.0/8") {
			t.Errorf("a patch forgets: %s", patched.text)
		}
		if list := do("GET", "/oapi/v1/clusters", "").want(t, "list", 200); strings.Count(list.text, `"scheduler_cluster_id"`) != 2 {
			t.Errorf("%s", list.text)
		}
		do("POST", "/oapi/v1/clusters", `{}`).want(t, "no name", 422, "invalid_argument")
		do("DELETE", "/oapi/v1/clusters/2", "").want(t, "delete", 200)
		do("GET", "/oapi/v1/clusters/2", "").want(t, "get what is gone", 404, "not_found")

		u, err := s.rooms.Accounts.CreateUser(t.Context(), authtest.Admin(), account.Draft{Kind: auth.User, Name: "ann", Password: good})
		if err == nil {
			_, err = s.rooms.Accounts.Bind(t.Context(), authtest.Admin(), u.ID, "preheater", "")
		}
		if err != nil {
			t.Fatal(err)
		}
		s.ask(t, "POST", "/api/v1/users/signin", `{"name":"ann","password":"wrong wrong wrong"}`).want(t, "a wrong password", 401, "unauthenticated")
		signIn := func() string {
			r := s.ask(t, "POST", "/api/v1/users/signin", fmt.Sprintf(`{"name":"ann","password":%q}`, good)).want(t, "sign in", 200)
			if at, err := time.Parse(time.RFC3339, r.text1("expire")); err != nil || time.Until(at) < time.Hour {
				t.Errorf("%s", r.text)
			}
			return "Bearer " + r.text1("token")
		}
		ann := signIn()
		s.ask(t, "GET", "/oapi/v1/jobs", "", "Authorization", ann).want(t, "list as ann", 200)
		s.ask(t, "GET", "/v1/users", "", "Authorization", ann).want(t, "what ann may not do", 403, "forbidden")
		next := "Bearer " + s.ask(t, "POST", "/api/v1/users/refresh_token", "", "Authorization", ann).want(t, "refresh", 200).text1("token")
		s.ask(t, "GET", "/oapi/v1/jobs", "", "Authorization", ann).want(t, "the old token", 401, "unauthenticated")
		s.ask(t, "POST", "/api/v1/users/signout", "", "Authorization", next).want(t, "sign out", 200)
		s.ask(t, "GET", "/oapi/v1/jobs", "", "Authorization", next).want(t, "after signing out", 401, "unauthenticated")
		first := signIn()
		for range oldTokens { // a script that never signs out
			signIn()
		}
		s.ask(t, "GET", "/oapi/v1/jobs", "", "Authorization", first).want(t, "the oldest of many", 401, "unauthenticated")
	})
}

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

// until waits for what others bring about.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("%s does not come about", what)
		case <-tick.C:
		}
	}
}
