package http

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
)

// version is what an answer says of the identity of its bytes.
//
// Its text form is "etag:" and the opaque tag, else "mtime:" and Last-Modified, in printable ASCII,
// so that it can travel in a header.
type version struct{ etag, mtime string }

// versionOf takes a weak ETag like a strong one: servers weaken the tags of files that they may yet
// strengthen, for the same bytes.
func versionOf(h http.Header) version {
	return version{
		etag:  printable(strings.TrimPrefix(strings.TrimSpace(h.Get("ETag")), "W/")),
		mtime: printable(strings.TrimSpace(h.Get("Last-Modified"))),
	}
}

func (v version) token() string {
	switch {
	case v.etag != "":
		return "etag:" + v.etag
	case v.mtime != "":
		return "mtime:" + v.mtime
	}
	return ""
}

// sameVersion compares a token with an answer by what the token was made of. An answer that says
// nothing of the kind proves nothing, and passes: lengths are compared besides.
func sameVersion(token string, seen version) bool {
	if tag, ok := strings.CutPrefix(token, "etag:"); ok {
		return seen.etag == "" || seen.etag == tag
	}
	if date, ok := strings.CutPrefix(token, "mtime:"); ok {
		return seen.mtime == "" || seen.mtime == date
	}
	return true
}

// printable escapes what may not stand in a header, and replaces a text that is too long by its hash.
func printable(text string) string {
	const longest = 200
	if len(text) > longest {
		sum := sha256.Sum256([]byte(text))
		return "sha256-" + hex.EncodeToString(sum[:])
	}
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
