package source

import (
	"net/http"

	"github.com/darter-p2p/darter"
)

// Kind returns the class of a status, as the type's comment lists it.
func (e *Error) Kind() darter.Kind {
	switch e.Status {
	case http.StatusNotFound, http.StatusGone:
		return darter.NotFound
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return darter.Denied
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return darter.Unavailable
	}
	if e.Status >= 500 {
		return darter.Unavailable
	}
	return darter.Invalid
}

// Unwrap lets darter.KindOf and darter.HintOf see the class and the advice.
func (e *Error) Unwrap() error {
	hint := "check the URL; the source refuses it"
	switch e.Kind() {
	case darter.NotFound:
		hint = "check the URL; the source has no such content"
	case darter.Denied:
		hint = "pass credentials that the source accepts, for example with -H 'Authorization: …'"
	case darter.Unavailable:
		hint = "the source is overloaded or broken at the moment; try again later"
	}
	return &darter.Error{Kind: e.Kind(), Op: "ask the source", Hint: hint}
}

// Unwrap lets darter.KindOf see a Conflict.
func (e *ChangedError) Unwrap() error {
	return &darter.Error{Kind: darter.Conflict, Op: "fetch from the source",
		Hint: "the content was replaced at the source; start the download again"}
}
