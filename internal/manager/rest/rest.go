package rest

import (
	"encoding/json"
	"net/http"
	"time"
)

// System says what runs here.
type System struct {
	Version string    `json:"version"`
	Commit  string    `json:"commit"`
	Go      string    `json:"go"`
	Started time.Time `json:"started"`
}

type status struct {
	Status string `json:"status"`
}

func write(w http.ResponseWriter, code int, kind string, body any) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body) // the caller is gone when this fails
}
