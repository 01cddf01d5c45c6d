package identity_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/darter-p2p/darter/internal/identity"
)

func TestCanonical(t *testing.T) {
	for _, c := range []struct {
		in, want string
		filter   []string
	}{
		// Parsing.
		{in: "HTTPS://Example.COM:443/a", want: "https://example.com/a"},
		{in: "http://example.com:80/a", want: "http://example.com/a"},
		{in: "http://example.com:443/a", want: "http://example.com:443/a"},
		{in: "https://example.com/a/../b/./c", want: "https://example.com/b/c"},
		{in: "https://example.com/a/%2e%2E/b", want: "https://example.com/b"},
		{in: " https://example.com/a\tb\n ", want: "https://example.com/ab"},
		{in: "https://example.com/a b\"<>", want: "https://example.com/a%20b%22%3C%3E"},
		{in: "https://example.com/%7e", want: "https://example.com/%7e"}, // escapes in the path stay as they are
		{in: `https:\\example.com\a`, want: "https://example.com/a"},
		{in: "https://bücher.example/ü", want: "https://xn--bcher-kva.example/%C3%BC"},
		{in: "https://user:pw@example.com/a", want: "https://user:pw@example.com/a"},
		{in: "http://[0:0::1]/a", want: "http://[::1]/a"},
		{in: "http://0x7f.1/a", want: "http://127.0.0.1/a"},
		// The lone slash.
		{in: "https://example.com", want: "https://example.com"},
		{in: "https://example.com/", want: "https://example.com"},
		{in: "https://example.com/?", want: "https://example.com"},
		{in: "https://example.com//", want: "https://example.com//"},
		{in: "https://example.com/a/", want: "https://example.com/a/"},
		{in: "https://example.com/?a=/", want: "https://example.com/?a=%2F"},
		{in: "https://example.com/#x/", want: "https://example.com/#x"},
		{in: "https://example.com/a#/", want: "https://example.com/a#/"},
		// The query is written anew even when nothing is filtered.
		{in: "https://h/?b=2&a=1", want: "https://h/?b=2&a=1"},
		{in: "https://h/f?foo", want: "https://h/f?foo="},
		{in: "https://h/f?&&a=1&", want: "https://h/f?a=1"},
		{in: "https://h/f?a=1=2", want: "https://h/f?a=1%3D2"},
		{in: "https://h/f?a=x%20y+z", want: "https://h/f?a=x+y+z"},
		{in: "https://h/f?a=~*-._!'()", want: "https://h/f?a=%7E*-._%21%27%28%29"},
		{in: "https://h/f?a=%zz%4", want: "https://h/f?a=%25zz%254"},
		{in: "https://h/f?a;b=1", want: "https://h/f?a%3Bb=1"},
		{in: "https://h/f?q=ü", want: "https://h/f?q=%C3%BC"},
		{in: "https://h/f?q=%ff", want: "https://h/f?q=%EF%BF%BD"},
		{in: "https://h/f?q=%E2%82x", want: "https://h/f?q=%EF%BF%BDx"},                    // one per broken prefix
		{in: "https://h/f?q=%E0%80", want: "https://h/f?q=%EF%BF%BD%EF%BF%BD"},             // overlong: one per byte
		{in: "https://h/f?q=%F0%9F%98x", want: "https://h/f?q=%EF%BF%BDx"},                 // cut emoji
		{in: "https://h/f?q=%ED%A0%80", want: "https://h/f?q=%EF%BF%BD%EF%BF%BD%EF%BF%BD"}, // surrogate
		{in: "https://h/f?q=%F4%90%80", want: "https://h/f?q=%EF%BF%BD%EF%BF%BD%EF%BF%BD"}, // past U+10FFFF
		{in: "https://h/f?q=%C3%28", want: "https://h/f?q=%EF%BF%BD%28"},                   // no continuation
		{in: "https://h/f?a=1#frag?b=2", want: "https://h/f?a=1#frag?b=2"},
		// Filtering.
		{in: "https://h/f?x=1&y=2&x=3", filter: []string{"x"}, want: "https://h/f?y=2"},
		{in: "https://h/f?x=1", filter: []string{"x"}, want: "https://h/f"},
		{in: "https://h/?x=1", filter: []string{"x"}, want: "https://h"},
		{in: "https://h/f?X=1", filter: []string{"x"}, want: "https://h/f?X=1"},
		{in: "https://h/f?%78=1", filter: []string{"x"}, want: "https://h/f"}, // the decoded key counts
		{in: "https://h/f?x=1#y", filter: []string{"x"}, want: "https://h/f#y"},
		{in: "https://h/f?=1", filter: []string{""}, want: "https://h/f"},
		// Schemes that are not special.
		{in: "S3://Bucket/a b?x=1", want: "s3://Bucket/a%20b?x=1"},
		{in: "s3://Bucket", want: "s3://Bucket"},
		{in: "s3://Bucket/", want: "s3://Bucket"},
		{in: "hf://Owner/repo/../x", want: "hf://Owner/x"},
		{in: "oci://Registry.io:443/x", want: "oci://Registry.io:443/x"},
		{in: "file:///srv/x", want: "file:///srv/x"},
	} {
		if got, err := identity.Canonical(c.in, c.filter); err != nil || got != c.want {
			t.Errorf("Canonical(%q, %q) = %q, %v; want %q", c.in, c.filter, got, err, c.want)
		}
	}
}

func TestDefaultFilteredQuery(t *testing.T) {
	keys := identity.DefaultFilteredQuery()
	if len(keys) != 30 {
		t.Errorf("%d keys, want the reference's 30", len(keys))
	}
	for _, k := range []string{"X-Amz-Signature", "X-Goog-Date", "Expires", "X-Obs-Date", "q-ak", "ns"} {
		if !slices.Contains(keys, k) {
			t.Errorf("%s is missing", k)
		}
	}
	keys[0] = "changed"
	if identity.DefaultFilteredQuery()[0] == "changed" {
		t.Error("the callers share one slice")
	}
}

// urls draws hierarchical URLs with rough queries.
func urls() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		scheme := rapid.SampledFrom([]string{"http", "HTTPS", "s3", "hf", "ftp"}).Draw(t, "scheme")
		host := rapid.SampledFrom([]string{"h", "Example.COM", "h:80", "h:443", "u:p@h", "127.1", "[::1]"}).Draw(t, "host")
		path := rapid.SampledFrom([]string{"", "/", "//", "/a/../b", "/a b", "/%7E/", "/ü/é"}).Draw(t, "path")
		query := rapid.StringOfN(rapid.RuneFrom([]rune("ab=&%+~*; /?ü2fF\xff")), 0, 12, -1).Draw(t, "query")
		fragment := rapid.SampledFrom([]string{"", "#", "#/", "#x//"}).Draw(t, "fragment")
		return scheme + "://" + host + path + "?" + query + fragment
	})
}

func TestCanonicalIsIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		url := urls().Draw(t, "url")
		once, err := identity.Canonical(url, nil)
		if err != nil {
			t.Skip()
		}
		if twice, err := identity.Canonical(once, nil); err != nil || twice != once {
			t.Fatalf("Canonical(%q) = %q, and of that %q, %v", url, once, twice, err)
		}
	})
}

func TestFilterOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		url := urls().Draw(t, "url")
		filter := rapid.SliceOf(rapid.SampledFrom([]string{"a", "b", "ab", "", "ü", "a b"})).Draw(t, "filter")
		forth, err1 := identity.Canonical(url, filter)
		back := slices.Clone(filter)
		slices.Reverse(back)
		again, err2 := identity.Canonical(url, back)
		if forth != again || (err1 == nil) != (err2 == nil) {
			t.Fatalf("Canonical(%q, %q) = %q, reversed %q", url, filter, forth, again)
		}
		// One key after the other gives the same as all at once.
		step := url
		for _, key := range filter {
			if step, err1 = identity.Canonical(step, []string{key}); err1 != nil {
				t.Skip()
			}
		}
		if len(filter) > 0 && step != forth {
			t.Fatalf("%q filtered by %q one by one is %q, at once %q", url, filter, step, forth)
		}
	})
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"https://u:p@h/f":                        "https://h/f",
		"https://h/f?a=1&X-Amz-Signature=s&ns=d": "https://h/f?a=1",
		"https://h/f?a=1&mine=2":                 "https://h/f?a=1",
		"https://h/f?access_token=t&Key=k&b":     "https://h/f?access_token=hidden&Key=hidden&b=",
		"https://h/f#secret":                     "https://h/f",
		"https://h/":                             "https://h/",
		"s3://AKIA:secret@Bucket/x":              "s3://Bucket/x",
		"not a url":                              "not a url",
		"user:pw@host/x?token=1":                 "user:pw@host/x?token=hidden", // a scheme and an opaque path
		"http://u:p@h:99999/x?token=1":           "http://h:99999/x",
		"http://u:p?w@h:99999/x":                 "http://h:99999/x",
		"http://a b/" + strings.Repeat("é", 300): "http://a b/" + strings.Repeat("é", 122) + "…",
		"line\nbreak":                            "linebreak",
		"https://h/f?q=1&q=2&%74oken=x":          "https://h/f?q=1&q=2&token=hidden",
	} {
		if got := identity.Redact(in, "mine"); got != want {
			t.Errorf("Redact(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"", "https://h", "http://h:80/../?a=b&c#d", "s3://B/ x", "file:///c|/", "a:b", "http://[::1", "https://h/?%ff=%F0%9F", "https://xn--/", "HTTP:////h"} {
		f.Add(s, "a")
	}
	f.Fuzz(func(t *testing.T, url, key string) {
		once, err := identity.Canonical(url, []string{key})
		red := identity.Redact(url)
		if err != nil {
			return
		}
		if identity.Redact(red) != red {
			t.Errorf("Redact(%q) = %q is not stable: %q", url, red, identity.Redact(red))
		}
		if strings.ContainsAny(once, "\n\t\x00") {
			t.Errorf("Canonical(%q) = %q holds control characters", url, once)
		}
	})
}

func FuzzBlobDigest(f *testing.F) {
	f.Add("https://r/v2/a/blobs/sha256:" + strings.Repeat("ab", 32))
	f.Add("://v2//blobs/blobs/crc32:1234567890?")
	f.Fuzz(func(t *testing.T, url string) {
		d, err := identity.BlobDigest(url)
		if err == nil && d != "" && strings.ContainsAny(d.Encoded(), "/.") {
			t.Errorf("BlobDigest(%q) = %q could leave a folder", url, d)
		}
	})
}

// The parser is quadratic in what stands before the query; the bound keeps hostile URLs cheap.
func TestLongURLs(t *testing.T) {
	long := func(n int) string { return "https://h/" + strings.Repeat("a", n-len("https://h/")) }
	for _, c := range []struct {
		url string
		ok  bool
	}{
		{long(4096), true}, {long(4097), false}, {long(4096) + "?" + strings.Repeat("a", 28000), true},
		{long(4096) + "#" + strings.Repeat("a", 28672), false},
	} {
		if _, err := identity.Canonical(c.url, nil); (err == nil) != c.ok {
			t.Errorf("a URL of %d bytes: %v", len(c.url), err)
		}
	}
}
