package rest

import (
	"bytes"
	"net/http"
)

// record passes an answer on and counts it.
type record struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (w *record) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *record) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

func (w *record) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}

// Unwrap lets http.ResponseController find deadlines and flushing.
func (w *record) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// held keeps an answer until it is known whether it counts.
type held struct {
	under  http.ResponseWriter
	header http.Header
	status int
	body   bytes.Buffer
}

func hold(w http.ResponseWriter) *held { return &held{under: w, header: make(http.Header)} }

func (h *held) Header() http.Header { return h.header }

func (h *held) WriteHeader(status int) {
	if h.status == 0 {
		h.status = status
	}
}

func (h *held) Write(b []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	return h.body.Write(b)
}

// Unwrap is for deadlines on reading; nothing is flushed through it.
func (h *held) Unwrap() http.ResponseWriter { return h.under }

// release sends it.
func (h *held) release() {
	to := h.under.Header()
	for name, values := range h.header {
		to[name] = values
	}
	if h.status == 0 {
		h.status = http.StatusOK
	}
	h.under.WriteHeader(h.status)
	_, _ = h.under.Write(h.body.Bytes()) // the caller is gone when this fails
}
