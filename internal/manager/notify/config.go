package notify

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
)

//go:embed migrations
var files embed.FS

// Migrations returns the tables of this room.
func Migrations() database.Migrations {
	sub, _ := fs.Sub(files, "migrations") // the folder is embedded
	return database.Migrations{Room: "notify", Files: sub}
}

const (
	topicNew      = "events.new"      // an event waits for its number
	topicNumbered = "events.numbered" // there are more to read
	topicDue      = "notify.due"      // a delivery may be made
)

// Config is what a notifier needs.
type Config struct {
	DB     *database.DB                                // required; with this room's Migrations
	Sealer Sealer                                      // required
	Audit  Auditor                                     // required
	Client *http.Client                                // required; its transport is where egress rules hold
	Check  func(ctx context.Context, u *url.URL) error // required; refuses URLs that egress rules forbid, with Denied or Invalid

	Timeout time.Duration // for one delivery; default 10s
	Poll    time.Duration // longest time between two looks for deliveries that are due; default 2s
	Workers int           // deliveries at once; default 8
	Tries   int           // per delivery; default 20, which takes about a day
	Queue   int           // deliveries that wait for one target; what comes on top is given up; default 1000
	Events  Events

	Now func() time.Time // default: the database's clock
}

// Sealer keeps secrets at rest. The place is bound to what is sealed.
type Sealer interface {
	Seal(secret []byte, place string) ([]byte, error)
	Open(sealed []byte, place string) ([]byte, error)
}

// Auditor writes down who did what, in the transaction of the change.
type Auditor interface {
	Record(ctx context.Context, tx *database.Tx, event darter.AuditEvent) error
}

// Events tells what happened. Any may be nil.
type Events struct {
	Announced func(event string)                          // its type; once per transaction that tries it
	Delivered func(target string, took time.Duration)     //
	Refused   func(target string, attempt int, err error) // it will be tried again
	GivenUp   func(target string, why string)             //
	Failed    func(what string, err error)                // a loop could not do its turn; it goes on
}

// Validate fills what was left out and checks the rest.
func (c *Config) Validate() error {
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Poll == 0 {
		c.Poll = 2 * time.Second
	}
	if c.Workers == 0 {
		c.Workers = 8
	}
	if c.Tries == 0 {
		c.Tries = 20
	}
	if c.Queue == 0 {
		c.Queue = 1000
	}
	switch {
	case c.DB == nil || c.Sealer == nil || c.Audit == nil || c.Client == nil || c.Check == nil:
		return errors.New("notify: DB, Sealer, Audit, Client and Check are required")
	case c.Timeout < 0 || c.Timeout >= lease || c.Poll < 0 || c.Workers < 0 || c.Tries < 0 || c.Queue < 0:
		return errors.New("notify: a limit is negative, or Timeout is not below 30s")
	}
	return nil
}

// Notifier keeps the journal and tells the targets.
type Notifier struct {
	cfg    Config
	db     *database.DB
	client *http.Client
}

// New checks the configuration.
func New(cfg Config) (*Notifier, error) {
	if err := cfg.Validate(); err != nil {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "check settings of notifications", Err: err}
	}
	client := *cfg.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Timeout = cfg.Timeout
	return &Notifier{cfg: cfg, db: cfg.DB, client: &client}, nil
}

func (n *Notifier) now(ctx context.Context, tx *database.Tx) (time.Time, error) {
	if n.cfg.Now != nil {
		return n.cfg.Now().UTC().Truncate(time.Microsecond), nil
	}
	now, err := tx.Now(ctx)
	return now.UTC().Truncate(time.Microsecond), err
}
