package httprange

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/darter-p2p/darter"
)

func TestParse(t *testing.T) {
	const toTheEnd = math.MaxInt64
	cases := []struct {
		header string
		length int64
		want   darter.Range // zero: an error
		none   bool         // the error is ErrUnsatisfiable
	}{
		{"bytes=0-99", 1000, darter.Range{Start: 0, Length: 100}, false},
		{"bytes=0-0", 1000, darter.Range{Start: 0, Length: 1}, false},
		{"bytes=900-1999", 1000, darter.Range{Start: 900, Length: 100}, false},
		{"bytes=999-", 1000, darter.Range{Start: 999, Length: 1}, false},
		{"bytes=-1", 1000, darter.Range{Start: 999, Length: 1}, false},
		{"bytes=-5000", 1000, darter.Range{Start: 0, Length: 1000}, false},
		{"Bytes= 0-9 ", 1000, darter.Range{Start: 0, Length: 10}, false},
		{"bytes=5-99999999999999999999999", 1000, darter.Range{Start: 5, Length: 995}, false},
		{"bytes=0-99", -1, darter.Range{Start: 0, Length: 100}, false},
		{"bytes=5-", -1, darter.Range{Start: 5, Length: toTheEnd - 5}, false},
		{"bytes=0-9223372036854775807", -1, darter.Range{Start: 0, Length: toTheEnd}, false},
		{"bytes=1000-", 1000, darter.Range{}, true},
		{"bytes=1000-1001", 1000, darter.Range{}, true},
		{"bytes=99999999999999999999999-", 1000, darter.Range{}, true},
		{"bytes=-0", 1000, darter.Range{}, true},
		{"bytes=0-", 0, darter.Range{}, true},
		{"bytes=-7", 0, darter.Range{}, true},
		{"bytes=-7", -1, darter.Range{}, false},
		{"bytes=9-5", 1000, darter.Range{}, false},
		{"bytes=0-1,3-4", 1000, darter.Range{}, false},
		{"bytes=-", 1000, darter.Range{}, false},
		{"bytes=", 1000, darter.Range{}, false},
		{"bytes=+1-2", 1000, darter.Range{}, false},
		{"bytes=1--2", 1000, darter.Range{}, false},
		{"bytes=0x1-2", 1000, darter.Range{}, false},
		{"items=0-1", 1000, darter.Range{}, false},
		{"0-1", 1000, darter.Range{}, false},
		{"", 1000, darter.Range{}, false},
	}
	for _, c := range cases {
		got, err := Parse(c.header, c.length)
		if got != c.want || (err == nil) != (c.want.Length > 0) || errors.Is(err, ErrUnsatisfiable) != c.none {
			t.Errorf("Parse(%q, %d) = %+v, %v; want %+v, unsatisfiable %v", c.header, c.length, got, err, c.want, c.none)
		}
		if err != nil && darter.KindOf(err) != darter.Invalid {
			t.Errorf("Parse(%q) failed as %v, want invalid", c.header, darter.KindOf(err))
		}
	}
}

func TestParseContentRange(t *testing.T) {
	cases := []struct {
		header string
		want   darter.Span
		total  int64
		bad    bool
	}{
		{"bytes 0-99/1000", darter.Span{Offset: 0, Length: 100}, 1000, false},
		{"bytes 999-999/1000", darter.Span{Offset: 999, Length: 1}, 1000, false},
		{"bytes 5-9/*", darter.Span{Offset: 5, Length: 5}, -1, false},
		{"bytes */1000", darter.Span{}, 1000, false},
		{" Bytes  0-0/1 ", darter.Span{Offset: 0, Length: 1}, 1, false},
		{"bytes 0-1000/1000", darter.Span{}, -1, true},
		{"bytes 9-5/1000", darter.Span{}, -1, true},
		{"bytes 0-/1000", darter.Span{}, -1, true},
		{"bytes -5/1000", darter.Span{}, -1, true},
		{"bytes 0-99", darter.Span{}, -1, true},
		{"bytes=0-99/1000", darter.Span{}, -1, true},
		{"bytes 0-99/x", darter.Span{}, -1, true},
		{"", darter.Span{}, -1, true},
	}
	for _, c := range cases {
		got, total, err := ParseContentRange(c.header)
		if got != c.want || total != c.total || (err != nil) != c.bad {
			t.Errorf("ParseContentRange(%q) = %+v, %d, %v; want %+v, %d", c.header, got, total, err, c.want, c.total)
		}
		if err != nil && darter.KindOf(err) != darter.Corrupt {
			t.Errorf("ParseContentRange(%q) failed as %v, want corrupt", c.header, darter.KindOf(err))
		}
	}
}

func TestFormat(t *testing.T) {
	cases := map[darter.Span]string{
		{Offset: 0, Length: 100}:            "bytes=0-99",
		{Offset: 7, Length: 1}:              "bytes=7-7",
		{Offset: 7, Length: 0}:              "",
		{Offset: -1, Length: 5}:             "",
		{Offset: 1, Length: math.MaxInt64}:  "bytes=1-9223372036854775806",
		{Offset: math.MaxInt64, Length: 10}: "",
	}
	for span, want := range cases {
		if got := Format(span); got != want {
			t.Errorf("Format(%+v) = %q, want %q", span, got, want)
		}
	}
	if got := FormatContentRange(darter.Span{}, 1000); got != "bytes */1000" {
		t.Errorf("an empty span gave %q", got)
	}
	if got := FormatContentRange(darter.Span{Offset: 1, Length: 2}, -1); got != "bytes 1-2/*" {
		t.Errorf("an unknown total gave %q", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"bytes=0-99", "bytes=5-", "bytes=-5", "bytes=-0", "bytes=9-5", "bytes=1,2", "bytes=18446744073709551616-"} {
		f.Add(seed, int64(1000))
		f.Add(seed, int64(-1))
		f.Add(seed, int64(math.MaxInt64))
	}
	f.Fuzz(func(t *testing.T, header string, length int64) {
		r, err := Parse(header, length)
		if err != nil {
			return
		}
		if r.Start < 0 || r.Length <= 0 || r.End() < r.Start || length >= 0 && r.End() > length {
			t.Fatalf("Parse(%q, %d) = %+v: outside the content", header, length, r)
		}
		again, err := Parse(Format(darter.Span{Offset: r.Start, Length: r.Length}), length)
		if err != nil || again != r {
			t.Fatalf("%+v became %+v, %v when written and read again", r, again, err)
		}
	})
}

func FuzzParseContentRange(f *testing.F) {
	for _, seed := range []string{"bytes 0-99/1000", "bytes */1000", "bytes 5-9/*", "bytes 0-9/5", "bytes 0-18446744073709551616/*"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		s, total, err := ParseContentRange(header)
		if err != nil {
			return
		}
		if s.Offset < 0 || s.Length < 0 || s.End() < s.Offset || total >= 0 && s.End() > total {
			t.Fatalf("ParseContentRange(%q) = %+v, %d: cannot be", header, s, total)
		}
		again, sum, err := ParseContentRange(FormatContentRange(s, total))
		if err != nil || again != s || sum != total {
			t.Fatalf("%+v/%d became %+v/%d, %v when written and read again", s, total, again, sum, err)
		}
	})
}

func ExampleParse() {
	r, err := Parse("bytes=-100", 1000)
	fmt.Println(r, err)
	// Output: bytes=900-999 <nil>
}
