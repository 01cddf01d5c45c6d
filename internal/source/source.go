package source

import (
	"context"
	"fmt"
	"io"

	"github.com/darter-p2p/darter"
)

// Request names content at a source.
type Request struct {
	URL    string
	Header map[string]string // may hold credentials: never logged
}

// Info is what a source says of a content before it is fetched.
type Info struct {
	Length  int64             // bytes; -1 when the source does not say
	Ranges  bool              // the source serves byte ranges
	Version string            // identifies the bytes (from ETag, else Last-Modified); empty when the source says nothing
	Header  map[string]string // response headers, canonical names, without Set-Cookie and other secrets
}

// Source fetches content from outside the cluster. Implementations are safe for concurrent use.
type Source interface {
	// Stat asks for length and version without the body. Errors are *Error when the source answered,
	// else a darter.Error (Unavailable, TimedOut, Denied for an untrusted certificate).
	Stat(ctx context.Context, r Request) (Info, error)
	// Open streams bytes of the content. span nil means everything. want is the Info that Stat gave: an
	// answer of another length or version is a *ChangedError. The body ends with io.EOF only after exactly the
	// bytes asked for (or, when the length is unknown, at the source's clean end); a short body is
	// darter.Corrupt. Cancelling ctx ends the body.
	Open(ctx context.Context, r Request, span *darter.Span, want Info) (io.ReadCloser, error)
}

// Error is an answer of the source that is not the content: status 4xx or 5xx. Kind is NotFound for 404 and 410, Denied for 401, 403 and
// 407, Unavailable for 408, 425, 429 and 5xx, Invalid else.
type Error struct {
	URL     string // redacted
	Status  int
	Header  map[string]string // redacted
	Message string            // one line
}

func (e *Error) Error() string {
	return fmt.Sprintf("the source %s answered %d %s", e.URL, e.Status, e.Message)
}

// ChangedError says that the content at the source is not the one that Stat saw.
type ChangedError struct {
	URL       string // redacted
	Was, Seen string // versions or lengths, for people
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("the content of %s changed during the download: was %s, now %s", e.URL, e.Was, e.Seen)
}
