package http

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/source"
)

// answer is a response whose body is still to come, with the means to end it.
type answer struct {
	url    string // redacted, as it was asked for
	host   string // that answered
	place  place
	resp   *http.Response
	ctx    context.Context
	cancel context.CancelCauseFunc
}

func (a *answer) op() string { return "fetch " + a.url }

// close ends the exchange; an unread body costs the connection.
func (a *answer) close() {
	_ = a.resp.Body.Close() // nothing that was read depends on it
	a.cancel(context.Canceled)
}

// discard ends the exchange and keeps the connection when little is left on it.
func (a *answer) discard() {
	const little, soon = 4 << 10, time.Second
	if n := a.resp.ContentLength; n >= 0 && n <= little {
		// The bytes come with the headers or soon after; a connection is not worth a longer wait.
		wait := time.AfterFunc(soon, func() { a.cancel(errStalled) })
		defer wait.Stop()
		_, _ = io.CopyN(io.Discard, a.resp.Body, n+1)
	}
	a.close()
}

func (a *answer) refusal() error {
	return &source.Error{URL: a.url, Status: a.resp.StatusCode, Header: worthKeeping(a.resp.Header),
		Message: http.StatusText(a.resp.StatusCode)}
}

func (a *answer) corrupt(err error) error {
	return &darter.Error{Kind: darter.Corrupt, Op: a.op(), Err: err,
		Hint: fmt.Sprintf("the server %s does not keep to HTTP; ask its operator", a.host)}
}

func (a *answer) changed(was, seen string) error {
	return &source.ChangedError{URL: a.url, Was: was, Seen: seen}
}

// unchanged compares what identifies the bytes with what Stat saw.
func (a *answer) unchanged(want source.Info) error {
	if seen := versionOf(a.resp.Header); !sameVersion(want.Version, seen) {
		return a.changed(want.Version, seen.token())
	}
	if a.resp.StatusCode >= 300 {
		return nil
	}
	was, seen := want.Header["Content-Encoding"], a.resp.Header.Get("Content-Encoding")
	if was != seen && !isIdentity(was, seen) {
		return &darter.Error{Kind: darter.Unavailable, Op: a.op(),
			Err:  fmt.Errorf("the body is encoded as %q, at first it was %q", seen, was),
			Hint: "the server compresses although it was asked not to; turn that off there"}
	}
	return nil
}

func isIdentity(encodings ...string) bool {
	for _, e := range encodings {
		if e != "" && e != "identity" {
			return false
		}
	}
	return true
}
