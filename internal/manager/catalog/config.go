package catalog

import (
	"embed"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/gc/retention"
)

//go:embed migrations
var files embed.FS

// Migrations returns the tables of this room.
func Migrations() database.Migrations {
	sub, _ := fs.Sub(files, "migrations") // the folder is embedded
	return database.Migrations{Room: "catalog", Files: sub}
}

// Config is what a catalog needs.
type Config struct {
	DB *database.DB // required

	// Schedule refuses a schedule that cannot be kept; required. The reclaimer knows.
	Schedule func(retention.Schedule) error

	// Settings are the documents that may be set, by name. Each function checks a body and returns it
	// with its defaults filled in.
	Settings map[string]func(body []byte) ([]byte, error)

	News   Announcer     // is told of new versions and of hosts; nil: nobody is
	Fresh  time.Duration // how long a scheduler's word on a host counts; default 2m
	Events Events
}

// Events tells what happened. Any may be nil.
type Events struct {
	Published func(Document)                         // here
	Applied   func(d Document, behind time.Duration) // this manager now follows d, so long after it was published
	Joined    func(Member)
	Silent    func(Member)
	Host      func(HostEvent)
}

// Validate fills what was left out and checks the rest.
func (c *Config) Validate() error {
	if c.Fresh == 0 {
		c.Fresh = 2 * time.Minute
	}
	switch {
	case c.DB == nil || c.Schedule == nil:
		return errors.New("catalog: DB and Schedule are required")
	case c.Fresh < time.Second:
		return errors.New("catalog: Fresh is below 1s")
	}
	return nil
}

// Settings returns the names of the documents that may be set, in order.
func (c *Catalog) Settings() []string { return slices.Sorted(maps.Keys(c.cfg.Settings)) }

// Catalog is the manager's memory. Run keeps its view of documents fresh.
type Catalog struct {
	cfg Config
	db  *database.DB
	mu  struct {
		sync.RWMutex
		inForce map[documentKey]Document
	}
}

// New checks the configuration.
func New(cfg Config) (*Catalog, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Catalog{cfg: cfg, db: cfg.DB}
	c.mu.inForce = make(map[documentKey]Document)
	return c, nil
}
