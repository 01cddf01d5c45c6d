package http

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/httprange"
	"github.com/darter-p2p/darter/internal/identity"
	"github.com/darter-p2p/darter/internal/source"
)

// Source fetches over HTTP and HTTPS. It is safe for concurrent use.
type Source struct {
	cfg       Config
	transport *http.Transport
	targets   targets
	buffers   sync.Pool // for bodies copied as a whole
}

var _ source.Source = (*Source)(nil)

// New returns a source. An unreadable CAFile or an impossible setting is darter.Invalid.
func New(cfg Config) (*Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "configure the HTTP source", Err: err}
	}
	transport, err := newTransport(cfg)
	if err != nil {
		return nil, err
	}
	s := &Source{cfg: cfg, transport: transport}
	s.buffers.New = func() any { b := make([]byte, 256<<10); return &b }
	return s, nil
}

// Close closes the connections that nobody uses. Bodies that are open stay usable.
func (s *Source) Close() { s.transport.CloseIdleConnections() }

// Stat asks for one byte, which tells the length and whether ranges are served.
func (s *Source) Stat(ctx context.Context, r source.Request) (source.Info, error) {
	a, err := s.ask(ctx, r, http.MethodGet, "bytes=0-0", false)
	if err != nil {
		return source.Info{}, err
	}
	if a.resp.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		a.discard()
		// An empty content has no first byte. Asking plainly tells that, and its version.
		if a, err = s.ask(ctx, r, http.MethodGet, "", false); err != nil {
			return source.Info{}, err
		}
		if a.resp.StatusCode == http.StatusRequestedRangeNotSatisfiable {
			a.discard()
			return source.Info{}, a.refusal()
		}
	}
	info, err := describe(a)
	a.discard()
	if err != nil || info.Length >= 0 {
		return info, err
	}
	return s.statHead(ctx, r, info)
}

// statHead looks for a missing length. Not to find it is no error, as long as ctx lasts.
func (s *Source) statHead(ctx context.Context, r source.Request, info source.Info) (source.Info, error) {
	a, err := s.ask(ctx, r, http.MethodHead, "", false)
	if err != nil {
		if ctx.Err() != nil {
			return source.Info{}, err
		}
		return info, nil
	}
	defer a.discard()
	seen := versionOf(a.resp.Header)
	if a.resp.StatusCode == http.StatusOK && a.resp.ContentLength >= 0 && sameVersion(info.Version, seen) &&
		a.resp.Header.Get("Content-Encoding") == info.Header["Content-Encoding"] {
		info.Length = a.resp.ContentLength
	}
	return info, nil
}

// describe reads the answer to a Stat.
func describe(a *answer) (source.Info, error) {
	h := a.resp.Header
	info := source.Info{Length: -1, Version: versionOf(h).token(), Header: worthKeeping(h)}
	if a.resp.StatusCode != http.StatusPartialContent {
		info.Length = a.resp.ContentLength
		return info, nil
	}
	held, total, err := httprange.ParseContentRange(h.Get("Content-Range"))
	if err == nil && held.Offset != 0 {
		err = fmt.Errorf("asked for the first byte, it answers with %q", h.Get("Content-Range"))
	}
	if err != nil {
		return source.Info{}, a.corrupt(err)
	}
	info.Ranges, info.Length = true, total
	return info, nil
}

// Open streams a span. Ranges are asked for whenever there is a span and the source serves them.
func (s *Source) Open(ctx context.Context, r source.Request, span *darter.Span, want source.Info) (io.ReadCloser, error) {
	if err := checkSpan(r, span, want); err != nil {
		return nil, err
	}
	if span != nil && span.Length == 0 {
		return http.NoBody, nil
	}
	asked := ""
	if span != nil && want.Ranges {
		asked = httprange.Format(*span)
	}
	a, err := s.ask(ctx, r, http.MethodGet, asked, true)
	if err != nil {
		return nil, err
	}
	b, err := s.accept(a, span, want)
	if err != nil {
		a.close()
		return nil, err
	}
	return b, nil
}

func checkSpan(r source.Request, span *darter.Span, want source.Info) error {
	if span == nil {
		return nil
	}
	var problem string
	switch {
	case span.Offset < 0 || span.Length < 0 || span.End() < span.Offset:
		problem = "it is no span"
	case want.Length >= 0 && span.End() > want.Length:
		problem = fmt.Sprintf("the content has %d bytes", want.Length)
	case !want.Ranges && span.Offset > 0:
		problem = "the source serves no ranges; open the whole"
	default:
		return nil
	}
	return &darter.Error{Kind: darter.Invalid, Op: "fetch " + identity.Redact(r.URL),
		Err: fmt.Errorf("bytes %d+%d were asked for: %s", span.Offset, span.Length, problem)}
}

// accept holds the answer against what was asked and what Stat saw, and makes it a body.
func (s *Source) accept(a *answer, span *darter.Span, want source.Info) (io.ReadCloser, error) {
	if err := a.unchanged(want); err != nil {
		return nil, err
	}
	switch a.resp.StatusCode {
	case http.StatusPartialContent:
		return s.acceptPart(a, span, want)
	case http.StatusRequestedRangeNotSatisfiable:
		_, total, _ := strings.Cut(a.resp.Header.Get("Content-Range"), "/")
		if total != "" && total != "*" && total != fmt.Sprint(want.Length) {
			return nil, a.changed(fmt.Sprintf("%d bytes", want.Length), total+" bytes")
		}
		return nil, a.refusal()
	}
	length := a.resp.ContentLength
	if length >= 0 && want.Length >= 0 && length != want.Length {
		return nil, a.changed(fmt.Sprintf("%d bytes", want.Length), fmt.Sprintf("%d bytes", length))
	}
	if span == nil {
		return s.body(a, max(length, want.Length), false), nil
	}
	if span.Offset > 0 {
		return nil, &darter.Error{Kind: darter.Unavailable, Op: a.op(),
			Err:  fmt.Errorf("the source ignores %q, although it served ranges before", httprange.Format(*span)),
			Hint: "the source may be several servers that differ; try again, or fetch the whole"}
	}
	return s.body(a, span.Length, true), nil
}

func (s *Source) acceptPart(a *answer, span *darter.Span, want source.Info) (io.ReadCloser, error) {
	told := a.resp.Header.Get("Content-Range")
	held, total, err := httprange.ParseContentRange(told)
	if err != nil {
		return nil, a.corrupt(err)
	}
	if total >= 0 && want.Length >= 0 && total != want.Length {
		return nil, a.changed(fmt.Sprintf("%d bytes", want.Length), fmt.Sprintf("%d bytes", total))
	}
	// Less than asked for is legal, and becomes a short body. Elsewhere or more is not.
	if span == nil || held.Offset != span.Offset || held.Length > span.Length || a.resp.ContentLength > span.Length {
		asked := "everything"
		if span != nil {
			asked = httprange.Format(*span)
		}
		return nil, a.corrupt(fmt.Errorf("asked for %s, it answers with %q and %d bytes", asked, told, a.resp.ContentLength))
	}
	return s.body(a, span.Length, false), nil
}
