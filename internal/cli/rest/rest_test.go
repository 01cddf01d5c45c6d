package rest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/darter-p2p/darter"
)

// seen is what a manager was asked.
type seen struct {
	method, target, key, match, auth, last, body string
}

// fake is a manager that answers one after the other; the last answer is for all that follow.
type fake struct {
	t       *testing.T
	answers []http.HandlerFunc

	mu struct {
		sync.Mutex
		seen []seen
	}
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	n := len(f.mu.seen)
	f.mu.seen = append(f.mu.seen, seen{r.Method, r.URL.RequestURI(), r.Header.Get("Idempotency-Key"), r.Header.Get("If-Match"),
		r.Header.Get("Authorization"), r.Header.Get("Last-Event-ID"), string(body)})
	f.mu.Unlock()
	f.answers[min(n, len(f.answers)-1)](w, r)
}

func (f *fake) asked() []seen {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.seen
}

func open(t *testing.T, answers ...http.HandlerFunc) (*Client, *fake) {
	t.Helper()
	f := &fake{t: t, answers: answers}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	c, err := Open(Config{URL: server.URL, Token: "dtr_secret", UserAgent: "test"})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c, f
}

func answer(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		kind := "application/json"
		if status >= 400 {
			kind = "application/problem+json"
		}
		if w.Header().Get("Content-Type") == "" {
			w.Header().Set("Content-Type", kind)
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// cut breaks the connection off without an answer.
func cut(w http.ResponseWriter, _ *http.Request) {
	conn, _, _ := http.NewResponseController(w).Hijack()
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

func TestAnswerCarriesWhatAnEditNeeds(t *testing.T) {
	c, f := open(t, answer(200, `{"a":1}`, "ETag", `"7"`, "Location", "/v1/jobs/x", "Idempotency-Replayed", "true"))
	a, err := c.Do(t.Context(), Request{Op: "put it", Method: "PUT", Path: Path("v1", "a b/c"), IfMatch: `"6"`, Body: map[string]int{"a": 1}, Query: url.Values{"q": {"x y"}}})
	require.NoError(t, err)
	require.Equal(t, `"7"`, a.ETag)
	require.Equal(t, "/v1/jobs/x", a.Location)
	require.True(t, a.Replayed)
	var v struct{ A int }
	require.NoError(t, a.Decode(&v))
	require.Equal(t, 1, v.A)
	require.Equal(t, []seen{{"PUT", "/v1/a%20b%2Fc?q=x+y", "", `"6"`, "Bearer dtr_secret", "", `{"a":1}`}}, f.asked())
}

func TestProblemsBecomeErrorsWithAWayOut(t *testing.T) {
	for _, row := range []struct {
		status     int
		body       string
		kind       darter.Kind
		text, hint string
	}{
		{403, `{"status":403,"code":"forbidden","detail":"gc.write is needed"}`, darter.Denied, "change it: gc.write is needed", "whoami"},
		{412, `{"status":412,"code":"precondition_failed","detail":"version 3 is in force"}`, darter.Conflict, "version 3", "meanwhile"},
		{422, `{"status":422,"code":"invalid_argument","detail":"two things are wrong","errors":[{"pointer":"/rules/0/after","code":"malformed","detail":"no such unit"},{"detail":"too short"}]}`,
			darter.Invalid, "two things are wrong\n  /rules/0/after: no such unit\n  too short", ""},
		{500, `{"status":500,"code":"internal","title":"Internal error","request_id":"01J"}`, darter.Internal, "Internal error (request 01J)", "log"},
		{418, `<html>proxy</html>`, darter.Invalid, "418", ""},
		{404, `{"status":404,"code":"not_found","detail":"no job x","hint":"darter job ls"}`, darter.NotFound, "no job x", "darter job ls"},
		{409, `{"status":200}`, darter.Conflict, "409 Conflict", ""},
	} {
		c, _ := open(t, answer(row.status, row.body))
		_, err := c.Do(t.Context(), Request{Op: "change it", Path: "/v1/x"})
		require.Equal(t, row.kind, darter.KindOf(err), row.body)
		require.ErrorContains(t, err, row.text)
		require.Contains(t, darter.HintOf(err), row.hint)
		p, ok := errors.AsType[*Problem](err)
		require.True(t, ok)
		require.Equal(t, row.status, p.Status)
		require.Equal(t, row.status == 412, p.Stale())
	}
}

// TestAgainOnlyWithAKey holds that nothing is done twice: what comes again carries the key of the first try.
func TestAgainOnlyWithAKey(t *testing.T) {
	c, f := open(t, cut, answer(503, `{"status":503,"code":"unavailable"}`), answer(202, `{}`))
	_, err := c.Do(t.Context(), Request{Op: "create the job", Method: "POST", Path: "/v1/jobs", Body: struct{}{}})
	require.NoError(t, err)
	asked := f.asked()
	require.Len(t, asked, 3)
	require.NotEmpty(t, asked[0].key)
	require.Equal(t, asked[0], asked[1])
	require.Equal(t, asked[0], asked[2])

	c, f = open(t, cut, answer(200, `{}`))
	_, err = c.Do(t.Context(), Request{Op: "put it", Method: "PUT", Path: "/v1/x", IfMatch: "*", Body: struct{}{}})
	require.Equal(t, darter.Unavailable, darter.KindOf(err))
	require.Len(t, f.asked(), 1, "a PUT may have arrived")

	c, f = open(t, answer(409, `{"status":409,"code":"conflict"}`))
	_, err = c.Do(t.Context(), Request{Op: "create the job", Method: "POST", Path: "/v1/jobs", Key: "k"})
	require.Equal(t, darter.Conflict, darter.KindOf(err))
	require.Equal(t, "k", f.asked()[0].key)
	require.Len(t, f.asked(), 1)
}

func TestLaterThanPatienceEndsAtOnce(t *testing.T) {
	c, f := open(t, answer(429, `{"status":429,"code":"rate_limited","detail":"slowly"}`, "Retry-After", "3600"))
	_, err := c.Do(t.Context(), Request{Op: "list", Path: "/v1/jobs"})
	require.ErrorContains(t, err, "slowly")
	require.Len(t, f.asked(), 1)
}

func TestPagesEndWithTheListOrEnough(t *testing.T) {
	pages := []http.HandlerFunc{answer(200, `{"items":[1,2],"next_page_token":"t1"}`), answer(200, `{"items":[3,4],"next_page_token":"t2"}`), answer(200, `{"items":[5]}`)}
	collect := func(most int) (string, []seen) {
		c, f := open(t, pages...)
		var out []string
		for item, err := range c.Pages(t.Context(), Request{Op: "list", Path: "/v1/jobs", Query: url.Values{"state": {"failed"}}}, most) {
			require.NoError(t, err)
			out = append(out, string(item))
		}
		return strings.Join(out, ","), f.asked()
	}
	all, asked := collect(0)
	require.Equal(t, "1,2,3,4,5", all)
	require.Equal(t, "/v1/jobs?page_size=500&page_token=t2&state=failed", asked[2].target)
	some, asked := collect(3)
	require.Equal(t, "1,2,3", some)
	require.Len(t, asked, 2)
	require.Equal(t, "/v1/jobs?page_size=1&page_token=t1&state=failed", asked[1].target)

	c, _ := open(t, pages[0], answer(500, `{"status":500}`))
	n := 0
	for _, err := range c.Pages(t.Context(), Request{Op: "list", Path: "/v1/jobs"}, 0) {
		if n++; err != nil {
			require.Equal(t, 3, n)
			return
		}
	}
	t.Fatal("the failure of the second page is lost")
}

// torn is a stream whose connection breaks in the middle of an event.
func torn(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, text)
		http.NewResponseController(w).Flush()
		cut(w, r)
	}
}

func stream(text string) http.HandlerFunc {
	return answer(200, text, "Content-Type", "text/event-stream")
}

// TestFollowGoesOnWhereItBrokeOff holds that no event is lost or told twice when a stream breaks.
func TestFollowGoesOnWhereItBrokeOff(t *testing.T) {
	c, f := open(t, stream("id: 1\nevent: state\ndata: {\"a\":1}\n\n: heartbeat\n\nid: 2\ndata: x\ndata: y\n\nid: 3\nevent: half"),
		answer(503, `{"status":503}`), torn("id: 3\nevent: half"), stream("id: 3\nevent: gap\ndata: {}\n\nid: 4\nevent: end\ndata: {}\n\n"))
	var got []Event
	err := c.Follow(t.Context(), Request{Op: "watch", Path: "/v1/jobs/x:watch"}, "0", func(e Event) error {
		got = append(got, e)
		if e.Type == "end" {
			return ErrEnough
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []Event{{"1", "state", []byte(`{"a":1}`)}, {"2", "message", []byte("x\ny")}, {"", Closed, nil}, {"3", "gap", []byte("{}")}, {"4", "end", []byte("{}")}}, got)
	var last []string
	for _, s := range f.asked() {
		last = append(last, s.last)
	}
	require.Equal(t, []string{"0", "2", "2", "2"}, last)
}

func TestFollowEndsWhenThereIsNothingToFollow(t *testing.T) {
	none := func(Event) error { t.Error("no event came"); return nil }
	c, f := open(t, answer(404, `{"status":404,"code":"not_found","detail":"no job"}`))
	err := c.Follow(t.Context(), Request{Op: "watch the job", Path: "/v1/jobs/x:watch"}, "", none)
	require.Equal(t, darter.NotFound, darter.KindOf(err))
	require.Len(t, f.asked(), 1)
	c, _ = open(t, answer(200, `{}`))
	require.ErrorContains(t, c.Follow(t.Context(), Request{Op: "watch", Path: "/"}, "", none), "no stream of events")
	c, _ = open(t, stream("data: x\n\n"))
	boom := errors.New("boom")
	require.Equal(t, boom, c.Follow(t.Context(), Request{Op: "watch", Path: "/"}, "", func(Event) error { return boom }))
	c, err = Open(Config{Socket: filepath.Join(t.TempDir(), "none.sock")})
	require.NoError(t, err)
	require.Equal(t, darter.Unavailable, darter.KindOf(c.Follow(t.Context(), Request{Op: "watch", Path: "/"}, "", none)))
}

func TestSocketNeedsNoTokenAndGetsNone(t *testing.T) {
	dir, err := os.MkdirTemp("", "rest") // short, for the socket
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "api.sock")
	c, err := Open(Config{Socket: path, Token: "dtr_secret"})
	require.NoError(t, err)
	_, err = c.Do(t.Context(), Request{Op: "list the jobs", Path: "/v1/jobs"})
	require.Equal(t, darter.Unavailable, darter.KindOf(err))
	require.ErrorContains(t, err, path)
	require.Contains(t, darter.HintOf(err), "darter up")

	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	f := &fake{t: t, answers: []http.HandlerFunc{answer(200, `{}`)}}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: f}}
	server.Start()
	defer server.Close()
	_, err = c.Do(t.Context(), Request{Op: "list the jobs", Path: "/v1/jobs"})
	require.NoError(t, err)
	require.Equal(t, []seen{{method: "GET", target: "/v1/jobs"}}, f.asked())
	require.Equal(t, path, c.Where())
}

// TestTokenStaysWithItsManager holds that a redirect to another place is not followed.
func TestTokenStaysWithItsManager(t *testing.T) {
	elsewhere := &fake{t: t, answers: []http.HandlerFunc{answer(200, `{}`)}}
	server := httptest.NewServer(elsewhere)
	defer server.Close()
	c, _ := open(t, answer(302, ``, "Location", server.URL+"/v1/jobs"))
	_, err := c.Do(t.Context(), Request{Op: "list", Path: "/v1/jobs"})
	require.ErrorContains(t, err, "302")
	require.Empty(t, elsewhere.asked())
}

func TestAddressesThatAreNone(t *testing.T) {
	for _, raw := range []string{"manager:8080", "ftp://m", "https://u:secret@m", "https://", "http://m?x=1", "://"} {
		_, err := Open(Config{URL: raw})
		require.Equal(t, darter.Invalid, darter.KindOf(err), raw)
		require.NotContains(t, err.Error(), "secret")
	}
	_, err := Open(Config{URL: "https://m", CAFile: "/none"})
	require.Equal(t, darter.NotFound, darter.KindOf(err))
	empty := filepath.Join(t.TempDir(), "ca")
	require.NoError(t, os.WriteFile(empty, []byte("no certificate"), 0o600))
	_, err = Open(Config{URL: "https://m", CAFile: empty})
	require.ErrorContains(t, err, "no certificate in PEM form")
}

func TestUnknownAuthorityIsToldWithTheFlag(t *testing.T) {
	server := httptest.NewUnstartedServer(answer(200, `{}`))
	server.Config.ErrorLog = nil
	server.StartTLS()
	defer server.Close()
	c, err := Open(Config{URL: server.URL})
	require.NoError(t, err)
	_, err = c.Do(t.Context(), Request{Op: "list", Path: "/"})
	require.Equal(t, darter.Denied, darter.KindOf(err))
	require.Contains(t, darter.HintOf(err), "--cacert")
}

// FuzzEvents holds that no stream of a manager breaks the reader.
func FuzzEvents(f *testing.F) {
	f.Add("id: 1\nevent: x\ndata: {}\n\n")
	f.Add("data\n\n:\n\nid:\x00\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		in := bufio.NewScanner(strings.NewReader(text))
		e := Event{}
		for in.Scan() {
			if e.take(in.Text()) {
				if e.Type == "" {
					t.Error("an event without a type")
				}
				e = Event{}
			}
		}
	})
}

func ExampleClient_Do() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"id":"01J"}`) }))
	defer server.Close()
	c, err := Open(Config{URL: server.URL})
	if err != nil {
		panic(err)
	}
	defer c.Close()
	a, err := c.Do(context.Background(), Request{Op: "read the job", Path: Path("v1", "jobs", "01J")})
	if err != nil {
		panic(err)
	}
	var job struct{ ID string }
	fmt.Println(a.Decode(&job), json.Valid(a.Body), job.ID)
	// Output: <nil> true 01J
}
