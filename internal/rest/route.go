package rest

import (
	"net/http"
	"net/url"
	"strings"
)

// split turns a documented pattern into one that a mux takes: a verb becomes a segment of its own.
//
//	POST /v1/jobs/{id}:cancel  ─▶  POST /v1/jobs/{id}/:cancel, "cancel"
func split(pattern string) (routed, verb string) {
	slash, colon := strings.LastIndexByte(pattern, '/'), strings.LastIndexByte(pattern, ':')
	if colon < slash || colon == slash+1 {
		return pattern, ""
	}
	return pattern[:colon] + "/" + pattern[colon:], pattern[colon+1:]
}

// route sends r where split has put its verb. Only verbs that some operation has are split off, so that a name
// with a colon in it stays whole; a path that spells the routed form itself leads nowhere.
func (a *API) route(r *http.Request) (*http.Request, bool) {
	path := r.URL.EscapedPath()
	last := path[strings.LastIndexByte(path, '/')+1:]
	if strings.Contains(path, "/:") {
		return r, false
	}
	colon := strings.LastIndexByte(last, ':')
	if colon <= 0 || !a.verbs[last[colon+1:]] {
		return r, true
	}
	at := len(path) - len(last) + colon
	raw := path[:at] + "/" + path[at:]
	plain, err := url.PathUnescape(raw)
	if err != nil {
		return r, false
	}
	out := new(http.Request)
	*out = *r
	u := *r.URL
	u.Path, u.RawPath = plain, raw
	out.URL = &u
	return out, true
}
