package manager

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/darter-p2p/darter/internal/cli"
)

// desk is a terminal with a manager at its other end that answers what it is told to.
type desk struct {
	t        *testing.T
	app      *App
	url      string
	env      map[string]string
	out, err bytes.Buffer
	in       string
	dir      string

	mu struct {
		sync.Mutex
		answers map[string][]http.HandlerFunc // by "GET /v1/jobs"; the last one stays
		asked   []asked
	}
}

// asked is one request, as it came.
type asked struct {
	what   string // method and path
	query  string
	body   string
	header http.Header
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, dir: t.TempDir()}
	d.mu.answers = map[string][]http.HandlerFunc{}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	d.url = server.URL
	d.env = map[string]string{"DARTER_MANAGER_URL": d.url, "DARTER_TOKEN": "dtr_secret", "DARTER_CREDENTIALS": filepath.Join(d.dir, "c", "credentials.json")}
	now := time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)
	d.app = &App{Now: func() time.Time { return now }, App: &cli.App{Out: &d.out, Err: &d.err, Version: "test", Getenv: func(name string) string { return d.env[name] },
		Bind: func(*pflag.FlagSet) func() (cli.Settings, error) {
			return func() (cli.Settings, error) { return cli.Settings{Manager: filepath.Join(d.dir, "none.sock")}, nil }
		}}}
	return d
}

func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		d.t.Error(err)
	}
	what := r.Method + " " + r.URL.EscapedPath()
	d.mu.Lock()
	d.mu.asked = append(d.mu.asked, asked{what, r.URL.RawQuery, string(body), r.Header})
	list := d.mu.answers[what]
	if len(list) > 1 {
		d.mu.answers[what] = list[1:]
	}
	d.mu.Unlock()
	if len(list) == 0 {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"status":404,"code":"not_found","detail":"nothing is at `+what+`"}`)
		return
	}
	list[0](w, r)
}

// on says what the next answers to a request are.
func (d *desk) on(what string, answers ...http.HandlerFunc) { d.mu.answers[what] = answers }

// answer writes a body; headers come in pairs.
func answer(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			if header[i] == "Content-Type" {
				w.Header().Del(header[i])
			}
			w.Header().Add(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func ok(body string, header ...string) http.HandlerFunc {
	return answer(http.StatusOK, body, header...)
}

// run types a command and returns its exit code.
func (d *desk) run(args ...string) cli.Exit {
	d.t.Helper()
	d.out.Reset()
	d.err.Reset()
	d.app.In = strings.NewReader(d.in)
	root := &cobra.Command{Use: "darter", SilenceErrors: true, SilenceUsage: true}
	for _, name := range []string{"job", "schedule", "preheat", "gc", "admin"} {
		root.AddCommand(d.app.Commands()[name]())
	}
	root.SetArgs(args)
	root.SetOut(&d.out)
	err := root.ExecuteContext(d.t.Context())
	if err != nil {
		cli.PrintError(&d.err, err)
	}
	return cli.ExitOf(err)
}

// last is the newest request for something.
func (d *desk) last(what string) asked {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := len(d.mu.asked) - 1; i >= 0; i-- {
		if d.mu.asked[i].what == what {
			return d.mu.asked[i]
		}
	}
	d.t.Fatalf("nobody asked for %s, only for %v", what, d.mu.asked)
	return asked{}
}

// TestWhichManager holds the order in which a manager is looked for, and whose token goes to whom.
func TestWhichManager(t *testing.T) {
	d := newDesk(t)
	d.on("GET /v1/clusters", ok(`{"items":[]}`))
	require.Equal(t, cli.ExitOK, d.run("admin", "cluster", "ls"))
	require.Equal(t, "Bearer dtr_secret", d.last("GET /v1/clusters").header.Get("Authorization"))

	file := filepath.Join(d.dir, "token")
	require.NoError(t, os.WriteFile(file, []byte("dtr_file\n"), 0o600))
	require.Equal(t, cli.ExitOK, d.run("admin", "cluster", "ls", "--token-file", file))
	require.Equal(t, "Bearer dtr_file", d.last("GET /v1/clusters").header.Get("Authorization"))
	require.NoError(t, os.Chmod(file, 0o644))
	require.Equal(t, cli.ExitDenied, d.run("admin", "cluster", "ls", "--token-file", file), "others can read it")

	d.env["DARTER_MANAGER_URL"] = "http://127.0.0.1:1"
	require.Equal(t, cli.ExitOK, d.run("admin", "cluster", "ls", "--manager", d.url+"/"), "the flag goes first")
	require.Equal(t, cli.ExitNetwork, d.run("admin", "cluster", "ls"))
	delete(d.env, "DARTER_MANAGER_URL")
	require.Equal(t, cli.ExitNetwork, d.run("admin", "cluster", "ls"))
	require.Contains(t, d.err.String(), "none.sock")
	require.Contains(t, d.err.String(), "darter up")

	delete(d.env, "DARTER_TOKEN")
	require.NoError(t, d.app.keep(keyring{}.with(credential{URL: d.url, Token: "dtr_kept"})))
	require.Equal(t, cli.ExitOK, d.run("admin", "cluster", "ls"), "the last sign-in")
	require.Equal(t, "Bearer dtr_kept", d.last("GET /v1/clusters").header.Get("Authorization"))
	require.Equal(t, cli.ExitOK, d.run("admin", "cluster", "ls", "--manager", strings.Replace(d.url, "127.0.0.1", "localhost", 1)))
	require.Empty(t, d.last("GET /v1/clusters").header.Get("Authorization"), "a kept token is for the manager that it is of")
	require.Equal(t, cli.ExitUsage, d.run("admin", "cluster", "ls", "-o", "csv"))
}

// TestSigningIn holds that a sign-in leaves a token, in a file of its own, and neither a session nor a password.
func TestSigningIn(t *testing.T) {
	d := newDesk(t)
	delete(d.env, "DARTER_TOKEN")
	d.in = "correct horse\n"
	d.on("POST /v1/sessions", answer(201, `{"csrf_token":"c1","id":"s1"}`, "Set-Cookie", "darter=s; HttpOnly; Path=/", "Set-Cookie", "x=y"))
	d.on("POST /v1/tokens", answer(201, `{"id":"t1","secret":"dtr_new","expires":"2030-02-01T00:00:00Z"}`))
	d.on("DELETE /v1/sessions/current", answer(204, ""))
	d.on("GET /v1/sessions/current", ok(`{"name":"anna","kind":"user","rights":["*:*"]}`))
	require.Equal(t, cli.ExitOK, d.run("admin", "login", "--manager", d.url, "--user", "anna", "--password-stdin", "--life", "720h"), d.err.String())
	require.JSONEq(t, `{"name":"anna","password":"correct horse"}`, d.last("POST /v1/sessions").body)
	made := d.last("POST /v1/tokens")
	require.Equal(t, "darter=s; x=y", made.header.Get("Cookie"))
	require.Equal(t, "c1", made.header.Get("X-Csrf-Token"))
	require.Contains(t, made.body, `"life":"720h0m0s"`)
	require.Equal(t, "c1", d.last("DELETE /v1/sessions/current").header.Get("X-Csrf-Token"))
	require.Equal(t, "Bearer dtr_new", d.last("GET /v1/sessions/current").header.Get("Authorization"))
	info, err := os.Stat(d.env["DARTER_CREDENTIALS"])
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	kept, err := os.ReadFile(d.env["DARTER_CREDENTIALS"])
	require.NoError(t, err)
	require.Contains(t, string(kept), "dtr_new")
	require.NotContains(t, string(kept)+d.out.String()+d.err.String(), "correct horse")
	require.NotContains(t, d.out.String(), "dtr_new")

	delete(d.env, "DARTER_MANAGER_URL")
	require.Equal(t, cli.ExitOK, d.run("admin", "whoami"))
	require.Contains(t, d.out.String(), d.url)
	d.on("DELETE /v1/tokens/t1", answer(204, ""))
	require.Equal(t, cli.ExitOK, d.run("admin", "logout"))
	require.Equal(t, "Bearer dtr_new", d.last("DELETE /v1/tokens/t1").header.Get("Authorization"))
	ring, err := d.app.credentials()
	require.NoError(t, err)
	require.Empty(t, ring.Managers)
	require.Equal(t, cli.ExitUsage, d.run("admin", "login", "--user", "anna", "--password-stdin"), "here no sign-in is needed")
}

func TestSigningInInVain(t *testing.T) {
	d := newDesk(t)
	delete(d.env, "DARTER_TOKEN")
	d.in = "wrong\n"
	d.on("POST /v1/sessions", answer(401, `{"status":401,"code":"unauthenticated","detail":"wrong name or password"}`))
	require.Equal(t, cli.ExitDenied, d.run("admin", "login", "--user", "anna", "--password-stdin"))
	require.Contains(t, d.err.String(), "wrong name or password")
	require.NoFileExists(t, d.env["DARTER_CREDENTIALS"])
	require.Equal(t, cli.ExitUsage, d.run("admin", "login"), "neither a name nor a token")
}

func TestSetupFindsTheManagersToken(t *testing.T) {
	d := newDesk(t)
	d.in = "a password of length\n"
	require.Equal(t, cli.ExitNotFound, d.run("admin", "setup", "--password-stdin"))
	require.NoError(t, os.WriteFile(filepath.Join(d.dir, "setup-token"), []byte("dts_once\n"), 0o600))
	d.on("POST /v1/setup", answer(201, `{"id":"u1","name":"anna"}`))
	require.Equal(t, cli.ExitOK, d.run("admin", "setup", "--user", "anna", "--password-stdin"))
	sent := d.last("POST /v1/setup")
	require.JSONEq(t, `{"name":"anna","password":"a password of length","token":"dts_once"}`, sent.body)
	require.Empty(t, sent.header.Get("Idempotency-Key"))
}

func TestSecretsAreShownAloneAndOnce(t *testing.T) {
	d := newDesk(t)
	d.on("POST /v1/tokens", answer(201, `{"id":"t1","secret":"dtr_new","expires":"2030-02-01T00:00:00Z"}`), answer(201, `{"id":"t1","expires":"2030-02-01T00:00:00Z"}`))
	require.Equal(t, cli.ExitOK, d.run("admin", "token", "create", "ci", "--scope", "create:preheat,read:job"))
	require.Equal(t, "dtr_new\n", d.out.String(), "so that it can be sent into a file")
	require.Contains(t, d.last("POST /v1/tokens").body, `"scopes":["create:preheat","read:job"]`)
	require.Equal(t, cli.ExitConflict, d.run("admin", "token", "create", "ci", "--scope", "*:*"))
	require.Equal(t, cli.ExitUsage, d.run("admin", "token", "create", "ci"))
}

func TestUsersGoByName(t *testing.T) {
	d := newDesk(t)
	d.on("GET /v1/users", ok(`{"items":[{"id":"1","name":"bob"},{"id":"2","name":"anna"}]}`))
	d.on("GET /v1/users/2", ok(`{"id":"2","name":"anna"}`, "ETag", `"5"`))
	d.on("PATCH /v1/users/2", ok(`{"id":"2","name":"anna","disabled":true}`))
	require.Equal(t, cli.ExitOK, d.run("admin", "user", "disable", "anna"), d.err.String())
	require.Equal(t, `"5"`, d.last("PATCH /v1/users/2").header.Get("If-Match"))
	require.Equal(t, `{"disabled":true}`, d.last("PATCH /v1/users/2").body)
	require.Equal(t, cli.ExitNotFound, d.run("admin", "user", "disable", "carl"))
	d.on("GET /v1/role-bindings", ok(`{"items":[{"id":"b1","role":"viewer","cluster":""},{"id":"b2","role":"operator","cluster":"c"}]}`))
	d.on("DELETE /v1/role-bindings/b2", answer(204, ""))
	require.Equal(t, cli.ExitOK, d.run("admin", "user", "revoke", "anna", "operator", "--cluster", "c"))
	require.Equal(t, "user=2", d.last("GET /v1/role-bindings").query, "this list takes no page size")
	require.Equal(t, cli.ExitNotFound, d.run("admin", "user", "revoke", "anna", "operator"))
}

// TestRowsOfAnyShape holds the tables of what has no words of its own here.
func TestRowsOfAnyShape(t *testing.T) {
	d := newDesk(t)
	d.on("GET /v1/audit-events", ok(`{"items":[{"at":"2030-01-02T11:00:00Z","actor":{"name":"anna\u001b[2J","method":"token"},"action":"user.create","resource":"users/1","result":"done"}]}`))
	require.Equal(t, cli.ExitOK, d.run("admin", "audit", "ls", "--action", `a"b`, "--result", "done"))
	require.Equal(t, "AT         ACTOR     METHOD  ACTION       RESOURCE  RESULT  REASON\n1h00m ago  anna\uFFFD[2J  token   user.create  users/1   done    -\n", d.out.String())
	require.Equal(t, `filter=action+%3D+%22a%5C%22b%22+AND+result+%3D+%22done%22&page_size=200`, d.last("GET /v1/audit-events").query)
	require.Equal(t, cli.ExitOK, d.run("admin", "audit", "ls", "-o", "json"))
	require.Contains(t, d.out.String(), `"action": "user.create"`)
	d.on("GET /v1/clusters/a%2Fb", ok(`{"id":"a/b","name":"x","default":true,"scopes":{"cidrs":["10.0.0.0/8"]},"n":1e3,"gone":null,"created":"2030-01-02T11:59:59Z"}`))
	require.Equal(t, cli.ExitOK, d.run("admin", "cluster", "show", "a/b"))
	require.Contains(t, d.out.String(), `{"cidrs":["10.0.0.0/8"]}`)
	require.Contains(t, d.out.String(), "(1s ago)")
	require.NotContains(t, d.out.String(), "gone")
}

// TestEventsEndWithTheNewest holds that a list which begins with the oldest is not cut at its end, nor read from the beginning.
func TestEventsEndWithTheNewest(t *testing.T) {
	d := newDesk(t)
	d.on("GET /v1/events", ok(`{"items":[{"at":"2030-01-02T11:59:00Z","type":"c"},{"at":"2030-01-02T11:30:00Z","type":"b"}],"next_page_token":"t"}`),
		ok(`{"items":[{"at":"2030-01-02T11:00:00Z","type":"a"}],"next_page_token":"u"}`), ok(`{"items":[{"at":"2030-01-02T11:59:00Z","type":"c"}]}`))
	require.Equal(t, cli.ExitOK, d.run("admin", "events", "--limit", "2", "--type", "job.*,gc.*"))
	require.Equal(t, []string{"AT TYPE RESOURCE ACTOR TEXT", "30m00s ago b - - -", "1m00s ago c - - -"}, words(d.out.String()))
	require.Equal(t, "order=newest&page_size=2&type=job.%2A%2Cgc.%2A", d.last("GET /v1/events").query)
	require.Equal(t, cli.ExitOK, d.run("admin", "events", "--limit", "0"))
	require.Equal(t, "page_size=500&page_token=u", d.last("GET /v1/events").query)
}

func TestATestOfANotificationFailsAsTheTargetDoes(t *testing.T) {
	d := newDesk(t)
	d.on("POST /v1/notifications/n1:test", ok(`{"ok":false,"status":501,"took":"2ms","error":"it answers with status 501"}`), ok(`{"ok":true,"status":204,"took":"2ms"}`))
	require.Equal(t, cli.ExitFailed, d.run("admin", "notification", "test", "n1"))
	require.Contains(t, d.err.String(), "it answers with status 501")
	require.Empty(t, d.last("POST /v1/notifications/n1:test").header.Get("Idempotency-Key"))
	require.Equal(t, cli.ExitOK, d.run("admin", "notification", "test", "n1"))
}

// TestEditsAreMadeFromWhatWasShown holds that no edit wins over one that it has not seen, and that its text stays.
func TestEditsAreMadeFromWhatWasShown(t *testing.T) {
	d := newDesk(t)
	d.on("GET /v1/settings/egress", ok(`{"name":"egress","version":3,"body":{"allow":["a"]},"author":{"kind":"user","id":"1","name":"anna"},"reason":"one\ntwo"}`, "ETag", `"3"`))
	d.on("PUT /v1/settings/egress", answer(412, `{"status":412,"code":"precondition_failed","detail":"version 4 is in force"}`))
	d.env["EDITOR"], d.env["VISUAL"] = "not this", "mine"
	d.app.EditWith = func(_ context.Context, editor, file string) error {
		require.Equal(t, "mine", editor)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Contains(t, string(text), "# egress, v3, by anna")
		require.Contains(t, string(text), "\n# one\n# two\nallow:")
		return os.WriteFile(file, bytes.Replace(text, []byte("- a"), []byte("- b"), 1), 0o600)
	}
	require.Equal(t, cli.ExitConflict, d.run("admin", "settings", "edit", "egress", "--reason", "because"))
	sent := d.last("PUT /v1/settings/egress")
	require.Equal(t, `"3"`, sent.header.Get("If-Match"))
	require.Equal(t, "reason=because", sent.query)
	require.JSONEq(t, `{"allow":["b"]}`, sent.body)
	_, file, found := strings.Cut(d.err.String(), "what you wrote is in ")
	require.True(t, found)
	file, _, _ = strings.Cut(file, "\n")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.Remove(file))
	require.Contains(t, string(text), "- b")

	d.app.EditWith = func(context.Context, string, string) error { return nil }
	require.Equal(t, cli.ExitOK, d.run("admin", "settings", "edit", "egress"))
	require.Contains(t, d.err.String(), "nothing was changed")
	d.in = "allow: [c]\n"
	require.Equal(t, cli.ExitConflict, d.run("admin", "settings", "set", "egress", "-", "--if-version", "2"))
	require.Contains(t, d.err.String(), "version 3 is in force, not 2")
}

func TestVersionsAreComparedAndBroughtBack(t *testing.T) {
	d := newDesk(t)
	d.on("GET /v1/settings/egress", ok(`{"name":"egress","version":3,"body":{"allow":["x"]}}`, "ETag", `"3"`))
	d.on("GET /v1/settings/egress/revisions/3:diff", ok(`{"from":2,"to":3,"diff":[{"path":"allow","before":"[]","after":"\"x\""}]}`))
	require.Equal(t, cli.ExitOK, d.run("admin", "settings", "diff", "egress"))
	require.Equal(t, "CHANGED  BEFORE  AFTER\nallow    []      x\n", d.out.String())
	require.Empty(t, d.last("GET /v1/settings/egress/revisions/3:diff").query)
	require.Equal(t, cli.ExitOK, d.run("admin", "settings", "diff", "egress", "v1"))
	require.Equal(t, "against=1", d.last("GET /v1/settings/egress/revisions/3:diff").query)
	d.on("POST /v1/settings/egress:rollback", ok(`{"name":"egress","version":4,"body":{"allow":[]}}`))
	require.Equal(t, cli.ExitOK, d.run("admin", "settings", "rollback", "egress", "2", "--reason", "back"))
	sent := d.last("POST /v1/settings/egress:rollback")
	require.Equal(t, []string{`"3"`, "reason=back", `{"version":2}`}, []string{sent.header.Get("If-Match"), sent.query, sent.body})
	require.Equal(t, "CHANGED  BEFORE  AFTER\nallow    -       []\nallow/0  x       -\n", d.out.String())
	require.Equal(t, cli.ExitUsage, d.run("admin", "settings", "rollback", "egress", "two"))
}

func TestCompletionNamesWhatThereIs(t *testing.T) {
	d := newDesk(t)
	d.on("GET /v1/users", ok(`{"items":[{"id":"1","name":"bob","display":"Bob"},{"id":"2","name":"anna","display":"Anna"}]}`))
	require.Equal(t, cli.ExitOK, d.run(cobra.ShellCompRequestCmd, "admin", "user", "show", "a"))
	require.Contains(t, d.out.String(), "anna\tAnna\n")
	require.NotContains(t, d.out.String(), "bob")
	d.env["DARTER_MANAGER_URL"] = "http://127.0.0.1:1"
	require.Equal(t, cli.ExitOK, d.run(cobra.ShellCompRequestCmd, "admin", "user", "show", "a"), "without a manager there is nothing to say")
}

// TestEveryCommandExplainsItself walks the tree: a word about each, and arguments that are checked before anybody is asked.
func TestEveryCommandExplainsItself(t *testing.T) {
	d := newDesk(t)
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		require.NotEmpty(t, c.Short, c.CommandPath())
		require.False(t, strings.HasSuffix(c.Short, "."), c.CommandPath())
		if c.Runnable() {
			require.NotNil(t, c.Args, c.CommandPath())
			require.Equal(t, cli.ExitUsage, cli.ExitOf(c.Args(c, unfit(c))), c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	for name, make := range maps.All(d.app.Commands()) {
		c := make()
		require.Equal(t, name, c.Name())
		walk(c)
	}
}

// unfit are arguments that a command cannot take.
func unfit(c *cobra.Command) []string {
	if strings.Contains(c.Use, "...") {
		return nil
	}
	return []string{"a", "b", "c", "d", "e"}
}

// words are the lines of a table without its spacing.
func words(table string) []string {
	var out []string
	for line := range strings.Lines(table) {
		out = append(out, strings.Join(strings.Fields(line), " "))
	}
	return out
}
