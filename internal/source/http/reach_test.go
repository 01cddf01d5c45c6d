package http_test

import (
	"context"
	"errors"
	"net"
	nethttp "net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/source"
	"github.com/darter-p2p/darter/internal/source/http"
	"github.com/darter-p2p/darter/internal/source/sourcetest"
)

const secret = "hunter2"

// noSecret fails when an error that a person may read tells a credential.
func noSecret(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("there is no error")
	}
	if text := err.Error() + darter.HintOf(err); strings.Contains(text, secret) {
		t.Errorf("the error tells a secret: %s", text)
	}
}

func secretRequest(u string) source.Request {
	u = strings.Replace(u, "://", "://user:"+secret+"@", 1) + "?token=" + secret + "&X-Amz-Signature=" + secret
	return source.Request{URL: u, Header: map[string]string{"Cookie": secret, "X-Api-Key": secret, "Host": ""}}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody listens there now
	nobody := &net.DNSError{Err: "no such host", Name: "nowhere.test", IsNotFound: true}
	plain := sourcetest.NewOrigin(t)
	secured := sourcetest.NewTLSOrigin(t)
	secured.Put("f", []byte("x"))
	for name, c := range map[string]struct {
		url    string
		adjust func(*http.Config)
		kind   darter.Kind
		hint   string
	}{
		"refused": {"http://" + l.Addr().String() + "/f", once, darter.Unavailable, "nothing listens"},
		"no such name": {"http://nowhere.test/f", func(c *http.Config) {
			c.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, nobody }
		}, darter.Unavailable, "check the name"},
		"untrusted":              {secured.URL("f"), nil, darter.Denied, "--cacert"},
		"no TLS there":           {"https://" + plain.Host() + "/f", nil, darter.Invalid, "http://"},
		"TLS where none is used": {"http://" + secured.Host() + "/f", once, darter.Invalid, ""},
		"another scheme":         {"ftp://h/f", nil, darter.Invalid, "https://"},
		"no host":                {"http:///f", nil, darter.Invalid, "https://"},
		"a broken escape":        {"http://h/%zz", nil, darter.Invalid, "https://"},
	} {
		t.Run(name, func(t *testing.T) {
			s := fresh(t, c.adjust)
			_, err := s.Stat(t.Context(), secretRequest(c.url))
			noSecret(t, err)
			if darter.KindOf(err) != c.kind || !strings.Contains(darter.HintOf(err), c.hint) {
				t.Errorf("%v (%s, %q); want %s and a hint about %q", err, darter.KindOf(err), darter.HintOf(err), c.kind, c.hint)
			}
		})
	}
}

func TestCertificatesOfAFile(t *testing.T) {
	o := sourcetest.NewTLSOrigin(t)
	r := source.Request{URL: o.Put("f", []byte("x"))}
	for name, adjust := range map[string]func(*http.Config){
		"trusted by file":  func(c *http.Config) { c.CAFile = o.CAFile() },
		"verification off": func(c *http.Config) { c.InsecureSkipVerify = true },
	} {
		if _, err := fresh(t, adjust).Stat(t.Context(), r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{empty, empty + ".missing"} {
		cfg := http.DefaultConfig()
		cfg.CAFile = file
		if _, err := http.New(cfg); darter.KindOf(err) != darter.Invalid || err == nil {
			t.Errorf("CA file %s: %v, want invalid", file, err)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	if _, err := http.New(http.Config{}); darter.KindOf(err) != darter.Invalid || !strings.Contains(err.Error(), "stall timeout") {
		t.Errorf("the zero Config: %v, want invalid with every fault named", err)
	}
}

func TestRequestHeaders(t *testing.T) {
	w := newWorld(t, sourcetest.Faults{}, once)
	w.r.Header = map[string]string{"x-mine": "1", "Range": "bytes=5-6", "If-None-Match": "*", "Accept-Encoding": "gzip",
		"Proxy-Authorization": secret, "Host": "virtual.test", "Connection": "close"}
	w.r.URL = strings.Replace(w.r.URL, "://", "://user:pw@", 1)
	info, err := w.Stat(t.Context(), w.r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.fetch(t, &darter.Span{Offset: 1, Length: 2}, info); err != nil {
		t.Fatal(err)
	}
	if _, err := w.fetch(t, nil, info); err != nil {
		t.Fatal(err)
	}
	if got := w.Requests()[2].Range; got != "" {
		t.Errorf("the user's Range %q was sent; what is fetched is ours to say", got)
	}
	got := w.Requests()[1]
	want := map[string]string{"X-Mine": "1", "Range": "bytes=1-2", "Accept-Encoding": "identity", "User-Agent": "darter",
		"Authorization": "Basic dXNlcjpwdw==", "Host": "virtual.test", "If-None-Match": "", "Proxy-Authorization": "", "Connection": ""}
	for name, value := range want {
		if got.Header.Get(name) != value {
			t.Errorf("%s: %q was sent, want %q", name, got.Header.Get(name), value)
		}
	}
	for name, value := range map[string]string{"a b": "x", "": "x", "X": "a\r\nB: c"} {
		_, err := w.Stat(t.Context(), source.Request{URL: w.r.URL, Header: map[string]string{name: value}})
		if darter.KindOf(err) != darter.Invalid || err == nil {
			t.Errorf("header %q: %q gives %v, want invalid", name, value, err)
		}
	}
}

func TestRedirectsKeepSecretsHome(t *testing.T) {
	away, home := sourcetest.NewOrigin(t), sourcetest.NewOrigin(t)
	away.AddRandom("f", size, 1)
	home.AddRandom("there", size, 1)
	home.SetFaults("out", sourcetest.Faults{Redirect: away.URL("f"), RedirectStatus: 307})
	home.SetFaults("in", sourcetest.Faults{Redirect: "there"})
	away.SetFaults("back", sourcetest.Faults{Redirect: home.URL("in")})
	home.SetFaults("round", sourcetest.Faults{Redirect: away.URL("back")})
	names := []string{"Authorization", "Cookie", "X-Api-Key"}
	check := func(path string, last *sourcetest.Origin, trusted bool) {
		r := source.Request{URL: strings.Replace(home.URL(path), "://", "://u:p@", 1),
			Header: map[string]string{"Cookie": secret, "X-Api-Key": secret, "User-Agent": "mine"}}
		if _, err := fresh(t, once).Stat(t.Context(), r); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all := last.Requests()
		got := all[len(all)-1]
		for _, name := range names {
			if (got.Header.Get(name) != "") != trusted {
				t.Errorf("%s: the last server got %s %q, trusted is %v", path, name, got.Header.Get(name), trusted)
			}
		}
		if got.Header.Get("User-Agent") != "mine" || got.Range != "bytes=0-0" {
			t.Errorf("%s: User-Agent %q, Range %q did not come along", path, got.Header.Get("User-Agent"), got.Range)
		}
	}
	check("in", home, true)
	check("out", away, false)
	check("round", home, false) // once led away, nobody is trusted again
}

func TestRedirectsThatLeadNowhere(t *testing.T) {
	o, secured := sourcetest.NewOrigin(t), sourcetest.NewTLSOrigin(t)
	o.AddRandom("f", size, 1)
	o.SetFaults("loop", sourcetest.Faults{Redirect: "pool"})
	o.SetFaults("pool", sourcetest.Faults{Redirect: "loop"})
	for _, step := range []string{"0", "1", "2", "3"} {
		o.SetFaults("step"+step, sourcetest.Faults{Redirect: "step" + string(step[0]+1) + "?token=" + secret})
	}
	o.SetFaults("file", sourcetest.Faults{Redirect: "file:///etc/passwd"})
	o.SetFaults("junk", sourcetest.Faults{Redirect: "http://[::1"})
	secured.SetFaults("down", sourcetest.Faults{Redirect: o.URL("f")})
	for start, words := range map[string]string{
		o.URL("loop"): "loop", o.URL("step0"): "more than 3", o.URL("file"): "file://", o.URL("junk"): "no URL",
		secured.URL("down"): "from https",
	} {
		s := fresh(t, func(c *http.Config) { c.MaxRedirects = 3; c.CAFile = secured.CAFile() })
		o.Reset()
		_, err := s.Stat(t.Context(), secretRequest(start))
		noSecret(t, err)
		if darter.KindOf(err) != darter.Invalid || !strings.Contains(err.Error(), words) || darter.HintOf(err) == "" {
			t.Errorf("%s: %v; want invalid, with %q", start, err, words)
		}
		if n := len(o.Requests()); n > 4 {
			t.Errorf("%s: %d requests; such redirects are not worth another attempt", start, n)
		}
	}
	s := fresh(t, func(c *http.Config) { c.AllowDowngrade = true; c.CAFile = secured.CAFile() })
	if _, err := s.Stat(t.Context(), source.Request{URL: secured.URL("down")}); err != nil {
		t.Errorf("a downgrade that is allowed: %v", err)
	}
}

func TestTargetsAreRemembered(t *testing.T) {
	away, home := sourcetest.NewOrigin(t), sourcetest.NewOrigin(t)
	away.AddRandom("f", size, 1)
	away.AddRandom("g", size, 1)
	home.SetFaults("out", sourcetest.Faults{Redirect: away.URL("f")})
	w := world{fresh(t, nil), home, source.Request{URL: home.URL("out")}}
	info, err := w.Stat(t.Context(), w.r)
	if err != nil {
		t.Fatal(err)
	}
	get := func(times int) {
		t.Helper()
		for range times {
			if _, err := w.fetch(t, &darter.Span{Offset: 10, Length: 10}, info); err != nil {
				t.Fatal(err)
			}
		}
	}
	get(3)
	if n := len(home.Requests()); n != 1 {
		t.Errorf("the first server saw %d requests, want only Stat's", n)
	}
	// Another user may be led elsewhere.
	other := source.Request{URL: w.r.URL, Header: map[string]string{"Authorization": "other"}}
	if body, err := w.Open(t.Context(), other, nil, info); err != nil {
		t.Error(err)
	} else {
		body.Close()
	}
	if n := len(home.Requests()); n != 2 {
		t.Errorf("with other credentials the first server saw %d requests, want 2", n)
	}
	// A signature that ran out sends us back to the beginning, within one call.
	away.SetFaults("f", sourcetest.Faults{NeedHeader: map[string]string{"X": "never"}})
	home.SetFaults("out", sourcetest.Faults{Redirect: away.URL("g")})
	get(2)
	if n := len(home.Requests()); n != 3 {
		t.Errorf("after the target went bad the first server saw %d requests, want 3", n)
	}
	// When the first server stops redirecting, the bad target is not tried before each request.
	away.SetFaults("g", sourcetest.Faults{Statuses: []int{403, 403}})
	home.SetFaults("out", sourcetest.Faults{})
	home.AddRandom("out", size, 1)
	home.Reset()
	away.Reset()
	info = w.honest(t)
	info.Version = ""
	get(2)
	if h, a := len(home.Requests()), len(away.Requests()); h != 2 || a != 1 {
		t.Errorf("without a redirect the first server saw %d requests and the bad target %d, want 2 and 1", h, a)
	}
	home.Reset()
	// Stat asks afresh: a URL may mean something else by now.
	if _, err := w.Stat(t.Context(), w.r); err != nil || len(home.Requests()) != 1 {
		t.Errorf("Stat: %v, and %d requests, want 1", err, len(home.Requests()))
	}
}

func TestAllow(t *testing.T) {
	away, home := sourcetest.NewOrigin(t), sourcetest.NewOrigin(t)
	away.AddRandom("f", size, 1)
	_, port, _ := net.SplitHostPort(away.Host())
	alias := "http://localhost:" + port // same address, other name
	home.SetFaults("out", sourcetest.Faults{Redirect: alias + "/f"})
	home.AddRandom("f", size, 1)
	rule := errors.New("not in this house")
	var asked []netip.Addr
	s := fresh(t, func(c *http.Config) {
		c.Allow = func(host string, ip netip.Addr) error {
			asked = append(asked, ip)
			if host == "localhost" {
				return rule
			}
			return nil
		}
	})
	if _, err := s.Stat(t.Context(), source.Request{URL: home.URL("f")}); err != nil || !slices.Contains(asked, netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("an allowed host: %v; asked about %v", err, asked)
	}
	_, err := s.Stat(t.Context(), secretRequest(home.URL("out")))
	noSecret(t, err)
	if darter.KindOf(err) != darter.Denied || !errors.Is(err, rule) || len(away.Requests()) != 0 {
		t.Errorf("a redirect to a forbidden host: %v; want denied, and no request", err)
	}
}

func TestProxy(t *testing.T) {
	proxy := sourcetest.NewOrigin(t) // answers for any host
	proxy.AddRandom("f", size, 1)
	var asked []string
	s := fresh(t, func(c *http.Config) {
		c.Proxy = func(r *nethttp.Request) (*url.URL, error) {
			if r.URL.Host == "broken.test" {
				return nil, errors.New("no such proxy")
			}
			return url.Parse(proxy.URL(""))
		}
		c.Allow = func(host string, ip netip.Addr) error {
			asked = append(asked, host)
			if host == "forbidden.test" || ip.IsLoopback() { // the proxy itself is not asked about
				return errors.New("forbidden")
			}
			return nil
		}
	})
	if _, err := s.Stat(t.Context(), source.Request{URL: "http://far.test/f"}); err != nil {
		t.Errorf("through the proxy: %v", err)
	}
	if got := proxy.Requests(); len(got) != 1 || got[0].Header.Get("Host") != "far.test" {
		t.Errorf("the proxy saw %+v", got)
	}
	if _, err := s.Stat(t.Context(), source.Request{URL: "http://forbidden.test/f"}); darter.KindOf(err) != darter.Denied {
		t.Errorf("a forbidden host through the proxy: %v, want denied", err)
	}
	if _, err := s.Stat(t.Context(), source.Request{URL: "http://broken.test/f"}); darter.KindOf(err) != darter.Invalid {
		t.Errorf("a proxy that cannot be: %v, want invalid", err)
	}
	if !slices.Equal(asked, []string{"far.test", "forbidden.test"}) {
		t.Errorf("Allow was asked about %v", asked)
	}
}
