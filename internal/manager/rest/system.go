package rest

import (
	"context"
	"net/http"

	"github.com/darter-p2p/darter/internal/rest"
)

// Component is one thing that the manager needs to take calls.
type Component struct {
	Name   string `json:"name"`
	Ready  bool   `json:"ready"`
	Detail string `json:"detail,omitempty"`
}

// Ready says whether the manager takes calls, and how its components are.
type Ready func(ctx context.Context) (ready bool, components []Component)

// readiness is what /readyz answers.
type readiness struct {
	Status     string      `json:"status"`
	Components []Component `json:"components"`
}

// Register adds the operations.
func Register(api *rest.API, system System, ready Ready) {
	probe := rest.Access{Public: "probes of a container platform have no credential"}
	api.Handle("GET /livez", probe, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, "application/json", status{"ok"})
	}))
	harbor := rest.Access{Public: "Harbor's connection test, which tells whether a credential is right", Checked: true, Basic: true}
	api.Handle("GET /healthy", harbor, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, "application/json", status{"ok"})
	}))
	api.Handle("GET /readyz", probe, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ok, components := ready(r.Context())
		out, code := readiness{Status: "ok", Components: components}, http.StatusOK
		if !ok {
			out.Status, code = "unavailable", http.StatusServiceUnavailable
		}
		write(w, code, "application/json", out)
	}))
	rest.Add(api, rest.Operation{Method: "GET", Path: "/v1/system", ID: "get-system", Tag: "system", Summary: "What runs here",
		Access: rest.Access{Public: "a client compares versions before it signs in"}}, func(context.Context, *struct{}) (*struct{ Body System }, error) {
		return &struct{ Body System }{system}, nil
	})
}
