package disk

import (
	"errors"
	"time"

	"github.com/darter-p2p/darter"
)

// Config is where a Store lives and whom it tells.
type Config struct {
	Dir       string // folder of the store; made when missing; required
	IdleFiles int    // files kept open though nobody uses them; default 64, at least 0
	Events    Events // what happens inside, for metrics and the log
}

// DefaultConfig leaves Dir to be filled in.
func DefaultConfig() Config { return Config{IdleFiles: 64} }

// Validate tells what is missing.
func (c Config) Validate() error {
	fail := func(text string) error {
		return &darter.Error{Kind: darter.Invalid, Op: "open store", Err: errors.New(text)}
	}
	if c.Dir == "" {
		return fail("no folder was given")
	}
	if c.IdleFiles < 0 {
		return fail("the number of idle files is negative")
	}
	return nil
}

// Reason tells why a folder was not adopted as it was.
type Reason string

// Reasons to put a task aside, or to say something about it, while the store opens.
const (
	Unfinished  Reason = "unfinished"   // a crash came while the task was being created
	BadSidecar  Reason = "bad sidecar"  // the header is damaged or names another task
	BadData     Reason = "bad data"     // the data file is missing or of the wrong length
	NewerFormat Reason = "newer format" // written by a later version; left in place, not used
	Unreadable  Reason = "unreadable"   // the file system refuses to read it; left in place, not used
)

// Quarantined is a task that was found but not adopted.
type Quarantined struct {
	ID     darter.TaskID
	Reason Reason
	Err    error
}

// Dropped are pieces whose bytes did not match their record when they were checked after a crash.
type Dropped struct {
	ID     darter.TaskID
	Pieces darter.PieceSet
	Bytes  int64
}

// Mended is a sidecar with damaged records. They are skipped, and their pieces fetched again.
type Mended struct {
	ID      darter.TaskID
	Records int
}

// Adopted sums up what Open found.
type Adopted struct {
	Tasks    int
	Complete int
	Bytes    int64 // of held pieces, without those still to be checked
	Suspect  int   // tasks with pieces to be checked
	Took     time.Duration
}

// Events are called when something happened; a nil function is not called. They must not call the store
// back, and may be called from several goroutines at once.
type Events struct {
	Quarantined func(Quarantined)
	Dropped     func(Dropped)
	Mended      func(Mended)
	Adopted     func(Adopted)
}

func (e Events) quarantined(v Quarantined) {
	if e.Quarantined != nil {
		e.Quarantined(v)
	}
}

func (e Events) dropped(v Dropped) {
	if e.Dropped != nil {
		e.Dropped(v)
	}
}

func (e Events) mended(v Mended) {
	if e.Mended != nil {
		e.Mended(v)
	}
}

func (e Events) adopted(v Adopted) {
	if e.Adopted != nil {
		e.Adopted(v)
	}
}
