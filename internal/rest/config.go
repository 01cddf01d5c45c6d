package rest

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/darter-p2p/darter"
)

// Config is what an API needs.
type Config struct {
	Title   string  // of the OpenAPI document
	Version string  // of the OpenAPI document; default "1"
	Journal Journal // required; makes effects happen once, or not at all
	Secret  []byte  // signs page tokens, 32 bytes or more; the same in all managers. Default: random, good until the end of the process

	Heartbeat time.Duration // of streams; default 15s
	Streams   int           // open at once; default 512
	Secure    bool          // requests come over TLS, here or at a proxy: browsers are told to keep to it

	// Stopping is closed when the process is about to end: streams end then. Nil: they end with their callers.
	Stopping <-chan struct{}
	Now      func() time.Time // default time.Now
	Events   Events
}

// Events tells what happened. Any may be nil.
type Events struct {
	Served   func(Served)                         // after each answer
	Failed   func(request, route string, e error) // an internal error, whose text no caller sees
	Streamed func(route string, open int)         // a stream began (+1) or ended (-1)
}

// Served is one answered request.
type Served struct {
	Request string // id
	Method  string
	Route   string // as documented, such as /v1/jobs/{id}:cancel; empty when there is none
	Status  int
	Bytes   int64
	Took    time.Duration
	Actor   darter.Actor
	Code    string // of the problem; empty when there is none
}

// Validate fills what was left out and checks the rest.
func (c *Config) Validate() error {
	if c.Version == "" {
		c.Version = "1"
	}
	if c.Title == "" {
		c.Title = "Darter"
	}
	if c.Heartbeat == 0 {
		c.Heartbeat = 15 * time.Second
	}
	if c.Streams == 0 {
		c.Streams = 512
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Secret == nil {
		c.Secret = make([]byte, 32)
		_, _ = rand.Read(c.Secret) // never fails
	}
	switch {
	case c.Journal == nil:
		return errors.New("rest: Journal is required")
	case len(c.Secret) < 32:
		return errors.New("rest: Secret has less than 32 bytes")
	case c.Heartbeat < time.Second || c.Streams < 1:
		return errors.New("rest: Heartbeat is below 1s, or Streams below 1")
	}
	return nil
}

// Journal makes effects happen once, or not at all.
type Journal interface {
	// Once calls effect in a transaction which everything that effect writes is part of, and keeps its answer in
	// the same transaction; a key that was used gets the first answer, marked Replayed. An effect that returns an
	// error leaves no trace. It fails with ErrKeyReused when the key was used for something else.
	Once(ctx context.Context, k Key, effect func(ctx context.Context) (Answer, error)) (Answer, error)
	// Try calls effect in such a transaction and undoes it, whatever it returns.
	Try(ctx context.Context, effect func(ctx context.Context) error) error
}

// Key names a request that may be repeated.
type Key struct {
	Principal string
	Key       string
	Route     string // method and path
	Hash      string // of query and body
}

// Answer is what was answered the first time.
type Answer struct {
	Status   int
	Body     string
	Replayed bool
}

// ErrKeyReused tells that an idempotency key was used before for something else.
var ErrKeyReused = errors.New("the idempotency key was used for another request")
