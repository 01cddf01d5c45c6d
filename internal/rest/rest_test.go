package rest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/rest"
)

// door lets in whoever says "Bearer good", and everybody where that is public.
type door struct {
	*http.ServeMux
	access map[string]rest.Access
}

func (d door) Declare(pattern string, a rest.Access) { d.access[pattern] = a }

func (d door) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	d.ServeMux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "r1")
		handler(w, r)
	})
}

func (d door) Caller(context.Context) rest.Caller {
	return rest.Caller{Actor: darter.Actor{Kind: "user", ID: "u1"}, Request: "r1", May: func(string, string) error { return nil },
		Clusters: func(string) (bool, []string) { return true, nil }}
}

// journal is a Journal over a map and one number that effects count up.
type journal struct {
	mu    sync.Mutex
	kept  map[string]rest.Answer
	hash  map[string]string
	count int
}

func (j *journal) Once(ctx context.Context, k rest.Key, effect func(context.Context) (rest.Answer, error)) (rest.Answer, error) {
	j.mu.Lock()
	a, known := j.kept[k.Key]
	same := j.hash[k.Key] == k.Route+k.Hash
	before := j.count
	j.mu.Unlock()
	if known && !same {
		return a, &darter.Error{Kind: darter.Invalid, Op: "use key", Err: rest.ErrKeyReused}
	}
	if known {
		a.Replayed = true
		return a, nil
	}
	a, err := effect(ctx)
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.count = before
		return a, err
	}
	j.kept[k.Key], j.hash[k.Key] = a, k.Route+k.Hash
	return a, nil
}

func (j *journal) Try(ctx context.Context, effect func(context.Context) error) error {
	before := j.count
	defer func() { j.count = before }()
	return effect(ctx)
}

type rig struct {
	*rest.API
	journal *journal
	door    door

	mu     sync.Mutex
	failed []error
	served []rest.Served
}

// failures returns what was told to have failed so far.
func (r *rig) failures() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.failed)
}

func build(t *testing.T, change func(*rest.Config)) *rig {
	t.Helper()
	r := &rig{journal: &journal{kept: make(map[string]rest.Answer), hash: make(map[string]string)}, door: door{http.NewServeMux(), make(map[string]rest.Access)}}
	cfg := rest.Config{Journal: r.journal, Events: rest.Events{
		Failed: func(_, _ string, err error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.failed = append(r.failed, err)
		},
		Served: func(s rest.Served) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.served = append(r.served, s)
		},
	}}
	if change != nil {
		change(&cfg)
	}
	a, err := rest.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.API = a
	a.Open(r.door)
	return r
}

// answer is what came back, and its body as far as it is an object.
type answer struct {
	*http.Response
	text string
	body map[string]any
}

func (r *rig) ask(t *testing.T, method, target, body string, headers ...string) answer {
	t.Helper()
	q := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		q.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, q)
	out := answer{Response: w.Result()}
	text, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	out.text = string(text)
	_ = json.Unmarshal(text, &out.body)
	return out
}

type thing struct {
	Name string `json:"name" maxLength:"10"`
	Size int    `json:"size,omitempty" minimum:"1"`
}

type thingIn struct {
	ID   string `path:"id"`
	Body thing
}

type thingOut struct {
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     struct {
		N      int    `json:"n"`
		Secret string `json:"secret,omitempty"`
	}
}

var errKnown = errors.New("known")

// operations adds what the tests ask for.
func (r *rig) operations() {
	count := func(_ context.Context, in *thingIn) (*thingOut, error) {
		r.journal.mu.Lock()
		r.journal.count++
		out := &thingOut{ETag: rest.Quoted("v1"), Location: "/v1/things/x"}
		out.Body.N, out.Body.Secret = r.journal.count, "s3cret"
		r.journal.mu.Unlock()
		switch in.Body.Name {
		case "kind":
			return nil, &darter.Error{Kind: darter.NotFound, Op: "read x", Hint: "look elsewhere", Err: errors.New("no x")}
		case "known":
			return nil, &darter.Error{Kind: darter.Conflict, Op: "x", Err: errKnown}
		case "odd":
			return nil, errors.New("password=hunter2 in /var/lib")
		case "panic":
			panic("hunter2")
		}
		return out, nil
	}
	rest.Add(r.API, rest.Operation{Method: "POST", Path: "/v1/things/{id}:poke", ID: "poke-thing", Tag: "things", Access: rest.Need("thing.write"), Secret: []string{"secret"}}, count)
	rest.Add(r.API, rest.Operation{Method: "PUT", Path: "/v1/things/{id}", ID: "put-thing", Tag: "things", Access: rest.Need("thing.write")}, count)
	rest.Add(r.API, rest.Operation{Method: "POST", Path: "/v1/things:sweep", ID: "sweep-things", Tag: "things", Access: rest.Need("thing.write"), NoDryRun: true, Unrepeatable: true}, count2(count))
	r.Explain(func(err error) (rest.Verdict, bool) {
		return rest.Verdict{Status: http.StatusConflict, Code: "known_code"}, errors.Is(err, errKnown)
	})
}

func count2(f func(context.Context, *thingIn) (*thingOut, error)) func(context.Context, *struct{ Body thing }) (*thingOut, error) {
	return func(ctx context.Context, in *struct{ Body thing }) (*thingOut, error) {
		return f(ctx, &thingIn{Body: in.Body})
	}
}

func TestProblemsHaveStableCodes(t *testing.T) {
	r := build(t, nil)
	r.operations()
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		code, pointer      string
	}{
		"fine":          {"PUT", "/v1/things/x", `{"name":"a"}`, 200, "", ""},
		"kind":          {"PUT", "/v1/things/x", `{"name":"kind"}`, 404, "not_found", ""},
		"explained":     {"PUT", "/v1/things/x", `{"name":"known"}`, 409, "known_code", ""},
		"internal":      {"PUT", "/v1/things/x", `{"name":"odd"}`, 500, "internal", ""},
		"panic":         {"PUT", "/v1/things/x", `{"name":"panic"}`, 500, "internal", ""},
		"not JSON":      {"PUT", "/v1/things/x", `{"name":`, 400, "invalid_argument", ""},
		"two values":    {"PUT", "/v1/things/x", `{"name":"a"}{}`, 400, "invalid_argument", ""},
		"no body":       {"PUT", "/v1/things/x", ``, 400, "invalid_argument", ""},
		"unknown field": {"PUT", "/v1/things/x", `{"name":"a","owner":1}`, 422, "invalid_argument", "/owner"},
		"missing field": {"PUT", "/v1/things/x", `{}`, 422, "invalid_argument", "/name"},
		"wrong type":    {"PUT", "/v1/things/x", `{"name":7}`, 422, "invalid_argument", "/name"},
		"too small":     {"PUT", "/v1/things/x", `{"name":"a","size":-1}`, 422, "invalid_argument", "/size"},
		"too large":     {"PUT", "/v1/things/x", `{"name":"` + strings.Repeat("a", 1<<20) + `"}`, 413, "body_too_large", ""},
		"odd query":     {"PUT", "/v1/things/x?drop=1", `{"name":"a"}`, 422, "invalid_argument", "query/drop"},
		"odd dry run":   {"PUT", "/v1/things/x?dry_run=maybe", `{"name":"a"}`, 422, "invalid_argument", "query/dry_run"},
		"no dry run":    {"POST", "/v1/things:sweep?dry_run=true", `{"name":"a"}`, 422, "invalid_argument", "query/dry_run"},
		"routed form":   {"POST", "/v1/things/x/:poke", `{"name":"a"}`, 404, "not_found", ""},
	} {
		a := r.ask(t, c.method, c.path, c.body, "Content-Type", "application/json")
		if a.StatusCode != c.status {
			t.Errorf("%s: %d, want %d: %s", name, a.StatusCode, c.status, a.text)
			continue
		}
		if c.code == "" {
			continue
		}
		if a.body["code"] != c.code || a.Header.Get("Content-Type") != "application/problem+json" || a.body["status"] != float64(c.status) ||
			a.body["type"] != "urn:darter:problem:"+c.code || strings.Contains(a.text, "hunter2") {
			t.Errorf("%s: %s %s", name, a.Header.Get("Content-Type"), a.text)
		}
		if c.pointer != "" && !strings.Contains(a.text, `"pointer":"`+c.pointer+`"`) {
			t.Errorf("%s: no pointer %s in %s", name, c.pointer, a.text)
		}
	}
	if a := r.ask(t, "PUT", "/v1/things/x", "a: b", "Content-Type", "application/yaml"); a.StatusCode != 415 || a.body["code"] != "unsupported_media_type" {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	if len(r.failed) != 2 || !strings.Contains(r.failed[0].Error()+r.failed[1].Error(), "password=hunter2") {
		t.Errorf("the log lacks what failed: %v", r.failed)
	}
}

func TestVerbs(t *testing.T) {
	r := build(t, nil)
	r.operations()
	for path, status := range map[string]int{
		"/v1/things/x:poke": 200, "/v1/things/10.0.0.1-a:b:poke": 200, "/v1/things:sweep": 200, "/v1/things/x:unknown": 405, "/v1/things/x%3Apoke": 405, "/v1/things/:poke": 404,
	} {
		if a := r.ask(t, "POST", path, `{"name":"a"}`); a.StatusCode != status {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.text)
		}
	}
	last := r.served[len(r.served)-1]
	if last.Method != "POST" || last.Request == "" && last.Status == 200 {
		t.Errorf("%+v", last)
	}
	if _, ok := r.door.access["POST /v1/things/{id}/:poke"]; !ok {
		t.Errorf("%v", r.door.access)
	}
}

func TestARepeatedRequestFindsTheFirstAnswer(t *testing.T) {
	r := build(t, nil)
	r.operations()
	first := r.ask(t, "POST", "/v1/things/x:poke", `{"name":"a"}`, "Idempotency-Key", "k")
	again := r.ask(t, "POST", "/v1/things/x:poke", `{"name":"a"}`, "Idempotency-Key", "k")
	if first.StatusCode != 200 || again.StatusCode != 200 || again.body["n"] != first.body["n"] || again.Header.Get("Idempotency-Replayed") != "true" || first.Header.Get("Idempotency-Replayed") != "" {
		t.Errorf("%s, %s", first.text, again.text)
	}
	if again.Header.Get("Location") != first.Header.Get("Location") || again.Header.Get("ETag") != first.Header.Get("ETag") || again.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%v, %v", first.Header, again.Header)
	}
	if first.body["secret"] != "s3cret" || again.body["secret"] != nil {
		t.Errorf("the secret: %s, %s", first.text, again.text)
	}
	for _, kept := range r.journal.kept {
		if strings.Contains(kept.Body, "s3cret") {
			t.Errorf("a secret is kept: %s", kept.Body)
		}
	}
	for name, a := range map[string]answer{
		"another body":  r.ask(t, "POST", "/v1/things/x:poke", `{"name":"b"}`, "Idempotency-Key", "k"),
		"another thing": r.ask(t, "POST", "/v1/things/y:poke", `{"name":"a"}`, "Idempotency-Key", "k"),
	} {
		if a.StatusCode != 422 || a.body["code"] != "idempotency_mismatch" {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.text)
		}
	}
	if a := r.ask(t, "POST", "/v1/things/x:poke", `{"name":"kind"}`, "Idempotency-Key", "k2"); a.StatusCode != 404 || r.journal.count != 1 {
		t.Errorf("a refusal: %d %s, %d effects", a.StatusCode, a.text, r.journal.count)
	}
	if a := r.ask(t, "POST", "/v1/things/x:poke", `{"name":"a"}`, "Idempotency-Key", "k2"); a.StatusCode != 200 {
		t.Errorf("after a refusal: %d %s", a.StatusCode, a.text)
	}
	if a := r.ask(t, "POST", "/v1/things/x:poke", `{"name":"a"}`, "Idempotency-Key", strings.Repeat("k", 256)); a.StatusCode != 422 {
		t.Errorf("a long key: %d %s", a.StatusCode, a.text)
	}
}

func TestADryRunLeavesNothing(t *testing.T) {
	r := build(t, nil)
	r.operations()
	a := r.ask(t, "PUT", "/v1/things/x?dry_run=true", `{"name":"a"}`)
	if a.StatusCode != 200 || a.body["n"] != 1.0 || a.Header.Get("Dry-Run") != "true" || r.journal.count != 0 {
		t.Errorf("%d %s, %d effects", a.StatusCode, a.text, r.journal.count)
	}
	if a := r.ask(t, "PUT", "/v1/things/x?dry_run=true", `{"name":"kind"}`); a.StatusCode != 404 {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
}
