package http

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/identity"
	"github.com/darter-p2p/darter/internal/source"
)

// requestHeader returns the headers that the user wants sent. What governs the exchange itself is
// ours to set: ranges, conditions, encodings and the connection.
func requestHeader(r source.Request, u *url.URL) (http.Header, error) {
	h := http.Header{}
	// In order, so that two spellings of one name do not take turns.
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		value := r.Header[name]
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, &darter.Error{Kind: darter.Invalid, Op: "fetch " + identity.Redact(r.URL),
				Err: fmt.Errorf("the request header %q cannot be sent", name), Hint: "write it as 'Name: value', on one line"}
		}
		if !oursToSet(http.CanonicalHeaderKey(name)) {
			h.Set(name, value)
		}
	}
	if u.User != nil && h.Get("Authorization") == "" {
		password, _ := u.User.Password()
		pair := u.User.Username() + ":" + password
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
	}
	return h, nil
}

func oursToSet(name string) bool {
	switch name {
	case "Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since",
		"Accept-Encoding", "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length", "Expect":
		return true
	}
	return false
}

// forStrangers keeps of the user's headers what names no one, for hosts that a redirect leads to.
func forStrangers(h http.Header) http.Header {
	out := http.Header{}
	for _, name := range []string{"Accept", "Accept-Language", "User-Agent"} {
		if v := h.Get(name); v != "" {
			out.Set(name, v)
		}
	}
	return out
}

// worthKeeping returns the headers of an answer that describe the content: not the exchange, and
// nothing that may be a secret. Their number and size are bounded.
func worthKeeping(h http.Header) map[string]string {
	const most, longest = 64, 4 << 10
	out := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		value := strings.Join(h[name], ", ")
		if len(out) < most && len(value) <= longest && !aboutTheExchange(name) {
			out[name] = value
		}
	}
	return out
}

func aboutTheExchange(name string) bool {
	switch name {
	case "Set-Cookie", "Set-Cookie2", "Authentication-Info", "Proxy-Authentication-Info", "Proxy-Authenticate",
		"Location", "Content-Location", "Refresh", "Link", "Age",
		"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Content-Length", "Content-Range": // of one answer, not of the content
		return true
	}
	lower := strings.ToLower(name)
	return strings.Contains(lower, "token") || strings.Contains(lower, "secret") || strings.HasPrefix(lower, "x-amz-security")
}
