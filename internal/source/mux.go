package source

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/darter-p2p/darter"
)

// Mux chooses among sources by the scheme of the URL. It is a Source.
type Mux struct{ byScheme map[string]Source }

// New returns a Mux of the sources given, by scheme in lower case.
func New(byScheme map[string]Source) *Mux { return &Mux{maps.Clone(byScheme)} }

// Schemes returns what is supported, in alphabetical order.
func (m *Mux) Schemes() []string { return slices.Sorted(maps.Keys(m.byScheme)) }

// Stat asks the source of the URL's scheme; a scheme without one is darter.Invalid.
func (m *Mux) Stat(ctx context.Context, r Request) (Info, error) {
	s, err := m.pick(r.URL)
	if err != nil {
		return Info{}, err
	}
	return s.Stat(ctx, r)
}

// Open streams from the source of the URL's scheme; a scheme without one is darter.Invalid.
func (m *Mux) Open(ctx context.Context, r Request, span *darter.Span, want Info) (io.ReadCloser, error) {
	s, err := m.pick(r.URL)
	if err != nil {
		return nil, err
	}
	return s.Open(ctx, r, span, want)
}

func (m *Mux) pick(url string) (Source, error) {
	scheme, _, ok := strings.Cut(strings.TrimSpace(url), ":")
	if s := m.byScheme[strings.ToLower(scheme)]; ok && s != nil {
		return s, nil
	}
	problem := "the URL has no scheme"
	if ok && len(scheme) < 32 && !strings.ContainsAny(scheme, "/?#@") {
		problem = fmt.Sprintf("nothing here fetches from %q", strings.ToLower(scheme))
	}
	return nil, &darter.Error{Kind: darter.Invalid, Op: "choose a source", Err: fmt.Errorf("%s", problem),
		Hint: "use a URL with one of these schemes: " + strings.Join(m.Schemes(), ", ")}
}
