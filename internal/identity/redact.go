package identity

import (
	"slices"
	"strings"
)

// Hidden stands in a redacted URL for a value that may be secret.
const Hidden = "hidden"

// Redact returns a URL that is safe to log and to store: without user information and fragment, without the
// pairs that DefaultFilteredQuery and filtered name, and with Hidden for the values of keys that sound
// like secrets. Text that is no URL loses what could hold one.
func Redact(rawURL string, filtered ...string) string {
	u, err := parse(rawURL)
	if err != nil {
		return scrub(rawURL)
	}
	u.SetUsername("")
	u.SetPassword("")
	u.SetHash("")
	query := filterPairs(parseQuery(u.Query()), slices.Concat(DefaultFilteredQuery(), filtered))
	for i := range query {
		if soundsSecret(query[i].key) {
			query[i].value = Hidden
		}
	}
	u.SetSearch(query.encode())
	return u.Href(false)
}

// soundsSecret errs on the side of hiding: a redacted value costs a line in a log some meaning, a
// leaked one costs a key.
func soundsSecret(key string) bool {
	key = strings.ToLower(key)
	for _, word := range []string{"token", "secret", "passw", "pwd", "signature", "credential",
		"apikey", "api_key", "api-key", "accesskey", "access_key", "access-key", "auth", "session", "jwt"} {
		if strings.Contains(key, word) {
			return true
		}
	}
	return slices.Contains([]string{"sig", "key", "code", "sas", "hmac", "policy", "pass"}, key)
}

// scrub shortens text that is no URL to what cannot hold a credential: nothing before an "@" in the
// authority, and nothing from "?" or "#" on.
func scrub(text string) string {
	const limit = 256
	if at := strings.LastIndexByte(text, '@'); at >= 0 { // first, for a password may hold "?"
		scheme, _, ok := strings.Cut(text[:at], "://")
		if ok {
			scheme += "://"
		} else {
			scheme = ""
		}
		text = scheme + text[at+1:]
	}
	if i := strings.IndexAny(text, "?#"); i >= 0 {
		text = text[:i]
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, text)
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}
