package rest

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/darter-p2p/darter"
)

const description = "Durations are texts such as `90s`, sizes numbers of bytes, instants RFC 3339 in UTC, ids ULIDs. " +
	"Refusals are problems (RFC 9457) whose `code` never changes its meaning. Lists are pages: `next_page_token` goes into `page_token`. " +
	"What is configured has an ETag, and is changed with `If-Match`. Within v1 only additions happen."

func schemes() map[string]*huma.SecurityScheme {
	return map[string]*huma.SecurityScheme{
		"token":   {Type: "http", Scheme: "bearer", Description: "an API token: `Authorization: Bearer dtr_…`"},
		"session": {Type: "apiKey", In: "cookie", Name: "__Host-darter", Description: "of the console; changing requests carry `X-Csrf-Token`"},
	}
}

func (a *API) problemSchema() *huma.Schema {
	return a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
}

// describe adds the document and a page to read it.
func (a *API) describe() {
	a.Handle("GET /openapi.json", Access{Public: "says what can be asked"}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.oai.openapi+json")
		_, _ = w.Write(a.document) // the caller is gone when this fails
	}))
	a.Handle("GET /docs", Access{Public: "says what can be asked"}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", docsPolicy)
		_, _ = w.Write([]byte(docsPage)) // the caller is gone when this fails
	}))
}

// Finish makes the document, and says what is wrong with the operations. It is called once, after the last one.
func (a *API) Finish() error {
	if err := errors.Join(a.faults...); err != nil {
		return &darter.Error{Kind: darter.Internal, Op: "add operations", Hint: "this is a mistake in Darter; report it", Err: err}
	}
	doc := a.huma.OpenAPI()
	for _, s := range doc.Components.Schemas.Map() {
		noNull(s)
	}
	body, err := json.Marshal(doc)
	if err != nil {
		return &darter.Error{Kind: darter.Internal, Op: "write OpenAPI document", Err: err}
	}
	if a.document != nil {
		return &darter.Error{Kind: darter.Internal, Op: "write OpenAPI document", Err: errors.New("it is written already")}
	}
	a.document = body
	return nil
}

// noNull takes null from what a list may be: ours are empty, never missing.
func noNull(s *huma.Schema) {
	if s == nil {
		return
	}
	if s.Type == huma.TypeArray {
		s.Nullable = false
	}
	noNull(s.Items)
	for _, p := range s.Properties {
		noNull(p)
	}
}

// YAML returns the document as the file of the repository has it.
func (a *API) YAML() ([]byte, error) { return a.huma.OpenAPI().YAML() }

// Operations returns the documented patterns with who may use them, as they are added.
func (a *API) Operations() map[string]Access {
	out := make(map[string]Access, len(a.access))
	for pattern, access := range a.access {
		out[pattern] = access
	}
	return out
}
