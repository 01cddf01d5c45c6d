package egress_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/egress"
)

// world is a resolver whose answers a test writes, and a dialler that notes where it was sent.
type world struct {
	names  map[string][]string
	asked  map[string]int
	change func(host string, times int) []string // when set, answers instead of names
	dialed []string
	to     string // where dialled connections really go
}

func (w *world) resolve(_ context.Context, host string) ([]netip.Addr, error) {
	if w.asked == nil {
		w.asked = make(map[string]int)
	}
	w.asked[host]++
	texts := w.names[host]
	if w.change != nil {
		texts = w.change(host, w.asked[host])
	}
	if texts == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	var out []netip.Addr
	for _, s := range texts {
		out = append(out, netip.MustParseAddr(s))
	}
	return out, nil
}

func (w *world) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.dialed = append(w.dialed, addr)
	if w.to == "" {
		return nil, errors.New("nobody there")
	}
	var d net.Dialer
	return d.DialContext(ctx, network, w.to)
}

func rules(t *testing.T, texts ...string) []egress.Rule {
	t.Helper()
	var out []egress.Rule
	for _, s := range texts {
		r, err := egress.ParseRule(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func guard(t *testing.T, w *world, change func(*egress.Config)) *egress.Guard {
	t.Helper()
	cfg := egress.DefaultConfig()
	cfg.Resolve, cfg.Dial = w.resolve, w.dial
	cfg.Interfaces = func() ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("127.0.0.1")}, nil
	}
	if change != nil {
		change(&cfg)
	}
	g, err := egress.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

var dns = map[string][]string{
	"public.example": {"8.8.8.8"}, "two.example": {"8.8.8.8", "8.8.4.4"}, "mixed.example": {"8.8.8.8", "127.0.0.1"}, "lan.example": {"10.1.2.3"},
	"deep.lan.example": {"10.1.2.4"}, "loop.example": {"127.0.0.1"}, "six.example": {"::1"}, "mapped.example": {"::ffff:127.0.0.1"}, "nat64.example": {"64:ff9b::a9fe:a9fe"},
	"meta.example": {"169.254.169.254"}, "metadata.google.internal": {"169.254.169.254"}, "lanmeta.example": {"10.1.2.3", "100.100.100.200"}, "localhost": {"127.0.0.1"},
	"self.example": {"10.0.0.9"}, "shared.example": {"100.64.1.1"}, "ula.example": {"fd00::1"}, "empty.example": {},
}

func TestCheckURL(t *testing.T) {
	type lists struct{ allow, deny, private, exempt, own []string }
	const ok = darter.Kind(255)
	for _, c := range []struct {
		url  string
		set  lists
		want darter.Kind
	}{
		{url: "https://public.example/a", want: ok},
		{url: "http://PUBLIC.example.:8080/a", want: ok},
		{url: "https://8.8.8.8/", want: ok},
		{url: "https://[2606:4700::1111]/", want: ok},
		{url: "https://two.example/", want: ok},

		// not a usable URL
		{url: "https:///a", want: darter.Invalid}, {url: "https:a", want: darter.Invalid}, {url: "https://public.example:0/", want: darter.Invalid},
		{url: "https://public.example:99999/", want: darter.Invalid},
		{url: "http://2130706433/", want: darter.Invalid}, {url: "http://0x7f000001/", want: darter.Invalid}, {url: "http://017700000001/", want: darter.Invalid},
		{url: "http://0177.0.0.1/", want: darter.Invalid}, {url: "http://127.1/", want: darter.Invalid}, {url: "http://0x7f.1/", want: darter.Invalid},
		{url: "http://127.0.0.1%2e/", want: darter.Denied}, {url: "http://１２７.0.0.1/", want: darter.Denied}, {url: "http://127。0。0。1/", want: darter.Denied},
		{url: "http://absent.example/", want: darter.Unavailable}, {url: "http://empty.example/", want: darter.Unavailable},

		// scheme
		{url: "file:///etc/passwd", want: darter.Invalid}, {url: "ftp://public.example/", want: darter.Denied}, {url: "gopher://public.example:70/", want: darter.Denied},
		{url: "unix://public.example/", want: darter.Denied},

		// class, by name and by address
		{url: "http://127.0.0.1/", want: darter.Denied}, {url: "http://localhost/", want: darter.Denied}, {url: "http://loop.example/", want: darter.Denied},
		{url: "http://[::1]/", want: darter.Denied}, {url: "http://six.example/", want: darter.Denied}, {url: "http://[::]/", want: darter.Denied}, {url: "http://0.0.0.0/", want: darter.Denied},
		{url: "http://[::ffff:127.0.0.1]/", want: darter.Denied}, {url: "http://[::ffff:7f00:1]/", want: darter.Denied}, {url: "http://mapped.example/", want: darter.Denied},
		{url: "http://[64:ff9b::7f00:1]/", want: darter.Denied}, {url: "http://nat64.example/", want: darter.Denied}, {url: "http://[2002:7f00:1::]/", want: darter.Denied},
		{url: "http://169.254.169.254/latest/meta-data/", want: darter.Denied}, {url: "http://meta.example/", want: darter.Denied},
		{url: "http://metadata.google.internal/", want: darter.Denied}, {url: "http://[fe80::1%25eth0]/", want: darter.Denied}, {url: "http://224.0.0.1/", want: darter.Denied},
		{url: "http://255.255.255.255/", want: darter.Denied}, {url: "http://mixed.example/", want: darter.Denied},

		// private, only for configured hosts
		{url: "http://10.1.2.3/", want: darter.Denied}, {url: "http://lan.example/", want: darter.Denied}, {url: "http://ula.example/", want: darter.Denied},
		{url: "http://lan.example/", set: lists{private: []string{"lan.example"}}, want: ok},
		{url: "http://lan.example:81/", set: lists{private: []string{"lan.example:80"}}, want: darter.Denied},
		{url: "http://lan.example:80/", set: lists{private: []string{"lan.example:80"}}, want: ok},
		{url: "http://deep.lan.example/", set: lists{private: []string{"lan.example"}}, want: darter.Denied},
		{url: "http://deep.lan.example/", set: lists{private: []string{"*.lan.example"}}, want: ok},
		{url: "http://lan.example/", set: lists{private: []string{"*.lan.example"}}, want: darter.Denied},
		{url: "http://10.1.2.3/", set: lists{private: []string{"lan.example"}}, want: darter.Denied},
		{url: "http://10.1.2.3/", set: lists{private: []string{"10.1.0.0/16"}}, want: ok},
		{url: "http://lan.example/", set: lists{private: []string{"10.1.0.0/16"}}, want: ok},
		{url: "http://shared.example/", set: lists{private: []string{"shared.example"}}, want: ok},
		{url: "http://ula.example/", set: lists{private: []string{"fd00::/8"}}, want: ok},
		{url: "http://loop.example/", set: lists{private: []string{"loop.example", "127.0.0.0/8"}}, want: darter.Denied},
		{url: "http://meta.example/", set: lists{private: []string{"meta.example"}}, want: darter.Denied},
		{url: "http://lanmeta.example/", set: lists{private: []string{"lanmeta.example"}}, want: darter.Denied},

		// allow and deny
		{url: "http://public.example/", set: lists{allow: []string{"other.example"}}, want: darter.Denied},
		{url: "http://public.example/", set: lists{allow: []string{"public.example"}}, want: ok},
		{url: "http://public.example/", set: lists{allow: []string{"8.8.8.0/24"}}, want: ok},
		{url: "http://two.example/", set: lists{allow: []string{"8.8.8.0/24"}}, want: darter.Denied},
		{url: "http://8.8.8.8/", set: lists{allow: []string{"8.8.8.8"}}, want: ok},
		{url: "http://8.8.4.4/", set: lists{allow: []string{"8.8.8.8"}}, want: darter.Denied},
		{url: "http://lan.example/", set: lists{allow: []string{"lan.example"}}, want: darter.Denied},
		{url: "http://public.example/", set: lists{deny: []string{"*.example"}}, want: darter.Denied},
		{url: "http://public.example/", set: lists{deny: []string{"8.8.8.0/24"}}, want: darter.Denied},
		{url: "http://public.example/", set: lists{allow: []string{"public.example"}, deny: []string{"public.example"}}, want: darter.Denied},
		{url: "http://public.example:81/", set: lists{deny: []string{"public.example:80"}}, want: ok},

		// exempt, and what stays refused all the same
		{url: "http://127.0.0.1:8081/", set: lists{exempt: []string{"127.0.0.0/8"}}, want: ok},
		{url: "http://loop.example/", set: lists{exempt: []string{"127.0.0.0/8"}}, want: ok},
		{url: "http://[::1]/", set: lists{exempt: []string{"127.0.0.0/8"}}, want: darter.Denied},
		{url: "http://meta.example/", set: lists{exempt: []string{"169.254.0.0/16"}}, want: darter.Denied},
		{url: "http://127.0.0.1:8080/", set: lists{exempt: []string{"127.0.0.0/8"}, own: []string{"127.0.0.1:8080"}}, want: darter.Denied},
		{url: "http://127.0.0.1:8081/", set: lists{exempt: []string{"127.0.0.0/8"}, own: []string{"127.0.0.1:8080"}}, want: ok},
		{url: "http://127.0.0.7:8080/", set: lists{exempt: []string{"127.0.0.0/8"}, own: []string{"0.0.0.0:8080"}}, want: darter.Denied},
		{url: "http://self.example:8080/", set: lists{private: []string{"self.example"}, own: []string{"[::]:8080"}}, want: darter.Denied},
		{url: "http://self.example:8081/", set: lists{private: []string{"self.example"}, own: []string{"[::]:8080"}}, want: ok},
		{url: "http://lan.example:8080/", set: lists{private: []string{"lan.example"}, own: []string{"[::]:8080"}}, want: ok},
	} {
		t.Run(fmt.Sprintf("%s %v", c.url, c.set), func(t *testing.T) {
			w := &world{names: dns}
			g := guard(t, w, func(cfg *egress.Config) {
				cfg.Allow, cfg.Deny, cfg.Private = rules(t, c.set.allow...), rules(t, c.set.deny...), rules(t, c.set.private...)
				for _, p := range c.set.exempt {
					cfg.Exempt = append(cfg.Exempt, netip.MustParsePrefix(p))
				}
				for _, o := range c.set.own {
					cfg.Own = func() []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort(o)} }
				}
			})
			u, err := url.Parse(c.url)
			if err != nil {
				if c.want == ok {
					t.Fatal(err)
				}
				return // not even a URL
			}
			err = g.CheckURL(t.Context(), u)
			if c.want == ok {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || darter.KindOf(err) != c.want || egress.IsDenied(err) != (c.want == darter.Denied) {
				t.Fatalf("%v (kind %v), want %v", err, darter.KindOf(err), c.want)
			}
			// The dial says the same to whoever did not ask before.
			if u.Port() == "" {
				u.Host += ":80"
			}
			if _, err := g.DialContext(t.Context(), "tcp", u.Host); len(w.dialed) > 0 && u.Scheme != "ftp" && u.Scheme != "gopher" && u.Scheme != "unix" {
				t.Errorf("dialled %v: %v", w.dialed, err)
			}
		})
	}
}

// The name answers well when the URL is checked, and with loopback when it is used.
func TestRebindingIsCaughtAtTheDial(t *testing.T) {
	w := &world{change: func(_ string, times int) []string {
		if times == 1 {
			return []string{"8.8.8.8"}
		}
		return []string{"127.0.0.1"}
	}}
	g := guard(t, w, nil)
	if err := g.CheckURL(t.Context(), &url.URL{Scheme: "http", Host: "rebind.example"}); err != nil {
		t.Fatal(err)
	}
	_, err := g.Client(nil).Get("http://rebind.example/")
	if !egress.IsDenied(err) || len(w.dialed) > 0 {
		t.Fatalf("%v, dialled %v", err, w.dialed)
	}
}

// Within one connection there is one look-up, and what is dialled is an address, not the name.
func TestTheCheckedAddressIsDialled(t *testing.T) {
	w := &world{names: dns}
	g := guard(t, w, nil)
	_, err := g.DialContext(t.Context(), "tcp", "two.example:443")
	if darter.KindOf(err) != darter.Unavailable || w.asked["two.example"] != 1 {
		t.Errorf("%v after %d look-ups", err, w.asked["two.example"])
	}
	if got := strings.Join(w.dialed, " "); got != "8.8.8.8:443 8.8.4.4:443" {
		t.Errorf("dialled %s", got)
	}
	for _, network := range []string{"udp", "unix", "ip"} {
		if _, err := g.DialContext(t.Context(), network, "two.example:443"); !egress.IsDenied(err) {
			t.Errorf("%s: %v", network, err)
		}
	}
}

func TestAMultitudeOfAddressesIsRefused(t *testing.T) {
	w := &world{change: func(string, int) []string { return strings.Split(strings.Repeat("8.8.8.8 ", 64)+"8.8.4.4", " ") }}
	if _, err := guard(t, w, nil).DialContext(t.Context(), "tcp", "many.example:443"); !egress.IsDenied(err) || len(w.dialed) > 0 {
		t.Errorf("%v, dialled %d", err, len(w.dialed))
	}
}

func TestUnknownOwnAddressesRefuseRatherThanGuess(t *testing.T) {
	w := &world{names: dns}
	g := guard(t, w, func(cfg *egress.Config) {
		cfg.Own = func() []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:80")} }
		cfg.Interfaces = func() ([]netip.Addr, error) { return nil, errors.New("no netlink") }
	})
	if _, err := g.DialContext(t.Context(), "tcp", "public.example:80"); !egress.IsDenied(err) {
		t.Errorf("%v", err)
	}
}

// redirecting serves every host of the fake world; path /to?... redirects there.
func redirecting(t *testing.T, seen *[]*http.Request) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*seen = append(*seen, r.Clone(r.Context()))
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "here")
	}))
	t.Cleanup(s.Close)
	return s
}

func to(urls ...string) string {
	out := urls[len(urls)-1]
	for i := len(urls) - 2; i >= 0; i-- {
		out = urls[i] + "?to=" + url.QueryEscape(out)
	}
	return out
}

func TestEveryHopIsChecked(t *testing.T) {
	var seen []*http.Request
	s := redirecting(t, &seen)
	for _, c := range []struct {
		chain []string
		hops  int // requests that arrive
		fails bool
	}{
		{chain: []string{"http://public.example/"}, hops: 1},
		{chain: []string{"http://public.example/", "http://two.example/"}, hops: 2},
		{chain: []string{"http://public.example/", "http://127.0.0.1/"}, hops: 1, fails: true},
		{chain: []string{"http://public.example/", "http://loop.example/"}, hops: 1, fails: true},
		{chain: []string{"http://public.example/", "http://two.example/", "http://169.254.169.254/latest"}, hops: 2, fails: true},
		{chain: []string{"http://public.example/", "http://lan.example/"}, hops: 1, fails: true},
		{chain: []string{"http://public.example/", "http://0x7f.1/"}, hops: 1, fails: true},
		{chain: []string{"http://public.example/", "file:///etc/passwd"}, hops: 1, fails: true},
		{chain: []string{"http://public.example/", "ftp://two.example/"}, hops: 1, fails: true},
		{chain: []string{"http://public.example/", "http://public.example/2", "http://public.example/3", "http://public.example/4", "http://public.example/5", "http://public.example/6"}, hops: 6},
		{chain: []string{"http://public.example/", "http://public.example/2", "http://public.example/3", "http://public.example/4", "http://public.example/5", "http://public.example/6", "http://public.example/7"}, hops: 6, fails: true},
	} {
		seen = nil
		w := &world{names: dns, to: s.Listener.Addr().String()}
		answer, err := guard(t, w, nil).Client(&http.Transport{DisableKeepAlives: true}).Get(to(c.chain...))
		if err == nil {
			_ = answer.Body.Close()
		}
		if (err != nil) != c.fails || len(seen) != c.hops {
			t.Errorf("%v: %d requests, %v", c.chain, len(seen), err)
		}
		if kind := darter.KindOf(err); c.fails && kind != darter.Denied && kind != darter.Invalid {
			t.Errorf("%v: kind %v", c.chain, kind)
		}
	}
}

func TestCredentialsStayWithTheirOrigin(t *testing.T) {
	var seen []*http.Request
	s := redirecting(t, &seen)
	for _, c := range []struct {
		chain []string
		keeps []bool
	}{
		{[]string{"http://public.example/", "http://public.example/2"}, []bool{true, true}},
		{[]string{"http://public.example/", "http://public.example:80/2"}, []bool{true, true}},
		{[]string{"http://public.example/", "http://public.example:81/"}, []bool{true, false}},
		{[]string{"http://public.example/", "http://two.example/"}, []bool{true, false}},
		{[]string{"http://public.example/", "http://sub.public.example/"}, []bool{true, false}},
		{[]string{"http://public.example/", "http://two.example/", "http://public.example/3"}, []bool{true, false, false}},
	} {
		seen = nil
		names := map[string][]string{"public.example": {"8.8.8.8"}, "two.example": {"8.8.4.4"}, "sub.public.example": {"8.8.8.8"}}
		g := guard(t, &world{names: names, to: s.Listener.Addr().String()}, nil)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to(c.chain...), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Authorization": {"Bearer x"}, "X-Registry-Token": {"y"}, "Cookie": {"z=1"}, "Range": {"bytes=0-1"}}
		answer, err := g.Client(nil).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		for i, got := range seen {
			for _, name := range []string{"Authorization", "X-Registry-Token", "Cookie"} {
				if has := got.Header.Get(name) != ""; has != c.keeps[i] {
					t.Errorf("%v, hop %d: %s sent: %v", c.chain, i, name, has)
				}
			}
			if got.Header.Get("Range") != "bytes=0-1" {
				t.Errorf("%v, hop %d: the range was lost", c.chain, i)
			}
		}
	}
}

func TestHTTPSNeverBecomesHTTP(t *testing.T) {
	g := guard(t, &world{names: dns}, nil)
	first := &http.Request{URL: &url.URL{Scheme: "https", Host: "public.example"}}
	next := &http.Request{URL: &url.URL{Scheme: "http", Host: "public.example"}, Header: http.Header{}}
	if err := g.CheckRedirect(next, []*http.Request{first}); !egress.IsDenied(err) {
		t.Errorf("%v", err)
	}
}

// A proxy from the environment or the base would be dialled instead of what was checked.
func TestTransportTakesNoDetour(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	var seen []*http.Request
	s := redirecting(t, &seen)
	w := &world{names: dns, to: s.Listener.Addr().String()}
	base := &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return url.Parse("http://127.0.0.1:1") }}
	answer, err := guard(t, w, nil).Client(base).Get("http://public.example/")
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if got := strings.Join(w.dialed, " "); got != "8.8.8.8:80" {
		t.Errorf("dialled %s", got)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, change := range map[string]func(*egress.Config){
		"no schemes":      func(c *egress.Config) { c.Schemes = nil },
		"upper case":      func(c *egress.Config) { c.Schemes = []string{"HTTP"} },
		"no timeout":      func(c *egress.Config) { c.Timeout = 0 },
		"many redirects":  func(c *egress.Config) { c.Hops = 11 },
		"mapped prefix":   func(c *egress.Config) { c.Exempt = []netip.Prefix{netip.MustParsePrefix("::ffff:127.0.0.0/104")} },
		"nothing at all":  func(c *egress.Config) { *c = egress.Config{} },
		"negative number": func(c *egress.Config) { c.Hops = -1 },
	} {
		cfg := egress.DefaultConfig()
		change(&cfg)
		if _, err := egress.New(cfg); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
