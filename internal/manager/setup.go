package manager

import (
	"context"
	"errors"
	"os"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/atomicfile"
	"github.com/darter-p2p/darter/internal/privatefile"
)

// Setup is how the first administrator gets in.
type Setup struct {
	Needed bool   // nobody is an administrator yet
	Token  string // to be shown once; empty when the operator brought a secret, or none is needed
	File   string // where the token lies for whoever does not see the screen
}

// String keeps the token out of logs.
func (s Setup) String() string { return "setup token in " + s.File }

// GoString keeps it out of %#v.
func (s Setup) GoString() string { return s.String() }

// Setup says how the first administrator gets in.
func (m *Manager) Setup() Setup { return m.setup }

// prepareSetup makes the one-time token, and leaves it in a file that only this user can read. Once there is an
// administrator the file goes.
func (m *Manager) prepareSetup(ctx context.Context) (Setup, error) {
	file := m.cfg.path("setup-token")
	token, needed, err := m.rooms.Accounts.PrepareSetup(ctx, m.cfg.Setup)
	if err != nil {
		return Setup{}, err
	}
	if token == "" {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			m.cfg.Log.Warn("a used set-up token could not be removed", "file", file, "error", err)
		}
		return Setup{Needed: needed}, nil
	}
	if err := atomicfile.Write(file, []byte(token+"\n"), privatefile.Mode); err != nil {
		return Setup{}, &darter.Error{Kind: darter.Unavailable, Op: "write the set-up token to " + file, Err: err}
	}
	return Setup{Needed: true, Token: token, File: file}, nil
}
