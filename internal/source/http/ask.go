package http

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/identity"
	"github.com/darter-p2p/darter/internal/retry"
	"github.com/darter-p2p/darter/internal/source"
)

// question is what is asked of a server, apart from where.
type question struct {
	method string
	ranges string      // Range header; empty for the whole
	header http.Header // the user's, for the host that they named
	url    string      // redacted
}

// ask gets an answer of status 200, 206 or 416, over as many attempts as the policy allows. With
// shortcut it begins where the URL led before. The caller closes the answer.
func (s *Source) ask(ctx context.Context, r source.Request, method, ranges string, shortcut bool) (*answer, error) {
	u, err := parseURL(r.URL)
	if err != nil {
		return nil, err
	}
	header, err := requestHeader(r, u)
	if err != nil {
		return nil, err
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	q := question{method: method, ranges: ranges, header: header, url: identity.Redact(r.URL)}
	key := targetKey(u, header)
	var got *answer
	var last error
	err = retry.Do(ctx, s.cfg.Retry, func(ctx context.Context) error {
		if last != nil && s.cfg.Events.Retried != nil {
			s.cfg.Events.Retried(u.Host, last)
		}
		got, last = s.try(ctx, q, u, key, shortcut)
		return last
	})
	if err != nil && ctx.Err() != nil {
		return nil, ended(ctx, "fetch "+q.url)
	}
	return got, err
}

func parseURL(rawURL string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(rawURL))
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" {
		return u, nil
	}
	return nil, &darter.Error{Kind: darter.Invalid, Op: "fetch " + identity.Redact(rawURL),
		Err: errors.New("the URL cannot be fetched over HTTP"), Hint: "write it as https://host/path"}
}

// try is one attempt: from the remembered target if there is one, and from the beginning when that
// one has gone bad. Its errors are marked for package retry.
func (s *Source) try(ctx context.Context, q question, u *url.URL, key string, shortcut bool) (*answer, error) {
	start := place{url: u, own: true}
	if p, ok := s.targets.recall(key, time.Now()); ok && shortcut {
		a, err := s.follow(ctx, q, p)
		if err == nil && a.resp.StatusCode < 300 {
			return a, nil
		}
		if err == nil {
			a.discard()
		} else if ctx.Err() != nil {
			return nil, retry.Permanent(err)
		}
		s.targets.forget(key)
	}
	a, err := s.follow(ctx, q, start)
	if err != nil {
		if hopeless(err) || ctx.Err() != nil {
			err = retry.Permanent(err)
		}
		return nil, err
	}
	switch status := a.resp.StatusCode; status {
	case http.StatusOK, http.StatusPartialContent:
		if *a.place.url != *u {
			s.targets.remember(key, a.place, time.Now(), s.cfg.RememberTargets)
		}
		return a, nil
	case http.StatusRequestedRangeNotSatisfiable:
		return a, nil
	}
	defer a.discard()
	return nil, again(a.resp, a.refusal())
}

// again marks a refusal by whether and when another attempt makes sense.
func again(resp *http.Response, refusal error) error {
	switch resp.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		return retry.Permanent(refusal)
	}
	text := strings.TrimSpace(resp.Header.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return retry.RetryAfter(refusal, time.Duration(seconds)*time.Second)
	}
	if at, err := http.ParseTime(text); err == nil {
		return retry.RetryAfter(refusal, time.Until(at))
	}
	return refusal
}

// follow goes from place to place until one answers with something else than a redirect.
func (s *Source) follow(ctx context.Context, q question, p place) (*answer, error) {
	seen := []string{p.url.String()}
	for {
		a, err := s.hop(ctx, q, p)
		if err != nil {
			return nil, err
		}
		location := a.resp.Header.Get("Location")
		if !redirects(a.resp.StatusCode) || location == "" {
			return a, nil
		}
		a.discard()
		next, err := s.redirect(p, location, q)
		if err != nil {
			return nil, err
		}
		to := next.url.String()
		if slices.Contains(seen, to) {
			return nil, q.misled(fmt.Errorf("the redirects go round in a loop, back to %s", identity.Redact(to)))
		}
		if len(seen) > s.cfg.MaxRedirects {
			return nil, q.misled(fmt.Errorf("more than %d redirects", s.cfg.MaxRedirects))
		}
		seen = append(seen, to)
		p = next
	}
}

// misled says that the source answers with redirects that lead nowhere: its answer, and final.
func (q question) misled(err error) error {
	return &source.Error{URL: q.url, Status: http.StatusFound, Message: err.Error()}
}
