package http_test

import (
	"io"
	"testing"

	"github.com/darter-p2p/darter/internal/source"
	"github.com/darter-p2p/darter/internal/source/http"
	"github.com/darter-p2p/darter/internal/source/sourcetest"
)

// BenchmarkOpen includes the origin, which shares the processors.
func BenchmarkOpen(b *testing.B) {
	const size = 64 << 20
	o := sourcetest.NewOrigin(b)
	cfg := http.DefaultConfig()
	s, err := http.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	r := source.Request{URL: o.AddRandom("f", size, 1)}
	info, err := s.Stat(b.Context(), r)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		body, err := s.Open(b.Context(), r, nil, info)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, body); err != nil || n != size {
			b.Fatal(n, err)
		}
		body.Close()
	}
}
