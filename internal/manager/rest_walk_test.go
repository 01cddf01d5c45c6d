package manager

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc/test/bufconn"

	"github.com/darter-p2p/darter/internal/database/databasetest"
	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/account"
	"github.com/darter-p2p/darter/internal/manager/auth/authtest"
	"github.com/darter-p2p/darter/internal/manager/auth/gatetest"
)

var update = flag.Bool("update", false, "rewrite api/openapi.yaml")

// site is a manager that does not run, for requests by its handler.
type site struct {
	*Manager
	users map[string]string // ids by name
}

func newSite(t *testing.T) *site { return newSiteOn(t, "") }

// eachSite runs a story on each database.
func eachSite(t *testing.T, story func(t *testing.T, s *site)) {
	databasetest.EachURL(t, func(t *testing.T, url string) { story(t, newSiteOn(t, url)) })
}

func newSiteOn(t *testing.T, url string, change ...func(*Config)) *site {
	t.Helper()
	cfg := DefaultConfig()
	cfg.GRPC, cfg.HTTP, cfg.DataDir, cfg.Database = bufconn.Listen(1<<10), bufconn.Listen(1<<10), t.TempDir(), url
	for _, f := range change {
		f(&cfg)
	}
	m, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return &site{m, make(map[string]string)}
}

// user returns the id of a service account with a role, in a cluster or everywhere.
func (s *site) user(t testing.TB, name, role, cluster string) string {
	t.Helper()
	if id, there := s.users[name]; there {
		return id
	}
	u, err := s.rooms.Accounts.CreateUser(t.Context(), authtest.Admin(), account.Draft{Kind: auth.Service, Name: name})
	if err == nil && role != "" {
		_, err = s.rooms.Accounts.Bind(t.Context(), authtest.Admin(), u.ID, role, cluster)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.users[name] = u.ID
	return u.ID
}

// token returns an Authorization header of a user, with scopes.
func (s *site) token(t testing.TB, user string, scopes ...string) string {
	t.Helper()
	_, text, err := s.rooms.Accounts.CreateToken(t.Context(), authtest.Admin(), account.Order{Owner: user, Name: "test", Scopes: scopes})
	if err != nil {
		t.Fatal(err)
	}
	return "Bearer " + text
}

// reply is what came back, and its body as far as it is an object.
type reply struct {
	*http.Response
	text string
	body map[string]any
}

func (s *site) ask(t testing.TB, method, target, body string, headers ...string) reply {
	t.Helper()
	q := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		q.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, q)
	out := reply{Response: w.Result()}
	text, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	out.text = string(text)
	_ = json.Unmarshal(text, &out.body)
	return out
}

// items returns the members of a list's body.
func (r reply) items() []any {
	items, _ := r.body["items"].([]any)
	return items
}

// TestEveryRouteKeepsOut asks every route as those who must not pass.
func TestEveryRouteKeepsOut(t *testing.T) {
	s := newSite(t)
	scoped := make(map[string]string)
	made := 0
	guest := s.token(t, s.user(t, "guest", "", ""), "*:*")
	walker := gatetest.Visitors{
		Guest: func(testing.TB) string { return guest },
		Scoped: func(t testing.TB, scopes []string) string {
			key := strings.Join(scopes, " ")
			if scoped[key] == "" {
				// An owner has a hundred tokens at most, and asks a limited number of times a second.
				made++
				owner := s.user(t, "admin-"+string(rune('a'+made%26)), auth.AdminRole, "")
				scoped[key] = s.token(t, owner, scopes...)
			}
			return scoped[key]
		},
	}
	gatetest.Walk(t, s.api.front.Gate, walker, "GET /livez", "GET /readyz", "GET /healthy", "GET /v1/system", "GET /openapi.json", "GET /docs",
		"POST /v1/setup", "POST /v1/sessions", "GET /v1/sessions/oidc", "GET /v1/sessions/oidc/callback", "POST /v1/certificates/:join", "POST /api/v1/users/signin")
}

// TestTheDocumentIsTheMux compares the file of the repository with what is served, both ways.
func TestTheDocumentIsTheMux(t *testing.T) {
	s := newSite(t)
	got, err := s.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("..", "..", "api", "openapi.yaml")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what is served (%v): run make golden", path, err)
	}
	served := s.ask(t, "GET", "/openapi.json", "")
	if served.StatusCode != http.StatusOK || served.body["openapi"] != "3.1.0" {
		t.Fatalf("%d %.200s", served.StatusCode, served.text)
	}
	documented := make(map[string]bool)
	paths, _ := served.body["paths"].(map[string]any)
	ids := make(map[any]string)
	for path, methods := range paths {
		for method, operation := range methods.(map[string]any) {
			pattern := strings.ToUpper(method) + " " + strings.ReplaceAll(path, ":", "/:")
			documented[pattern] = true
			o := operation.(map[string]any)
			if other, twice := ids[o["operationId"]]; twice || o["summary"] == nil || o["x-access"] == "nobody" || len(o["tags"].([]any)) != 1 {
				t.Errorf("%s: the id is that of %q, or summary, tag or access are missing: %v", pattern, other, o["operationId"])
			}
			ids[o["operationId"]] = pattern
		}
	}
	schemas := served.body["components"].(map[string]any)["schemas"].(map[string]any)
	for _, ref := range regexp.MustCompile(`"\$ref":"#/components/schemas/([^"]+)"`).FindAllStringSubmatch(served.text, -1) {
		if schemas[ref[1]] == nil {
			t.Errorf("a reference leads nowhere: %s", ref[0])
		}
	}
	// What other programs' APIs, browsers and probes use is no operation of ours.
	undocumented := map[string]bool{"GET /livez": true, "GET /readyz": true, "GET /healthy": true, "GET /openapi.json": true, "GET /docs": true,
		"GET /v1/sessions/oidc": true, "GET /v1/sessions/oidc/callback": true}
	for _, route := range s.Routes() {
		if !documented[route.Pattern] && !undocumented[route.Pattern] && !strings.Contains(route.Pattern, " /oapi/") && !strings.Contains(route.Pattern, " /api/") {
			t.Errorf("%s is served and not documented", route.Pattern)
		}
		delete(documented, route.Pattern)
	}
	for pattern := range documented {
		t.Errorf("%s is documented and not served", pattern)
	}
	if page := s.ask(t, "GET", "/docs", ""); page.StatusCode != http.StatusOK || strings.Contains(page.text, "http://") || strings.Contains(page.text, "https://") {
		t.Errorf("the page to read it: %d, or it needs something from elsewhere", page.StatusCode)
	}
}
