package http_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/darter-p2p/darter/internal/source"
	"github.com/darter-p2p/darter/internal/source/http"
	"github.com/darter-p2p/darter/internal/source/sourcetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fresh returns a source with the defaults, changed by adjust.
func fresh(t *testing.T, adjust func(*http.Config)) *http.Source {
	t.Helper()
	cfg := http.DefaultConfig()
	cfg.Proxy = nil
	if adjust != nil {
		adjust(&cfg)
	}
	s, err := http.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestSuite(t *testing.T) {
	sourcetest.Run(t, func(t *testing.T) (source.Source, sourcetest.Place) {
		return fresh(t, nil), sourcetest.NewOrigin(t)
	})
}

func TestSuiteOverTLS(t *testing.T) {
	sourcetest.Run(t, func(t *testing.T) (source.Source, sourcetest.Place) {
		o := sourcetest.NewTLSOrigin(t)
		return fresh(t, func(c *http.Config) { c.CAFile = o.CAFile() }), o
	})
}
