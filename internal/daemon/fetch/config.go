package fetch

import (
	"context"
	"errors"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/daemon/fetch/pick"
	"github.com/darter-p2p/darter/internal/source"
	"github.com/darter-p2p/darter/internal/store"
)

// Pacer limits a rate of bytes. WaitN returns when n more bytes may pass.
type Pacer interface {
	WaitN(ctx context.Context, n int) error
}

// Config is what an Engine needs.
type Config struct {
	Store      store.Store                                // required
	Source     source.Source                              // required
	Scheduler  Scheduler                                  // nil: every download goes to the source
	Neighbours Neighbours                                 // nil: no parents are used
	Identify   func(darter.Want) (darter.TaskID, error)   // required; computes the task id
	NewPeer    func() darter.PeerID                       // required; a fresh peer id
	Redact     func(url string, filtered []string) string // required; the URL without secrets, for the store
	Host       darter.HostID                              // this host
	Pick       pick.Config                                // piece selection; default pick.DefaultConfig()

	Download Pacer // limits bytes from parents and source; nil means no limit
	Origin   Pacer // limits bytes from the source; nil means no limit

	Spool      string      // folder for contents whose length the source does not say, until they are whole; default the system's for temporary files
	MaxUnknown darter.Size // bytes of such a content at most; default 64 GiB; 0 means no limit but free space

	Linger   time.Duration // how long a download goes on when nobody waits for it; default 1s
	Patience time.Duration // longest wait for pieces without any sign of progress in the swarm, before going to the source unasked; default 5m
	Alone    time.Duration // the same when no scheduler is in touch; default 1s
	Rejoin   time.Duration // pause before a broken conversation is opened again; default 1s
	Farewell time.Duration // how long the end of a conversation may take; default 5s
	Tries    int           // failures in a row at the source before a download gives up; default 5

	Events Events
}

// DefaultConfig returns a Config with the defaults filled in; the required fields are left empty.
func DefaultConfig() Config {
	return Config{Pick: pick.DefaultConfig(), Linger: time.Second, Patience: 5 * time.Minute, Alone: time.Second,
		Rejoin: time.Second, Farewell: 5 * time.Second, Tries: 5, MaxUnknown: 64 << 30}
}

// Validate names every required field that is missing.
func (c Config) Validate() error {
	var missing []error
	for name, absent := range map[string]bool{"Store": c.Store == nil, "Source": c.Source == nil, "Identify": c.Identify == nil,
		"NewPeer": c.NewPeer == nil, "Redact": c.Redact == nil} {
		if absent {
			missing = append(missing, errors.New(name+" is missing"))
		}
	}
	if c.Tries < 1 || c.Alone <= 0 || c.Patience <= 0 || c.Rejoin <= 0 || c.Farewell <= 0 {
		missing = append(missing, errors.New("the limits Tries, Alone, Patience, Rejoin and Farewell must be positive"))
	}
	if c.MaxUnknown < 0 {
		missing = append(missing, errors.New("MaxUnknown cannot be negative"))
	}
	if err := errors.Join(append(missing, c.Pick.Validate())...); err != nil {
		return &darter.Error{Kind: darter.Invalid, Op: "configure fetch", Err: err, Hint: "start from fetch.DefaultConfig"}
	}
	return nil
}

// Events tells what happens, for logs and metrics. Every field may be nil. They are called from the
// download's own goroutines and must not block.
type Events struct {
	Started  func(Begun)
	Ended    func(Ended)
	Piece    func(darter.TaskID, darter.Piece)                       // a piece was committed
	Failed   func(darter.TaskID, darter.PeerID, FailReason)          // an ask of a parent failed
	Fallback func(darter.TaskID, FallbackReason)                     // the source is asked without the scheduler's word
	Source   func(url string, took time.Duration, err error)         // one request to the source ended
	Lost     func(task darter.TaskID, peer darter.PeerID, err error) // a conversation with a scheduler broke
}

// Begun says that a download started.
type Begun struct {
	Task darter.TaskID
	Peer darter.PeerID
	URL  string // redacted
	Want darter.Want
	Held int // pieces that were here
}

// Ended says how a download ended.
type Ended struct {
	Task      darter.TaskID
	Peer      darter.PeerID
	URL       string // redacted
	Want      darter.Want
	Bytes     [3]int64 // by darter.Traffic
	Took      time.Duration
	Err       error // nil when everything wanted is here
	Abandoned bool  // nobody waited any more
}

// FailReason says why an ask of a parent failed.
type FailReason string

// Reasons of failed asks.
const (
	Stalled    FailReason = "stalled"
	Silent     FailReason = "silent" // no sign of life
	BadBytes   FailReason = "bad_bytes"
	Gone       FailReason = "unreachable"
	NotThere   FailReason = "not_held"
	OldVersion FailReason = "other_version"
	Ceased     FailReason = "ceased" // the parent was receiving the piece itself, and did not get it
)

// FallbackReason says why the source was asked without the scheduler's word, or peers without the source's.
type FallbackReason string

// Reasons of fallback.
const (
	NoScheduler FallbackReason = "no_scheduler"
	Starved     FallbackReason = "starved"
	BadDigest   FallbackReason = "bad_digest"
	NoSource    FallbackReason = "no_source" // the source does not answer, peers serve
)

func call[A any](f func(A), a A) {
	if f != nil {
		f(a)
	}
}
