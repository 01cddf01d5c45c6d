package rest

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"
)

// Problem is why a request was refused, as RFC 9457 has it. It is an error, so that handlers can return one.
type Problem struct {
	Type       string   `json:"type" doc:"names the class of the problem, as code does" example:"urn:darter:problem:not_found"`
	Title      string   `json:"title" doc:"the class in words" example:"Not found"`
	Status     int      `json:"status" doc:"the HTTP status" example:"404"`
	Detail     string   `json:"detail,omitempty" doc:"what happened, to what"`
	Hint       string   `json:"hint,omitempty" doc:"what a person can do about it"`
	Instance   string   `json:"instance,omitempty" doc:"the path that was asked for"`
	Code       string   `json:"code" doc:"a word for programs; it never changes" example:"not_found"`
	RequestID  string   `json:"request_id,omitempty" doc:"to be named when asking for help"`
	Errors     []Detail `json:"errors,omitempty" doc:"what exactly is wrong with the request"`
	RetryAfter int      `json:"retry_after,omitempty" doc:"seconds to wait before trying again"`

	cause   error
	headers http.Header
}

// Detail is one thing that is wrong with a request.
type Detail struct {
	Pointer string `json:"pointer" doc:"where: a JSON pointer into the body, or query/name, path/name, header/name" example:"/schedule"`
	Code    string `json:"code" example:"malformed"`
	Detail  string `json:"detail"`
}

// Codes of problems. A part may have more; they never change their meaning.
const (
	Invalid              = "invalid_argument"
	Unauthenticated      = "unauthenticated"
	Forbidden            = "forbidden"
	NotFound             = "not_found"
	MethodNotAllowed     = "method_not_allowed"
	Conflict             = "conflict"
	PreconditionFailed   = "precondition_failed"
	PreconditionRequired = "precondition_required"
	TooLarge             = "body_too_large"
	UnsupportedMedia     = "unsupported_media_type"
	IdempotencyMismatch  = "idempotency_mismatch"
	IdempotencyInFlight  = "idempotency_in_flight"
	InvalidPageToken     = "invalid_page_token"
	InvalidFilter        = "invalid_filter"
	RateLimited          = "rate_limited"
	QuotaExceeded        = "quota_exceeded"
	EgressDenied         = "egress_denied"
	Unavailable          = "unavailable"
	Timeout              = "timeout"
	NoSpace              = "no_space"
	Internal             = "internal"
)

// typeOf makes the URI of a class of problems.
func typeOf(code string) string { return "urn:darter:problem:" + code }

// Error makes a Problem an error: its text is for whoever logs it.
func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// Unwrap returns what the problem was made of.
func (p *Problem) Unwrap() error { return p.cause }

// GetStatus is for huma.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders is for huma.
func (p *Problem) GetHeaders() http.Header { return p.headers }

// ContentType is for huma.
func (p *Problem) ContentType(string) string { return problemJSON }

const problemJSON = "application/problem+json"

// Refusal makes a problem with a code of the part's own.
func Refusal(status int, code, detail string, errors ...Detail) *Problem {
	return &Problem{Status: status, Code: code, Detail: detail, Errors: errors}
}

// complete fills what follows from the rest and from the request.
func (p *Problem) complete(r *http.Request, request string) {
	p.Type = typeOf(p.Code)
	if p.Title == "" {
		p.Title = http.StatusText(p.Status)
	}
	if r != nil && p.Instance == "" {
		p.Instance = clip(r.URL.EscapedPath(), 500)
	}
	p.RequestID = request
	if p.headers == nil {
		p.headers = make(http.Header)
	}
	if p.RetryAfter > 0 {
		p.headers.Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	if p.Status == http.StatusUnauthorized {
		p.headers.Set("WWW-Authenticate", `Bearer realm="darter"`)
	}
}

func (p *Problem) write(w http.ResponseWriter) {
	h := w.Header()
	for name, values := range p.headers {
		h[name] = values
	}
	h.Set("Content-Type", problemJSON)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the caller is gone when this fails
}

// seconds rounds a wait up to whole seconds, one at least.
func seconds(d time.Duration) int { return max(1, int(math.Ceil(d.Seconds()))) }

func clip(s string, most int) string { return s[:min(len(s), most)] }
