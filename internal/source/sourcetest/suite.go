package sourcetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"golang.org/x/sync/errgroup"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/source"
)

// Place is where the suite puts contents for a source to fetch. Origin is one.
type Place interface {
	// Put stores a content and returns its URL. Putting again replaces it, with a new version.
	Put(path string, content []byte) (url string)
	// URL returns where a path is, or would be.
	URL(path string) string
}

// Run holds a source to the contract of package source. open is called for each test.
func Run(t *testing.T, open func(t *testing.T) (source.Source, Place)) {
	for name, test := range map[string]func(*testing.T, source.Source, Place){
		"Stat tells length and version":             statTells,
		"Stat of what is not there":                 statMissing,
		"spans are exact":                           spansAreExact,
		"an empty content":                          emptyContent,
		"spans outside the content are refused":     spansOutside,
		"a replaced content is a ChangedError":      replaced,
		"a replaced content of the same length too": replacedSameLength,
		"a cancelled context ends the body":         cancelled,
		"a closed body needs no reading":            closedEarly,
		"many spans at once":                        manyAtOnce,
	} {
		t.Run(name, func(t *testing.T) {
			s, p := open(t)
			test(t, s, p)
		})
	}
}

func pattern(size int64, seed uint64) []byte {
	out := make([]byte, size)
	random{size, seed}.fill(out, 0)
	return out
}

func mustStat(t *testing.T, s source.Source, url string) source.Info {
	t.Helper()
	info, err := s.Stat(t.Context(), source.Request{URL: url})
	if err != nil {
		t.Fatalf("Stat: %v", err)
	}
	return info
}

func statTells(t *testing.T, s source.Source, p Place) {
	url := p.Put("a", pattern(1000, 1))
	first, again := mustStat(t, s, url), mustStat(t, s, url)
	if first.Length != 1000 || !first.Ranges || first.Version == "" {
		t.Errorf("Stat = %+v; want 1000 bytes, ranges and a version", first)
	}
	if again.Version != first.Version {
		t.Errorf("the version of unchanged bytes went from %q to %q", first.Version, again.Version)
	}
	p.Put("a", pattern(1000, 2))
	if next := mustStat(t, s, url); next.Version == first.Version {
		t.Errorf("new bytes have the old version %q", next.Version)
	}
	for i := range len(first.Version) {
		if c := first.Version[i]; c < ' ' || c > '~' {
			t.Errorf("the version %q cannot travel in a header", first.Version)
		}
	}
}

func statMissing(t *testing.T, s source.Source, p Place) {
	_, err := s.Stat(t.Context(), source.Request{URL: p.URL("missing")})
	if _, ok := errors.AsType[*source.Error](err); !ok || darter.KindOf(err) != darter.NotFound {
		t.Errorf("Stat: %v (%s); want a *source.Error, not found", err, darter.KindOf(err))
	}
	_, err = s.Open(t.Context(), source.Request{URL: p.URL("missing")}, nil, source.Info{Length: 5, Ranges: true})
	if darter.KindOf(err) != darter.NotFound {
		t.Errorf("Open: %v (%s); want not found", err, darter.KindOf(err))
	}
}

func spansAreExact(t *testing.T, s source.Source, p Place) {
	const size = 300_000
	want := pattern(size, 3)
	r := source.Request{URL: p.Put("a", want)}
	info := mustStat(t, s, r.URL)
	for _, span := range []*darter.Span{nil, {Offset: 0, Length: size}, {Offset: 0, Length: 1}, {Offset: 0, Length: 0},
		{Offset: size - 1, Length: 1}, {Offset: 12345, Length: 100_000}, {Offset: size, Length: 0}} {
		part := want
		if span != nil {
			part = want[span.Offset:span.End()]
		}
		for _, how := range []string{"Read", "WriteTo", "bytewise"} {
			body, err := s.Open(t.Context(), r, span, info)
			if err != nil {
				t.Errorf("Open %v: %v", span, err)
				continue
			}
			if got, err := drain(body, how); err != nil || !bytes.Equal(got, part) {
				t.Errorf("%s of %v gives %d bytes, %v; want %d", how, span, len(got), err, len(part))
			}
			if n, err := body.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
				t.Errorf("%s of %v: after the end Read gives %d, %v", how, span, n, err)
			}
			if err := body.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	}
}

func drain(body io.Reader, how string) ([]byte, error) {
	switch how {
	case "WriteTo":
		var b bytes.Buffer
		_, err := io.Copy(struct{ io.Writer }{&b}, body)
		return b.Bytes(), err
	case "bytewise":
		return io.ReadAll(iotest.HalfReader(body))
	}
	return io.ReadAll(struct{ io.Reader }{body})
}

func emptyContent(t *testing.T, s source.Source, p Place) {
	r := source.Request{URL: p.Put("empty", nil)}
	info := mustStat(t, s, r.URL)
	if info.Length != 0 {
		t.Fatalf("Stat = %+v; want length 0", info)
	}
	body, err := s.Open(t.Context(), r, nil, info)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if b, err := io.ReadAll(body); err != nil || len(b) != 0 {
		t.Errorf("the body has %d bytes, %v", len(b), err)
	}
}

func spansOutside(t *testing.T, s source.Source, p Place) {
	r := source.Request{URL: p.Put("a", pattern(100, 1))}
	info := mustStat(t, s, r.URL)
	for _, span := range []darter.Span{{Offset: 50, Length: 51}, {Offset: 101}, {Offset: -1, Length: 1}, {Offset: 1, Length: -1}, {Offset: 1, Length: 1<<63 - 1}} {
		if _, err := s.Open(t.Context(), r, &span, info); darter.KindOf(err) != darter.Invalid || err == nil {
			t.Errorf("Open %v: %v, want invalid", span, err)
		}
	}
}

func replaced(t *testing.T, s source.Source, p Place) { replace(t, s, p, 200_001) }

func replacedSameLength(t *testing.T, s source.Source, p Place) { replace(t, s, p, 200_000) }

func replace(t *testing.T, s source.Source, p Place, size int64) {
	r := source.Request{URL: p.Put("a", pattern(200_000, 1))}
	info := mustStat(t, s, r.URL)
	p.Put("a", pattern(size, 2))
	for _, span := range []*darter.Span{nil, {Offset: 0, Length: 10}, {Offset: 100_000, Length: 100_000}} {
		_, err := s.Open(t.Context(), r, span, info)
		if _, ok := errors.AsType[*source.ChangedError](err); !ok || darter.KindOf(err) != darter.Conflict {
			t.Errorf("Open %v: %v; want a *source.ChangedError", span, err)
		}
	}
}

func cancelled(t *testing.T, s source.Source, p Place) {
	const size = 32 << 20 // more than buffers on the way can hold
	r := source.Request{URL: p.Put("a", make([]byte, size))}
	info := mustStat(t, s, r.URL)
	ctx, cancel := context.WithCancel(t.Context())
	body, err := s.Open(ctx, r, nil, info)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := io.ReadFull(body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	cancel()
	n, err := io.Copy(io.Discard, body)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after %d bytes: %v; want the context's error", n, err)
	}
	if _, err := s.Stat(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("Stat: %v; want the context's error", err)
	}
}

func closedEarly(t *testing.T, s source.Source, p Place) {
	want := pattern(1<<20, 1)
	r := source.Request{URL: p.Put("a", want)}
	info := mustStat(t, s, r.URL)
	for range 50 { // more than there may be connections
		body, err := s.Open(t.Context(), r, nil, info)
		if err != nil {
			t.Fatal(err)
		}
		body.Close()
		if n, err := body.Read(make([]byte, 1<<20)); err == nil || errors.Is(err, io.EOF) {
			t.Fatalf("a closed body gives %d bytes and %v", n, err)
		}
	}
}

func manyAtOnce(t *testing.T, s source.Source, p Place) {
	const size, step = 1 << 20, 1 << 15
	want := pattern(size, 9)
	r := source.Request{URL: p.Put("a", want)}
	info := mustStat(t, s, r.URL)
	group, ctx := errgroup.WithContext(t.Context())
	for off := int64(0); off < size; off += step {
		group.Go(func() error {
			body, err := s.Open(ctx, r, &darter.Span{Offset: off, Length: step}, info)
			if err != nil {
				return err
			}
			defer body.Close()
			got, err := io.ReadAll(body)
			if err == nil && !bytes.Equal(got, want[off:off+step]) {
				t.Errorf("the bytes at %d are wrong", off)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}
