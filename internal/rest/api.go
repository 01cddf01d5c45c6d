package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/darter-p2p/darter"
)

// requestID is the header in which the gate says a request's id.
const requestID = "X-Request-Id"

// API takes operations and answers requests for them. Build it with New, connect it to its gate with Open, add all
// operations, then call Finish once and serve Handler.
type API struct {
	cfg      Config
	gate     Gate
	huma     huma.API
	verbs    map[string]bool
	explain  []func(error) (Verdict, bool)
	access   map[string]Access // of operations that are being added, by documented pattern
	ops      map[string]*Operation
	faults   []error // of declarations
	document []byte  // of /openapi.json, after Finish

	streams chan struct{} // one place per open stream
	mu      struct {
		sync.Mutex
		flying map[string]bool // requests with a key that run now
	}
}

// New checks the configuration.
func New(cfg Config) (*API, error) {
	if err := cfg.Validate(); err != nil {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "build API", Err: err}
	}
	a := &API{cfg: cfg, verbs: make(map[string]bool), access: make(map[string]Access), ops: make(map[string]*Operation), streams: make(chan struct{}, cfg.Streams)}
	a.mu.flying = make(map[string]bool)
	return a, nil
}

// Open connects the API to its gate, whose way to refuse is a.Refuse.
func (a *API) Open(g Gate) {
	a.gate = g
	format := huma.Format{Marshal: marshal, Unmarshal: json.Unmarshal}
	cfg := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0", Info: &huma.Info{Title: a.cfg.Title, Version: a.cfg.Version, Description: description},
			Components: &huma.Components{Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer), SecuritySchemes: schemes()},
		},
		Formats:                      map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{a.translate},
	}
	a.huma = huma.NewAPI(cfg, humago.NewAdapter(routes{a}, ""))
	a.describe()
}

func marshal(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// Caller returns who asks under ctx.
func (a *API) Caller(ctx context.Context) Caller { return a.gate.Caller(ctx) }

// Handle adds what is no documented operation: a page, another product's API.
func (a *API) Handle(pattern string, access Access, handler http.Handler) {
	routed, verb := split(pattern)
	if verb != "" {
		a.verbs[verb] = true
	}
	a.gate.Declare(routed, access)
	a.gate.HandleFunc(routed, func(w http.ResponseWriter, r *http.Request) {
		infoOf(r.Context()).route = pathOf(pattern)
		handler.ServeHTTP(w, r)
	})
}

// routes is the mux that huma adds operations to.
type routes struct{ a *API }

// HandleFunc adds an operation, whose access and rules Add has left under its pattern.
func (m routes) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	a := m.a
	routed, verb := split(pattern)
	if verb != "" {
		a.verbs[verb] = true
	}
	op := a.ops[pattern]
	if access, ok := a.access[pattern]; ok {
		a.gate.Declare(routed, access)
	}
	a.gate.HandleFunc(routed, a.once(op, handler))
}

// ServeHTTP is there because huma asks for it.
func (m routes) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.a.gate.ServeHTTP(w, r) }

// Handler is the way in: it splits verbs off paths, sets the headers that every answer has, and tells what was served.
func (a *API) Handler() http.Handler { return http.HandlerFunc(a.serve) }

// answerTime is how long an answer may take altogether. Streams prolong it while they are read.
const answerTime = 90 * time.Second

func (a *API) serve(w http.ResponseWriter, r *http.Request) {
	begin := a.cfg.Now()
	info := &info{shown: r}
	out := &record{ResponseWriter: w}
	ctx := context.WithValue(r.Context(), infoKey{}, info)
	defer func() {
		if p := recover(); p != nil {
			a.panicked(out, r.WithContext(ctx), info, p)
		}
		if a.cfg.Events.Served != nil {
			a.cfg.Events.Served(Served{Request: out.Header().Get(requestID), Method: r.Method, Route: info.route, Status: out.code(), Bytes: out.bytes,
				Took: a.cfg.Now().Sub(begin), Actor: info.actor, Code: info.code})
		}
	}()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime)) // in memory there is none
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
	if a.cfg.Secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	routed, ok := a.route(r.WithContext(ctx))
	if !ok {
		a.Refuse(out, routed, &darter.Error{Kind: darter.NotFound, Op: r.Method + " " + clip(r.URL.Path, 200), Err: errors.New("no such route")})
		return
	}
	a.gate.ServeHTTP(out, routed)
}

// panicked answers what no handler should have done.
func (a *API) panicked(w *record, r *http.Request, info *info, p any) {
	err := fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	info.request = w.Header().Get(requestID)
	if w.status != 0 { // too late for a problem
		if a.cfg.Events.Failed != nil {
			a.cfg.Events.Failed(info.request, info.route, err)
		}
		return
	}
	a.Refuse(w, r, err)
}

// info goes with a request, so that the outer layers learn what the inner ones found.
type info struct {
	request  string        // id
	route    string        // documented path
	shown    *http.Request // as the caller sent it
	actor    darter.Actor
	code     string
	cause    error // of the last problem
	enclosed bool  // in a transaction that keeps or undoes all of it
}

type infoKey struct{}

func infoOf(ctx context.Context) *info {
	if i, ok := ctx.Value(infoKey{}).(*info); ok {
		return i
	}
	return &info{}
}
