package rest

import (
	"errors"
	"net"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/pki"
)

// Config is what a node needs to get a certificate and to keep it young.
type Config struct {
	Dir     string                 // required; node.pem and trust.pem are kept here
	Role    pki.Role               // required; a certificate for another role is refused
	Node    string                 // required; what this node calls itself when it joins
	Manager string                 // required; host:port of the manager's REST API
	Token   func() (string, error) // the join text, asked for when it is needed; nil: there is none

	Patience time.Duration    // how long a join waits for a manager that cannot be reached; default 30s
	Timeout  time.Duration    // of one question; default 20s
	Now      func() time.Time // default time.Now
	Events   pki.Events
}

// DefaultConfig returns the defaults. What is required is missing.
func DefaultConfig() Config {
	return Config{Patience: 30 * time.Second, Timeout: 20 * time.Second, Now: time.Now}
}

// Validate fills what was left out and checks the rest.
func (c *Config) Validate() error {
	d := DefaultConfig()
	if c.Patience == 0 {
		c.Patience = d.Patience
	}
	if c.Timeout == 0 {
		c.Timeout = d.Timeout
	}
	if c.Now == nil {
		c.Now = d.Now
	}
	host, port, err := net.SplitHostPort(c.Manager)
	switch {
	case err != nil || host == "" || port == "":
		err = errors.New("the manager's REST address has to be host:port")
	case c.Dir == "" || c.Node == "" || !c.Role.Valid():
		err = errors.New("folder, role and the node's name are required")
	case c.Patience < 0 || c.Timeout < 0:
		err = errors.New("a wait is negative")
	default:
		return nil
	}
	return &darter.Error{Kind: darter.Invalid, Op: "enrol node", Err: err, Hint: "see --manager-rest, --hostname and --data-dir"}
}

func (c *Config) files() pki.Files { return FilesIn(c.Dir) }
