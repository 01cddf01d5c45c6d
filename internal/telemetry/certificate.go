package telemetry

import (
	"log/slog"
	"time"

	"github.com/darter-p2p/darter/internal/pki"
)

// Certificates returns what a process is to call about its own certificate.
func Certificates(log *slog.Logger) pki.Events {
	return pki.Events{
		Loaded: func(who pki.Identity, until time.Time) {
			log.Info("certificate in use", "identity", who.String(), "until", until.UTC().Format(time.RFC3339))
		},
		Renewed: func(who pki.Identity, until time.Time) {
			log.Info("certificate renewed", "identity", who.String(), "until", until.UTC().Format(time.RFC3339))
		},
		Failed: func(err error) {
			log.Warn("the certificate could not be read or renewed; the one in use stays, and it is tried again", "error", err)
		},
	}
}
