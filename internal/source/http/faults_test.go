package http_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/retry"
	"github.com/darter-p2p/darter/internal/source"
	"github.com/darter-p2p/darter/internal/source/http"
	"github.com/darter-p2p/darter/internal/source/sourcetest"
)

const size = 100_000

// world is a source and an origin with one random content at /f.
type world struct {
	*http.Source
	*sourcetest.Origin
	r source.Request
}

func newWorld(t *testing.T, f sourcetest.Faults, adjust func(*http.Config)) world {
	t.Helper()
	o := sourcetest.NewOrigin(t)
	w := world{fresh(t, adjust), o, source.Request{URL: o.AddRandom("f", size, 7)}}
	o.SetFaults("f", f)
	return w
}

// honest is what Stat says of /f when nothing is wrong.
func (w world) honest(t *testing.T) source.Info {
	t.Helper()
	other := sourcetest.NewOrigin(t)
	info, err := w.Stat(t.Context(), source.Request{URL: other.AddRandom("f", size, 7)})
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// fetch opens and reads a span.
func (w world) fetch(t *testing.T, span *darter.Span, want source.Info) ([]byte, error) {
	t.Helper()
	body, err := w.Open(t.Context(), w.r, span, want)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

func once(c *http.Config) { c.Retry = retry.Policy{Attempts: 1} }

func TestStat(t *testing.T) {
	for name, c := range map[string]struct {
		faults sourcetest.Faults
		length int64
		ranges bool
		asked  int
	}{
		"a good server":                   {sourcetest.Faults{}, size, true, 1},
		"no ranges":                       {sourcetest.Faults{NoRanges: true}, size, false, 1},
		"chunked, HEAD tells":             {sourcetest.Faults{NoRanges: true, NoLength: true, HeadTells: true}, size, false, 2},
		"206 without total, HEAD tells":   {sourcetest.Faults{NoLength: true, HeadTells: true}, size, true, 2},
		"chunked, HEAD is silent too":     {sourcetest.Faults{NoRanges: true, NoLength: true}, -1, false, 2},
		"chunked, HEAD is refused":        {sourcetest.Faults{NoRanges: true, NoLength: true, NoHead: true}, -1, false, 2},
		"416 for the first byte, then ok": {sourcetest.Faults{Statuses: []int{416}}, size, false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.faults, once)
			info, err := w.Stat(t.Context(), w.r)
			if err != nil || info.Length != c.length || info.Ranges != c.ranges || info.Version == "" {
				t.Errorf("Stat = %+v, %v; want length %d, ranges %v, a version", info, err, c.length, c.ranges)
			}
			if n := len(w.Requests()); n != c.asked {
				t.Errorf("%d requests, want %d: %+v", n, c.asked, w.Requests())
			}
		})
	}
}

func TestStatOfLiars(t *testing.T) {
	w := newWorld(t, sourcetest.Faults{Shift: 10}, once)
	if info, err := w.Stat(t.Context(), w.r); darter.KindOf(err) != darter.Corrupt {
		t.Errorf("a 206 of other bytes: %+v, %v; want corrupt", info, err)
	}
	w.SetFaults("f", sourcetest.Faults{Header: map[string]string{"Content-Range": "bytes 5-1/x"}})
	if info, err := w.Stat(t.Context(), w.r); darter.KindOf(err) != darter.Corrupt || darter.HintOf(err) == "" {
		t.Errorf("a broken Content-Range: %+v, %v; want corrupt with a hint", info, err)
	}
	w.SetFaults("f", sourcetest.Faults{Statuses: []int{416, 416}})
	if info, err := w.Stat(t.Context(), w.r); err == nil {
		t.Errorf("416 without a range: %+v; want an error", info)
	}
}

func TestOpenOfLiars(t *testing.T) {
	span := &darter.Span{Offset: 1000, Length: 50_000}
	for name, c := range map[string]struct {
		faults sourcetest.Faults
		span   *darter.Span
		kind   darter.Kind
	}{
		"other length, part":        {sourcetest.Faults{LengthOff: 1}, span, darter.Conflict},
		"other length, whole":       {sourcetest.Faults{LengthOff: -1}, nil, darter.Conflict},
		"short part":                {sourcetest.Faults{Short: 10}, span, darter.Corrupt},
		"short whole":               {sourcetest.Faults{Short: 10}, nil, darter.Corrupt},
		"short part, clean chunks":  {sourcetest.Faults{Short: 10, NoLength: true}, span, darter.Corrupt},
		"short whole, clean chunks": {sourcetest.Faults{Short: 10, NoLength: true}, nil, darter.Corrupt},
		"nothing but headers":       {sourcetest.Faults{Short: 50_000}, span, darter.Corrupt},
		"long part":                 {sourcetest.Faults{Long: 5}, span, darter.Corrupt},
		"long part, chunked":        {sourcetest.Faults{Long: 5, NoLength: true}, span, darter.Corrupt},
		"other bytes":               {sourcetest.Faults{Shift: 7}, span, darter.Corrupt},
		"more told than sent":       {sourcetest.Faults{NoLength: true, Header: map[string]string{"Content-Range": "bytes 1000-60999/100000"}}, span, darter.Corrupt},
		"ranges ignored":            {sourcetest.Faults{NoRanges: true}, span, darter.Unavailable},
		"compressed":                {sourcetest.Faults{Header: map[string]string{"Content-Encoding": "gzip"}}, span, darter.Unavailable},
		"other ETag":                {sourcetest.Faults{Header: map[string]string{"ETag": `"x"`}}, span, darter.Conflict},
		"416 of a shorter content":  {sourcetest.Faults{Header: map[string]string{"Content-Range": "bytes */5"}, Statuses: []int{416}}, span, darter.Conflict},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, sourcetest.Faults{}, once)
			want := w.honest(t)
			w.SetFaults("f", c.faults)
			got, err := w.fetch(t, c.span, want)
			if err == nil || darter.KindOf(err) != c.kind {
				t.Errorf("%d bytes, %v (%s); want %s", len(got), err, darter.KindOf(err), c.kind)
			}
			right := w.Content("f", darter.Span{Length: size})
			if c.span != nil {
				right = right[c.span.Offset:c.span.End()]
			}
			if !bytes.HasPrefix(right, got) {
				t.Error("wrong bytes were handed out")
			}
		})
	}
}

func TestOpenTolerates(t *testing.T) {
	head := &darter.Span{Offset: 0, Length: 50_000}
	for name, c := range map[string]struct {
		faults sourcetest.Faults
		span   *darter.Span
	}{
		"a 200 for a part from the start": {sourcetest.Faults{NoRanges: true}, head},
		"a chunked 200 likewise":          {sourcetest.Faults{NoRanges: true, NoLength: true}, head},
		"chunked parts":                   {sourcetest.Faults{NoLength: true}, head},
		"no validators":                   {sourcetest.Faults{NoVersion: true}, head},
		"no ETag this time":               {sourcetest.Faults{NoETag: true}, head},
		"a weak ETag":                     {sourcetest.Faults{Header: map[string]string{"ETag": `W/"186a0-1"`}}, head},
		"an identity encoding":            {sourcetest.Faults{Header: map[string]string{"Content-Encoding": "identity"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, sourcetest.Faults{}, once)
			want := w.honest(t)
			w.SetFaults("f", c.faults)
			got, err := w.fetch(t, c.span, want)
			right := w.Content("f", darter.Span{Length: size})
			if c.span != nil {
				right = right[:c.span.Length]
			}
			if err != nil || !bytes.Equal(got, right) {
				t.Errorf("%d bytes, %v; want %d", len(got), err, len(right))
			}
		})
	}
}

func TestUnknownLength(t *testing.T) {
	w := newWorld(t, sourcetest.Faults{NoRanges: true, NoLength: true}, once)
	info, err := w.Stat(t.Context(), w.r)
	if err != nil || info.Length != -1 {
		t.Fatalf("Stat = %+v, %v; want an unknown length", info, err)
	}
	got, err := w.fetch(t, nil, info)
	if err != nil || !bytes.Equal(got, w.Content("f", darter.Span{Length: size})) {
		t.Errorf("%d bytes, %v; want all", len(got), err)
	}
	if _, err := w.fetch(t, &darter.Span{Offset: 1, Length: 1}, info); darter.KindOf(err) != darter.Invalid || err == nil {
		t.Errorf("a range of what has none: %v, want invalid", err)
	}
}

// The one fault that must never become a wrong file: the content changes between two ranges.
func TestChangeBetweenRanges(t *testing.T) {
	w := newWorld(t, sourcetest.Faults{ChangeAfter: 2}, once) // Stat and the first range
	info, err := w.Stat(t.Context(), w.r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.fetch(t, &darter.Span{Offset: 0, Length: size / 2}, info); err != nil {
		t.Fatal(err)
	}
	_, err = w.fetch(t, &darter.Span{Offset: size / 2, Length: size / 2}, info)
	changed, ok := errors.AsType[*source.ChangedError](err)
	if !ok || changed.Was != info.Version || changed.Seen == changed.Was {
		t.Errorf("the second range: %v; want a ChangedError with both versions", err)
	}
}

func TestStoredEncodingIsNoCompression(t *testing.T) {
	w := newWorld(t, sourcetest.Faults{Header: map[string]string{"Content-Encoding": "gzip"}}, once)
	info, err := w.Stat(t.Context(), w.r)
	if err != nil || info.Header["Content-Encoding"] != "gzip" {
		t.Fatalf("Stat = %+v, %v", info, err)
	}
	if got, err := w.fetch(t, nil, info); err != nil || len(got) != size {
		t.Errorf("%d bytes, %v; want the bytes as they are stored", len(got), err)
	}
}

func TestRefusals(t *testing.T) {
	for status, kind := range map[int]darter.Kind{404: darter.NotFound, 410: darter.NotFound, 401: darter.Denied,
		403: darter.Denied, 400: darter.Invalid, 501: darter.Unavailable, 204: darter.Invalid, 304: darter.Invalid, 302: darter.Invalid} {
		w := newWorld(t, sourcetest.Faults{Statuses: []int{status}, Header: map[string]string{"Set-Cookie": "s=1"}}, nil)
		_, err := w.Stat(t.Context(), w.r)
		refused, ok := errors.AsType[*source.Error](err)
		if !ok || refused.Status != status || darter.KindOf(err) != kind {
			t.Errorf("status %d: %v (%s); want a *source.Error, %s", status, err, darter.KindOf(err), kind)
		}
		if n := len(w.Requests()); n != 1 {
			t.Errorf("status %d: %d requests; trying again cannot help", status, n)
		}
	}
}

func TestHeadersKept(t *testing.T) {
	w := newWorld(t, sourcetest.Faults{Header: map[string]string{"Set-Cookie": "s=1", "X-Linked-Etag": "abc", "X-Amz-Security-Token": "t",
		"X-Long": strings.Repeat("x", 5000)}}, once)
	info, err := w.Stat(t.Context(), w.r)
	if err != nil {
		t.Fatal(err)
	}
	if info.Header["X-Linked-Etag"] != "abc" || info.Header["Content-Type"] == "" || info.Header["Last-Modified"] == "" {
		t.Errorf("headers that describe the content are missing: %v", info.Header)
	}
	for _, name := range []string{"Set-Cookie", "X-Amz-Security-Token", "X-Long", "Content-Range", "Content-Length"} {
		if v, ok := info.Header[name]; ok {
			t.Errorf("%s: %.20s was kept", name, v)
		}
	}
}

func TestVersions(t *testing.T) {
	for _, c := range []struct{ etag, mtime, want string }{
		{`"abc"`, "yesterday", `etag:"abc"`},
		{`W/"abc"`, "", `etag:"abc"`},
		{``, "Thu, 01 Jan 2026 00:00:00 GMT", "mtime:Thu, 01 Jan 2026 00:00:00 GMT"},
		{`"ü%"`, "", `etag:"%C3%BC%25"`},
		{strings.Repeat("x", 201), "", "etag:sha256-" /* and so on */},
	} {
		w := newWorld(t, sourcetest.Faults{NoVersion: true, Header: map[string]string{}}, once)
		f := sourcetest.Faults{NoVersion: true, Header: map[string]string{"ETag": c.etag, "Last-Modified": c.mtime}}
		w.SetFaults("f", f)
		info, err := w.Stat(t.Context(), w.r)
		if err != nil || !strings.HasPrefix(info.Version, c.want) || len(info.Version) > 220 {
			t.Errorf("ETag %.20q, Last-Modified %q: %q, %v; want %q", c.etag, c.mtime, info.Version, err, c.want)
		}
		if _, err := w.fetch(t, nil, info); err != nil {
			t.Errorf("the same version is not recognised: %v", err)
		}
	}
}

func TestConnectionsAreReused(t *testing.T) {
	dials := 0
	w := newWorld(t, sourcetest.Faults{NoLength: true, HeadTells: true}, func(c *http.Config) {
		c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			dials++
			return new(net.Dialer).DialContext(ctx, network, address)
		}
	})
	info, err := w.Stat(t.Context(), w.r)
	if err != nil {
		t.Fatal(err)
	}
	for off := int64(0); off < size; off += 10_000 {
		if _, err := w.fetch(t, &darter.Span{Offset: off, Length: 10_000}, info); err != nil {
			t.Fatal(err)
		}
	}
	if dials != 1 {
		t.Errorf("%d connections for requests one after the other, want 1", dials)
	}
}
