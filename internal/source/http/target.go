package http

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/darter-p2p/darter/internal/identity"
)

// place is where to ask, and whether that is the host that the user named: only there do the user's
// headers go. Once led away, nobody comes back to being trusted.
type place struct {
	url *url.URL
	own bool
}

func redirects(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// redirect resolves a Location and decides whether it may be followed.
func (s *Source) redirect(from place, location string, q question) (place, error) {
	to, err := from.url.Parse(location)
	if err != nil {
		return place{}, q.misled(errors.New("it redirects to something that is no URL"))
	}
	to.User, to.Fragment, to.RawFragment = nil, "", ""
	switch {
	case to.Hostname() == "" || to.Scheme != "http" && to.Scheme != "https":
		return place{}, q.misled(fmt.Errorf("it redirects to %s", identity.Redact(to.String())))
	case from.url.Scheme == "https" && to.Scheme == "http" && !s.cfg.AllowDowngrade:
		return place{}, q.misled(fmt.Errorf("it redirects from https to %s, where anyone on the way could change the bytes",
			identity.Redact(to.String())))
	}
	if s.cfg.Events.Redirected != nil {
		s.cfg.Events.Redirected(from.url.Host, to.Host)
	}
	return place{to, from.own && sameHost(from.url, to)}, nil
}

// sameHost also takes the step from http to https on the usual ports, which makes nothing less secret.
func sameHost(from, to *url.URL) bool {
	if !strings.EqualFold(from.Hostname(), to.Hostname()) {
		return false
	}
	upgraded := from.Scheme == "http" && to.Scheme == "https" && port(from) == "80" && port(to) == "443"
	return upgraded || from.Scheme == to.Scheme && port(from) == port(to)
}

func port(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// targets remembers where URLs led, so that each range of a download does not go all the way again.
// Stat never uses it: what a URL means is decided afresh for each download.
type targets struct {
	mu struct {
		sync.Mutex
		known map[string]target
	}
}

type target struct {
	place
	until time.Time
}

// mostTargets bounds the memory; past it the table starts anew.
const mostTargets = 1024

// targetKey holds the headers too: where a URL leads may depend on who asks.
func targetKey(u *url.URL, header http.Header) string {
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", u.String())
	for _, name := range slices.Sorted(maps.Keys(header)) {
		fmt.Fprintf(h, "%q %q\n", name, header[name])
	}
	return string(h.Sum(nil))
}

func (t *targets) recall(key string, now time.Time) (place, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.mu.known[key]
	return known.place, ok && now.Before(known.until)
}

func (t *targets) remember(key string, p place, now time.Time, keep time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.known == nil || len(t.mu.known) >= mostTargets {
		t.mu.known = map[string]target{}
	}
	t.mu.known[key] = target{p, now.Add(keep)}
}

func (t *targets) forget(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.mu.known, key)
}
