package egress_test

import (
	"testing"

	"github.com/darter-p2p/darter/internal/egress"
)

func TestHost(t *testing.T) {
	for text, want := range map[string]string{
		"Registry.Example": "registry.example", "registry.example.": "registry.example", "a_b.internal": "a_b.internal", "A_B.internal": "a_b.internal",
		"bücher.example": "xn--bcher-kva.example", "xn--bcher-kva.example": "xn--bcher-kva.example",
		"10.1.2.3": "10.1.2.3", "::1": "::1", "::ffff:10.1.2.3": "10.1.2.3", "127.0.0.1.": "127.0.0.1", "１２７.0.0.1": "127.0.0.1", "127。0。0。1": "127.0.0.1",
		"1and1.example": "1and1.example", "0xcafe.example": "0xcafe.example", "fe80::1%eth0": "fe80::1%eth0", "localhost": "localhost",
	} {
		name, addr, err := egress.Host(text)
		got := name
		if addr.IsValid() {
			got = addr.String()
		}
		if err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", ".", "..", "a..b", "2130706433", "0x7f000001", "0X7F000001", "0x7f.1", "017700000001", "0177.0.0.1", "127.1", "127.0.1", "1.2.3.4.5", "0x7f.0.0.0x1",
		"127.0.0.01", "256.1.1.1", "1.2.3", "a b", "a/b", "a@b", "a\x00b", "a\nb", "a%2e", "[::1]", "x:y", "foo.0x", "foo.1", "foo.0x1f", "ä\xff",
	} {
		if name, addr, err := egress.Host(text); err == nil {
			t.Errorf("%q is taken as %q %v", text, name, addr)
		}
	}
}

func TestRuleRoundTrip(t *testing.T) {
	for text, want := range map[string]string{
		"Registry.Example": "registry.example", "registry.example:5000": "registry.example:5000", "*.Example": "*.example", "*.example:443": "*.example:443",
		"10.1.2.3": "10.1.2.3", "10.1.2.3:80": "10.1.2.3:80", "[fd00::1]:80": "[fd00::1]:80", "fd00::1": "fd00::1", "[fd00::1]": "fd00::1",
		"10.1.2.3/8": "10.0.0.0/8", "fd00::/8": "fd00::/8", "::ffff:10.1.2.3": "10.1.2.3",
	} {
		r, err := egress.ParseRule(text)
		if err != nil || r.String() != want {
			t.Errorf("%q: %q, %v, want %q", text, r, err, want)
		}
	}
	for _, text := range []string{"", "*", "*.", "a:b", "a:0", "a:65536", "[::1", "[::1]x", "*.10.0.0.1", "http://a", "10.0.0.0/33", "a*.example", "0x7f.1", "::ffff:10.0.0.0/104"} {
		if r, err := egress.ParseRule(text); err == nil {
			t.Errorf("%q is taken as %q", text, r)
		}
	}
}

func FuzzHost(f *testing.F) {
	for _, s := range []string{"registry.example", "127.0.0.1", "0x7f.1", "::1", "bücher", "a_b", "１２７.0.0.1", "xn--a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, addr, err := egress.Host(s)
		if err != nil {
			return
		}
		if addr.IsValid() == (name != "") {
			t.Fatalf("%q is both or neither: %q %v", s, name, addr)
		}
		again := name
		if addr.IsValid() {
			again = addr.String()
		}
		name2, addr2, err := egress.Host(again)
		if err != nil || name2 != name || addr2 != addr {
			t.Fatalf("%q became %q %v, which became %q %v (%v)", s, name, addr, name2, addr2, err)
		}
	})
}

func FuzzRule(f *testing.F) {
	for _, s := range []string{"*.example:5000", "[::1]:80", "10.0.0.0/8", "a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := egress.ParseRule(s)
		if err != nil {
			return
		}
		again, err := egress.ParseRule(r.String())
		if err != nil || again != r {
			t.Fatalf("%q reads as %q, which reads as %q (%v)", s, r, again, err)
		}
	})
}
