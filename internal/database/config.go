package database

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Dialect is which database it is.
type Dialect string

// The databases that Darter runs on.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)

// Config says which database, and how to use it.
type Config struct {
	URL         string        // required; "sqlite:/var/lib/darter/darter.db", a plain path, or "postgres://user@host/db"
	Migrations  []Migrations  // the rooms' tables, in the order in which they are made; our own come first
	Connections int           // most connections (PostgreSQL) or readers (SQLite); default 10
	Limit       time.Duration // longest a Read or Write may take when its context sets no earlier end; default 60s
	Busy        time.Duration // how long one statement waits for a lock; default 5s
	Poll        time.Duration // how often subscribers are told to look for themselves; default 2s
	Events      Events

	// Connector stands between the pools and the driver when it is set: tests break statements with it.
	Connector func(driver.Connector) driver.Connector
}

// Events tells what happened. Any may be nil.
type Events struct {
	Retried   func(err error)              // a transaction is tried again
	Listening func(on bool, err error)     // PostgreSQL: notifications arrive, or no longer do (polling goes on)
	Lease     func(change LeaseChange)     // a scope got another holder, or lost it
	Finished  func(write bool, d Duration) // one transaction ended
}

// Duration is how long one transaction took, and how many attempts it had.
type Duration struct {
	Took     time.Duration
	Attempts int
	Err      error
}

// DefaultConfig returns the defaults. URL is still to be set.
func DefaultConfig() Config {
	return Config{Connections: 10, Limit: time.Minute, Busy: 5 * time.Second, Poll: 2 * time.Second}
}

// Validate fills what was left out and checks the rest.
func (c *Config) Validate() error {
	d := DefaultConfig()
	if c.Connections == 0 {
		c.Connections = d.Connections
	}
	if c.Limit == 0 {
		c.Limit = d.Limit
	}
	if c.Busy == 0 {
		c.Busy = d.Busy
	}
	if c.Poll == 0 {
		c.Poll = d.Poll
	}
	switch {
	case c.URL == "":
		return errors.New("database: URL is required")
	case c.Connections < 2:
		return errors.New("database: Connections is below 2")
	case c.Limit < 0 || c.Busy < 0 || c.Poll < 0:
		return errors.New("database: a duration is negative")
	}
	seen := map[string]bool{own: true}
	for _, m := range c.Migrations {
		if m.Room == "" || m.Files == nil || strings.Trim(m.Room, "abcdefghijklmnopqrstuvwxyz") != "" {
			return fmt.Errorf("database: migrations of room %q: a name of small letters and files are required", m.Room)
		}
		if seen[m.Room] {
			return fmt.Errorf("database: room %q brings its migrations twice", m.Room)
		}
		seen[m.Room] = true
	}
	_, _, err := split(c.URL)
	return err
}

// split returns the dialect and what its driver wants: a path or a URL.
func split(raw string) (Dialect, string, error) {
	scheme, rest, found := strings.Cut(raw, ":")
	switch {
	case found && (scheme == "postgres" || scheme == "postgresql"):
		if _, err := url.Parse(raw); err != nil {
			return "", "", errors.New("database: the PostgreSQL URL does not parse") // it may hold a password: say nothing of it
		}
		return Postgres, raw, nil
	case found && (scheme == "sqlite" || scheme == "file"):
		raw = strings.TrimPrefix(rest, "//")
	case found && len(scheme) > 1 && !strings.ContainsAny(scheme, "/."):
		return "", "", fmt.Errorf("database: scheme %q is neither sqlite nor postgres", scheme)
	}
	if raw == "" || strings.Contains(raw, ":memory:") || strings.ContainsAny(raw, "?#\x00") {
		return "", "", errors.New("database: SQLite needs the plain path of a file")
	}
	return SQLite, raw, nil
}
