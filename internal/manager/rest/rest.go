package rest

import (
	"encoding/json"
	"net/http"
	"sync/atomic"
	"time"
)

// System says what runs here.
type System struct {
	Version string    `json:"version"`
	Commit  string    `json:"commit"`
	Go      string    `json:"go"`
	Started time.Time `json:"started"`
}

// Doors is the HTTP handler.
type Doors struct {
	system System
	ready  atomic.Bool
}

// New returns the handler, not ready yet.
func New(s System) *Doors { return &Doors{system: s} }

// SetReady says what /readyz answers.
func (d *Doors) SetReady(ready bool) { d.ready.Store(ready) }

// ServeHTTP answers the few paths there are, and refuses all others.
func (d *Doors) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := d.route(r.URL.Path)
	switch {
	case answer == nil:
		refuse(w, http.StatusNotFound, "there is no such path here")
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "this path can only be read")
	default:
		answer(w)
	}
}

func (d *Doors) route(path string) func(http.ResponseWriter) {
	switch path {
	case "/livez", "/healthy":
		return func(w http.ResponseWriter) { write(w, http.StatusOK, "application/json", status{"ok"}) }
	case "/readyz":
		return func(w http.ResponseWriter) {
			if !d.ready.Load() {
				refuse(w, http.StatusServiceUnavailable, "the manager is starting or stopping")
				return
			}
			write(w, http.StatusOK, "application/json", status{"ok"})
		}
	case "/v1/system":
		return func(w http.ResponseWriter) { write(w, http.StatusOK, "application/json", d.system) }
	}
	return nil
}

type status struct {
	Status string `json:"status"`
}

// problem is an error as RFC 9457 has it.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

func refuse(w http.ResponseWriter, code int, detail string) {
	write(w, code, "application/problem+json", problem{Type: "about:blank", Title: http.StatusText(code), Status: code, Detail: detail})
}

func write(w http.ResponseWriter, code int, kind string, body any) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the caller is gone when this fails
}
