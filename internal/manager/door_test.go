package manager

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"google.golang.org/grpc/test/bufconn"
)

// TestAProxyThatTakesTLSAway holds that a manager which is told of a proxy before it gives cookies for TLS only, takes what
// pages of the public site send under whatever Host the proxy uses, and tells callers apart.
func TestAProxyThatTakesTLSAway(t *testing.T) {
	behind := func(c *Config) {
		c.PublicURL, c.Proxies = "https://Darter.example:443/", []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} // requests of tests come from there
	}
	setUp := func(s *site, origin string) reply {
		body := fmt.Sprintf(`{"token":%q,"name":"root","password":%q}`, s.Setup().Token, good)
		return s.ask(t, "POST", "/v1/setup", body, "Origin", origin)
	}
	signIn := func(s *site, origin string) reply {
		return s.ask(t, "POST", "/v1/sessions", fmt.Sprintf(`{"name":"root","password":%q}`, good), "Origin", origin)
	}
	s := newSiteOn(t, "", behind)
	setUp(s, "https://evil.example").refused(t, "a page of another site", 403, "csrf")
	setUp(s, "https://darter.example").fine(t, 201)
	in := signIn(s, "https://darter.example").fine(t, 201)
	if cookie := in.Header.Get("Set-Cookie"); !strings.HasPrefix(cookie, "__Host-darter=") || !strings.Contains(cookie, "Secure") {
		t.Errorf("a cookie that also goes over plain HTTP: %s", cookie)
	}
	plain := newSite(t)
	setUp(plain, "https://darter.example").refused(t, "a page of a site that nobody named", 403, "csrf")

	crowd := func(s *site) (code int) {
		for range 300 { // more than one caller may ask at once
			s.ask(t, "GET", "/v1/users", "", "X-Forwarded-For", "203.0.113.7, 198.51.100.1")
		}
		return s.ask(t, "GET", "/v1/users", "", "X-Forwarded-For", "198.51.100.2").StatusCode
	}
	if code := crowd(s); code != 401 {
		t.Errorf("one caller's crowd keeps another out: %d", code)
	}
	if code := crowd(plain); code != 429 {
		t.Errorf("a proxy that nobody trusts is believed: %d", code)
	}
}

func TestAPublicURLNamesASite(t *testing.T) {
	for text, want := range map[string]string{"": "", "https://a.example": "https://a.example", "http://A.example:80/": "http://a.example", "https://a.example:8443": "https://a.example:8443",
		"https://[2001:db8::1]:443": "https://[2001:db8::1]", "a.example": "-", "https://": "-", "https://a.example/x": "-", "https://u@a.example": "-", "https://a.example?x": "-", "ftp://a.example": "-"} {
		c := DefaultConfig()
		c.GRPC, c.HTTP, c.DataDir, c.PublicURL = bufconn.Listen(1), bufconn.Listen(1), t.TempDir(), text
		err := c.Validate()
		if got, _ := c.origin(); (want == "-") != (err != nil) || err == nil && got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}
