package source_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/source"
)

type named string

func (n named) Stat(context.Context, source.Request) (source.Info, error) {
	return source.Info{Version: string(n)}, nil
}

func (n named) Open(context.Context, source.Request, *darter.Span, source.Info) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(n))), nil
}

func ExampleNew() {
	m := source.New(map[string]source.Source{"http": named("web"), "s3": named("bucket")})
	info, err := m.Stat(context.Background(), source.Request{URL: "S3://b/key"})
	fmt.Println(info.Version, err)
	_, err = m.Stat(context.Background(), source.Request{URL: "gopher://h/"})
	fmt.Println(err, "-", darter.HintOf(err))
	// Output:
	// bucket <nil>
	// choose a source: nothing here fetches from "gopher" - use a URL with one of these schemes: http, s3
}

func TestMuxRefuses(t *testing.T) {
	m := source.New(map[string]source.Source{"http": named("web"), "none": nil})
	for _, url := range []string{"", "file", "ftp://h", "none:x", "user:pw@h/x:y", ":"} {
		_, err1 := m.Stat(t.Context(), source.Request{URL: url})
		_, err2 := m.Open(t.Context(), source.Request{URL: url}, nil, source.Info{})
		if darter.KindOf(err1) != darter.Invalid || darter.KindOf(err2) != darter.Invalid {
			t.Errorf("%q: %v and %v, want Invalid", url, err1, err2)
		}
	}
	body, err := m.Open(t.Context(), source.Request{URL: "HTTP://h"}, nil, source.Info{})
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(body); string(b) != "web" {
		t.Errorf("the body is of %q", b)
	}
}

func TestErrorKinds(t *testing.T) {
	for status, want := range map[int]darter.Kind{
		404: darter.NotFound, 410: darter.NotFound,
		401: darter.Denied, 403: darter.Denied, 407: darter.Denied,
		408: darter.Unavailable, 425: darter.Unavailable, 429: darter.Unavailable, 500: darter.Unavailable, 503: darter.Unavailable,
		400: darter.Invalid, 304: darter.Invalid, 418: darter.Invalid,
	} {
		err := fmt.Errorf("stat: %w", &source.Error{Status: status})
		if darter.KindOf(err) != want || darter.HintOf(err) == "" {
			t.Errorf("status %d: kind %s, hint %q; want %s and a hint", status, darter.KindOf(err), darter.HintOf(err), want)
		}
	}
	if err := error(&source.ChangedError{}); darter.KindOf(err) != darter.Conflict {
		t.Errorf("a changed content is %s, want conflict", darter.KindOf(err))
	}
}
