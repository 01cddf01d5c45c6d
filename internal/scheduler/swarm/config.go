package swarm

import (
	"errors"
	"time"

	"github.com/darter-p2p/darter"
)

// Config are the settings of a swarm.
type Config struct {
	// SeedDeadline is how long a triggered seed may take to register; default 10s.
	SeedDeadline time.Duration
	// SeedTries is how many seeds are triggered for one group before a child goes; default 2.
	SeedTries int
	// SeedRest is how long a seed that failed is not triggered again, unless it announces or
	// answers a health check meanwhile; default 30s.
	SeedRest time.Duration
	// SourceAttempts is how many peers may fail at the source before the waiting ones are told; default 3.
	SourceAttempts int
	// SourceStall is how long a source-goer may be silent before its pieces pass to another; default 3m.
	SourceStall time.Duration
	// Relearn is how long after a restart the downloads that were running are given to register again before their missing
	// pieces are fetched from the source: somebody may hold them; default 2s.
	Relearn time.Duration
	// VerdictTTL is how long the origin's refusal answers new registrations too; default 5s.
	VerdictTTL time.Duration

	// MinLinks, Links and MaxLinks bound a peer's neighbours: below the first it is given more, up to the
	// second; nobody else's choice pushes it past the third. Defaults 12, 12, 20.
	MinLinks, Links, MaxLinks int
	// RemoteLinks is how many neighbours outside the own zone a peer has, when there are any; default 2.
	RemoteLinks int
	// HolderChildren is how many children a finished peer is given by preference; default 32.
	HolderChildren int
	// Sample is how many candidates are looked at for one choice; default 96.
	Sample int

	// LegacyParents is the number of candidates in a response to a plain Dragonfly client; default 4.
	LegacyParents int
	// LegacyResponses is the number of responses such a client takes before it gives up; default 5.
	LegacyResponses int

	// Linger is how long a finished peer that nobody fetches from is kept whole; then only its location is; default 10m.
	Linger time.Duration
	// PeerTTL is how long a host counts as holder after its last word about a task, when it did not say how long it
	// keeps content; default 24h.
	PeerTTL time.Duration
	// Unverified is how long what a host held before it restarted is remembered without a word of it; default 10m.
	Unverified time.Duration
	// TaskIdle is how long a task without peers is remembered; default 60s.
	TaskIdle time.Duration

	// SuspectStall is how long a source-goer on a suspect host may bring nothing before its pieces pass to another; default 5s.
	SuspectStall time.Duration

	// StepItems bounds how many peers, links and locations one step looks at on account of a verdict, or neighbours of one
	// that changed; the rest follows in the next steps; default 256.
	StepItems int
	// PageItems is how many items of one inventory page are taken; default 2048.
	PageItems int
	// InventoryRate is how many items of inventories are taken in a second, all hosts together; default 50,000.
	InventoryRate int
	// AuditEvery is how often the auditor begins a pass over all records, AuditItems how many it looks at in one tick
	// at most; defaults 10m, 2048.
	AuditEvery time.Duration
	AuditItems int
	// MaxPeers and MaxLocations bound the memory: beyond the first, finished peers shrink to locations at once, and then
	// registrations are refused; beyond the second, the locations go that were confirmed least recently.
	// Defaults 2,000,000 and 10,000,000.
	MaxPeers, MaxLocations int
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		SeedDeadline: 10 * time.Second, SeedTries: 2, SeedRest: 30 * time.Second,
		SourceAttempts: 3, SourceStall: 3 * time.Minute, Relearn: 2 * time.Second, VerdictTTL: 5 * time.Second,
		MinLinks: 12, Links: 12, MaxLinks: 20, RemoteLinks: 2, HolderChildren: 32, Sample: 96,
		LegacyParents: 4, LegacyResponses: 5,
		Linger: 10 * time.Minute, PeerTTL: 24 * time.Hour, Unverified: 10 * time.Minute, TaskIdle: time.Minute,
		SuspectStall: 5 * time.Second, StepItems: 256, PageItems: 2048, InventoryRate: 50_000,
		AuditEvery: 10 * time.Minute, AuditItems: 2048, MaxPeers: 2_000_000, MaxLocations: 10_000_000,
	}
}

// Validate says what is wrong with the settings.
func (c Config) Validate() error {
	fail := func(why string) error {
		return &darter.Error{Kind: darter.Invalid, Op: "check swarm settings", Err: errors.New(why)}
	}
	switch {
	case c.SeedDeadline <= 0 || c.SourceStall <= 0 || c.PeerTTL <= 0 || c.TaskIdle <= 0 || c.Linger <= 0 || c.Unverified <= 0 || c.AuditEvery <= 0:
		return fail("every duration must be above zero")
	case c.SeedRest < 0 || c.VerdictTTL < 0 || c.Relearn < 0 || c.SuspectStall < 0:
		return fail("a rest, a verdict's life, the time to relearn and a suspect's stall cannot be negative")
	case c.StepItems < 1 || c.PageItems < 1 || c.InventoryRate < 1 || c.AuditItems < 1 || c.MaxPeers < 1 || c.MaxLocations < 1:
		return fail("every limit must be at least 1")
	case c.MinLinks < 1 || c.Links < c.MinLinks || c.MaxLinks < c.Links:
		return fail("links must grow: 1 <= min <= wanted <= max")
	case c.RemoteLinks < 0 || c.RemoteLinks > c.Links:
		return fail("links to other zones must lie between 0 and the wanted number of links")
	case c.LegacyParents < 1 || c.LegacyResponses < 2:
		return fail("a plain client needs at least 1 parent and 2 responses")
	case c.SourceAttempts < 1 || c.SeedTries < 0 || c.HolderChildren < 1 || c.Sample < c.Links:
		return fail("attempts, children and sample are too small")
	}
	return nil
}
