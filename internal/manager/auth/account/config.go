package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/auth/password"
)

// Auditor writes an event in the transaction of the change that it tells of. It fills in id and time.
type Auditor interface {
	Record(ctx context.Context, tx *database.Tx, e darter.AuditEvent) error
}

// Config says how long things last.
type Config struct {
	SessionIdle  time.Duration // a session ends when it is not used for so long; default 8 h, at least 5 min
	SessionLife  time.Duration // and at the latest after so long; default 7 days
	TokenLife    time.Duration // of tokens for which nothing is said; default 90 days
	MaxTokenLife time.Duration // default and at most 365 days
	SetupLife    time.Duration // of the one-time set-up token; default 1 h
	Fresh        time.Duration // longest that a remembered principal counts without a look at the version; default 5 s
	Look         time.Duration // how often the version is looked at when no notice comes; default 1 s
	Password     password.Config
	Now          func() time.Time // default time.Now
	Events       Events
}

// Events tells what happened. Any may be nil.
type Events struct {
	Refused  func(method, why string) // a credential was not accepted; why is one of a few words
	SignedIn func(method string)
	Failed   func(error) // background work failed, and is tried again
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		SessionIdle: 8 * time.Hour, SessionLife: 7 * 24 * time.Hour, TokenLife: 90 * 24 * time.Hour, MaxTokenLife: 365 * 24 * time.Hour,
		SetupLife: time.Hour, Fresh: 5 * time.Second, Look: time.Second, Password: password.DefaultConfig(), Now: time.Now,
	}
}

// Validate says what is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	for _, b := range []struct {
		name            string
		value, min, max time.Duration
	}{
		{"SessionIdle", c.SessionIdle, 5 * time.Minute, 365 * 24 * time.Hour}, {"SessionLife", c.SessionLife, c.SessionIdle, 365 * 24 * time.Hour},
		{"MaxTokenLife", c.MaxTokenLife, time.Minute, 365 * 24 * time.Hour}, {"TokenLife", c.TokenLife, time.Minute, c.MaxTokenLife},
		{"SetupLife", c.SetupLife, time.Minute, 24 * time.Hour}, {"Look", c.Look, 10 * time.Millisecond, c.Fresh}, {"Fresh", c.Fresh, 10 * time.Millisecond, time.Minute},
	} {
		if b.value < b.min || b.value > b.max {
			errs = append(errs, fmt.Errorf("account: %s %v is not between %v and %v", b.name, b.value, b.min, b.max))
		}
	}
	if c.Now == nil {
		errs = append(errs, errors.New("account: Now is required"))
	}
	return errors.Join(errs...)
}
