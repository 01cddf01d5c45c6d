package rest

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/egress"
)

// Verdict is what an error means to whoever asked. The zero Status leaves that to the error's kind.
type Verdict struct {
	Status     int
	Code       string
	Detail     string // in place of the error's own text, where that is not for callers
	RetryAfter time.Duration
	Errors     []Detail
}

// Explain adds a part's knowledge of its own errors. The first that knows an error decides. It is called before
// the first request.
func (a *API) Explain(explain func(err error) (Verdict, bool)) {
	a.explain = append(a.explain, explain)
}

// ofKind says what a kind of error means when nobody knows more.
func ofKind(k darter.Kind) Verdict {
	switch k {
	case darter.Invalid:
		return Verdict{Status: http.StatusUnprocessableEntity, Code: Invalid}
	case darter.NotFound:
		return Verdict{Status: http.StatusNotFound, Code: NotFound}
	case darter.Conflict:
		return Verdict{Status: http.StatusConflict, Code: Conflict}
	case darter.Unavailable:
		return Verdict{Status: http.StatusServiceUnavailable, Code: Unavailable, RetryAfter: time.Second}
	case darter.Denied:
		return Verdict{Status: http.StatusForbidden, Code: Forbidden}
	case darter.NoSpace:
		return Verdict{Status: http.StatusInsufficientStorage, Code: NoSpace}
	case darter.TimedOut:
		return Verdict{Status: http.StatusGatewayTimeout, Code: Timeout, RetryAfter: time.Second}
	case darter.Internal, darter.Corrupt:
	}
	return Verdict{Status: http.StatusInternalServerError, Code: Internal}
}

func (a *API) verdict(err error) Verdict {
	v := ofKind(darter.KindOf(err))
	if _, tooLong := errors.AsType[*http.MaxBytesError](err); tooLong {
		return Verdict{Status: http.StatusRequestEntityTooLarge, Code: TooLarge}
	}
	if errors.Is(err, egress.ErrDenied) {
		return Verdict{Status: http.StatusForbidden, Code: EgressDenied}
	}
	if errors.Is(err, ErrKeyReused) {
		return Verdict{Status: http.StatusUnprocessableEntity, Code: IdempotencyMismatch}
	}
	for _, explain := range a.explain {
		known, ok := explain(err)
		if !ok {
			continue
		}
		if known.Status == 0 {
			known.Status, known.Code, known.RetryAfter = v.Status, v.Code, v.RetryAfter
		}
		return known
	}
	return v
}

// problem makes a problem of any error. Internal text goes to Events.Failed and no further.
func (a *API) problem(ctx context.Context, err error) *Problem {
	info := infoOf(ctx)
	p, ok := errors.AsType[*Problem](err)
	if ok {
		same := *p // a handler may return one that it keeps
		p = &same
	} else {
		v := a.verdict(err)
		p = &Problem{Status: v.Status, Code: v.Code, Errors: v.Errors, Detail: err.Error(), Hint: darter.HintOf(err), cause: err}
		if v.RetryAfter > 0 {
			p.RetryAfter = seconds(v.RetryAfter)
		}
		if v.Detail != "" {
			p.Detail = v.Detail
		}
		if p.Status >= http.StatusInternalServerError && p.Code != Unavailable {
			p.Detail = "the manager could not do this"
		}
		if p.Code == Unavailable {
			p.Detail = "the manager cannot do this right now"
		}
	}
	if p.Status >= http.StatusInternalServerError && a.cfg.Events.Failed != nil {
		a.cfg.Events.Failed(info.request, info.route, err)
	}
	p.complete(info.shown, info.request)
	info.code, info.cause = p.Code, err
	return p
}

// Refuse answers a request with the problem that an error is. It is the gate's way to refuse, and that of handlers
// which are no operations.
func (a *API) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	info := infoOf(r.Context())
	if info.shown == nil {
		info.shown = r
	}
	if info.request == "" {
		info.request = w.Header().Get(requestID)
	}
	a.problem(r.Context(), err).write(w)
}

// translate turns huma's own refusals into problems. What was sent is not sent back: it may hold a password.
func (a *API) translate(ctx huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := &Problem{Status: m.Status, Code: Invalid, Detail: m.Detail}
	switch m.Status {
	case http.StatusRequestEntityTooLarge:
		p.Code = TooLarge
	case http.StatusUnsupportedMediaType:
		p.Code, p.Detail, p.Hint, m.Errors = UnsupportedMedia, "the body is of a type that is not taken here", "send it as Content-Type: application/json", nil
	case http.StatusRequestTimeout:
		p.Code = Timeout
	case http.StatusInternalServerError:
		p.Code, p.Detail = Internal, "the manager could not do this"
	}
	for _, e := range m.Errors {
		if e != nil {
			p.Errors = append(p.Errors, detailOf(e))
		}
	}
	out := a.problem(ctx.Context(), p)
	for name, values := range out.headers {
		for _, value := range values {
			ctx.SetHeader(name, value)
		}
	}
	return out, nil
}

// detailOf turns body.rules[2].after into /rules/2/after.
func detailOf(e *huma.ErrorDetail) Detail {
	d := Detail{Code: "invalid", Detail: e.Message}
	where, rest, _ := strings.Cut(e.Location, ".")
	rest = strings.NewReplacer(".", "/", "[", "/", "]", "").Replace(rest)
	if where == "body" {
		if d.Pointer = "/" + rest; rest == "" {
			d.Pointer = ""
		}
	} else {
		d.Pointer = where + "/" + rest
	}
	if _, after, missing := strings.Cut(e.Message, "expected required property "); missing && where == "body" {
		name, _, _ := strings.Cut(after, " ")
		d.Pointer = strings.TrimSuffix(d.Pointer, "/") + "/" + name
	}
	switch {
	case strings.Contains(e.Message, "unexpected property"), strings.Contains(e.Message, "unknown query"):
		d.Code = "unknown_field"
	case strings.Contains(e.Message, "required"):
		d.Code = "required"
	case e.Location == "body":
		d.Code, d.Detail = "malformed", "the body is not what it says that it is"
	}
	return d
}
