package identity

import (
	"fmt"
	"strings"

	"github.com/nlnwa/whatwg-url/url"

	"github.com/darter-p2p/darter"
)

// Canonical returns the form of a URL that goes into a TaskID: parsed as browsers do (scheme and host
// in lower case, default port gone, dot segments resolved), with the query rewritten as a form in its
// original order and without the pairs whose decoded key is in filtered. A path of "/" alone loses its
// slash; a fragment stays. Schemes that the URL standard does not call special (s3, oci, hf) keep the
// case of their host. Text that is no absolute URL is darter.Invalid.
func Canonical(rawURL string, filtered []string) (string, error) {
	u, err := parse(rawURL)
	if err != nil {
		return "", err
	}
	u.SetSearch(filterPairs(parseQuery(u.Query()), filtered).encode())
	text := u.Href(false)
	if u.Pathname() == "/" {
		// The trailing slash may also be a fragment's. The reference drops it all the same.
		text = strings.TrimRight(text, "/")
	}
	return text, nil
}

// Bounds of the work that one request can ask for. The parser takes time that grows with the square of
// what stands before the query (seconds for 60 KiB of "@"), so that part is held shorter.
const (
	maxURL        = 32 << 10
	maxBeforeForm = 4 << 10
)

func tooLong(rawURL string) bool {
	before := rawURL
	if i := strings.IndexAny(rawURL, "?#"); i >= 0 {
		before = rawURL[:i]
	}
	return len(rawURL) > maxURL || len(before) > maxBeforeForm
}

func parse(rawURL string) (*url.Url, error) {
	if tooLong(rawURL) {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "parse URL",
			Err: fmt.Errorf("a URL of %d bytes is too long: at most %d in all and %d before the query",
				len(rawURL), maxURL, maxBeforeForm),
			Hint: "shorten the URL"}
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		// The parser's own text quotes the URL, which may hold credentials.
		return nil, &darter.Error{Kind: darter.Invalid, Op: "parse URL",
			Err:  fmt.Errorf("%q is not an absolute URL", scrub(rawURL)),
			Hint: "write it as scheme://host/path, for example https://example.com/file"}
	}
	return u, nil
}
