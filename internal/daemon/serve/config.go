package serve

import (
	"errors"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
	"github.com/darter-p2p/darter/internal/vortex"
)

// Config is what a Shelf is made of.
type Config struct {
	Store store.Store // required

	// Transport is the piece server's configuration; its Pieces are filled in. Listener is required.
	Transport vortex.ServerConfig
	// MaxWaiting is how many callers may wait for a task to appear; default 1024.
	MaxWaiting int
}

// DefaultConfig returns the defaults; Store and Transport.Listener are missing.
func DefaultConfig() Config {
	return Config{Transport: vortex.DefaultServerConfig(), MaxWaiting: 1024}
}

// Validate reports the first setting that makes no sense. The transport checks its own.
func (c *Config) Validate() error {
	var why string
	switch {
	case c.Store == nil:
		why = "a shelf needs a store"
	case c.MaxWaiting < 0:
		why = "the number of waiting callers cannot be negative"
	default:
		return nil
	}
	return &darter.Error{Kind: darter.Invalid, Op: "serve configuration", Err: errors.New(why)}
}
