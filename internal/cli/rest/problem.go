package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
)

// Problem is how the manager says no (RFC 9457).
type Problem struct {
	Type    string  `json:"type"`
	Title   string  `json:"title"`
	Status  int     `json:"status"`
	Detail  string  `json:"detail"`
	Code    string  `json:"code"`
	Hint    string  `json:"hint,omitempty"`
	Request string  `json:"request_id,omitempty"`
	Errors  []Fault `json:"errors,omitempty"`

	retryAfter time.Duration
}

// Fault is one thing that is wrong with what was sent.
type Fault struct {
	Pointer string `json:"pointer"`
	Code    string `json:"code"`
	Detail  string `json:"detail"`
}

// Error tells what is wrong, one line per fault.
func (p *Problem) Error() string {
	var b strings.Builder
	switch {
	case p.Detail != "":
		b.WriteString(p.Detail)
	case p.Title != "":
		b.WriteString(p.Title)
	default:
		fmt.Fprintf(&b, "the manager answered %d %s", p.Status, http.StatusText(p.Status))
	}
	for _, f := range p.Errors {
		if f.Detail == p.Detail && f.Pointer == "" {
			continue
		}
		b.WriteString("\n  ")
		if f.Pointer != "" {
			b.WriteString(f.Pointer + ": ")
		}
		b.WriteString(f.Detail)
	}
	if p.Request != "" && p.Code == "internal" {
		fmt.Fprintf(&b, " (request %s)", p.Request)
	}
	return b.String()
}

// readProblem makes a Problem of any answer that is none of success: a proxy in between speaks HTML.
func readProblem(status int, contentType string, body []byte) *Problem {
	p := &Problem{}
	if strings.Contains(contentType, "json") && json.Unmarshal(body, p) == nil && p.Status == 0 {
		p.Status = status
	}
	if p.Status != status {
		p = &Problem{Status: status}
	}
	return p
}

// kinds says of each status what it is to us; codes are finer where they say more.
var kinds = map[int]darter.Kind{
	http.StatusBadRequest: darter.Invalid, http.StatusUnprocessableEntity: darter.Invalid,
	http.StatusMethodNotAllowed: darter.Invalid, http.StatusRequestEntityTooLarge: darter.Invalid,
	http.StatusUnsupportedMediaType: darter.Invalid, http.StatusRequestHeaderFieldsTooLarge: darter.Invalid,
	http.StatusPreconditionRequired: darter.Invalid,
	http.StatusUnauthorized:         darter.Denied, http.StatusForbidden: darter.Denied,
	http.StatusNotFound: darter.NotFound, http.StatusGone: darter.NotFound,
	http.StatusConflict: darter.Conflict, http.StatusPreconditionFailed: darter.Conflict,
	http.StatusTooManyRequests: darter.Unavailable, http.StatusBadGateway: darter.Unavailable,
	http.StatusServiceUnavailable: darter.Unavailable, http.StatusGatewayTimeout: darter.TimedOut,
	http.StatusRequestTimeout: darter.TimedOut, http.StatusInsufficientStorage: darter.NoSpace,
}

// hints says what a person at this command line can do, where the manager says nothing better.
var hints = map[string]string{
	"unauthenticated":      "sign in with \"darter admin login\", or give a token in DARTER_TOKEN or with --token-file",
	"forbidden":            "ask an administrator for a role that may do this; \"darter admin whoami\" shows what you may do",
	"precondition_failed":  "somebody changed it meanwhile: look at it again, then repeat the edit",
	"plan_stale":           "make a new plan with \"darter gc plan\", look at it, then run that one",
	"needs_confirmation":   "look at the plan, then run it with --confirm",
	"rate_limited":         "wait, then run the same command again",
	"unavailable":          "the manager is up but not ready; its /readyz says which part is missing",
	"idempotency_mismatch": "run the command again without --idempotency-key",
	"egress_denied":        "allow the address in the settings document \"egress\", or correct the URL",
	"internal":             "look for the request id in the manager's log",
}

// fallback is for problems of which nothing else is known.
var fallback = map[darter.Kind]string{
	darter.NotFound:    "check the id or name: the command's \"ls\" shows what there is",
	darter.Denied:      "sign in with \"darter admin login\", or give another token",
	darter.TimedOut:    "the manager took too long; look at its log, then run the same command again",
	darter.NoSpace:     "the manager's disk is full: free some space there",
	darter.Unavailable: "wait, then run the same command again",
}

// asError turns a problem into ours. op says what was tried.
func (p *Problem) asError(op string) error {
	kind, known := kinds[p.Status]
	if !known && p.Status < 500 {
		kind = darter.Invalid
	}
	hint := p.Hint
	if hint == "" {
		hint = hints[p.Code]
	}
	if hint == "" {
		hint = fallback[kind]
	}
	return &darter.Error{Kind: kind, Op: op, Err: p, Hint: hint}
}

// Stale reports whether an answer to a conditional request says that what was read is old.
func (p *Problem) Stale() bool { return p.Status == http.StatusPreconditionFailed }

// again reports whether the same request may do better a little later.
func (p *Problem) again() bool {
	return p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable || p.Code == "idempotency_in_flight"
}
