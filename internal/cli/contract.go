package cli

import (
	"context"
	"errors"
	"time"

	"github.com/darter-p2p/darter"
)

// Getter fetches content: a daemon over its socket, or an engine inside this process.
type Getter interface {
	// Get fetches what w names. With Want.OutputPath the content is written there, complete and checked
	// against Want.Digest when it returns nil. With Want.NeedContent the bytes go to the sink instead.
	// The end of ctx ends it; what arrived stays in the content store.
	Get(ctx context.Context, w darter.Want, s Sink) (Result, error)
	// Writes reports whether Want.OutputPath can work: whether the other side writes files as this user.
	Writes() bool
	Close() error
}

// Sink hears how one Get goes on, from one goroutine at a time. Every field may be nil.
type Sink struct {
	// Started is called once, before any piece.
	Started func(Start)
	// Piece is called once per piece of the wanted range that is here. With Want.NeedContent, content holds the
	// whole piece, also where the range wants only a part of it; it is valid during the call. An error ends the Get.
	Piece func(p darter.Piece, content []byte) error
}

// Start is what is known when pieces begin to come.
type Start struct {
	Task   darter.TaskID
	Length int64         // bytes of the whole content
	Range  *darter.Range // what was asked for, resolved against Length; nil means everything
	Held   bool          // everything was here before
}

// Result is what a Get ends with.
type Result struct {
	Task   darter.TaskID
	Length int64             // bytes of the whole content
	Header map[string]string // the source's answer, where it is known
}

// LocalTask is one task in the content store of this machine's daemon.
type LocalTask struct {
	ID          darter.TaskID `json:"id"`
	Length      int64         `json:"length"`
	PieceLength int64         `json:"piece_length"`
	Complete    bool          `json:"complete"`
	Uploading   uint64        `json:"uploading"`
	Uploaded    uint64        `json:"uploaded"`
	Created     time.Time     `json:"created"`
	Updated     time.Time     `json:"updated"`
}

// Daemon is this machine's daemon, seen through its socket.
type Daemon interface {
	Getter
	// Health returns nil when the daemon serves.
	Health(ctx context.Context) error
	// Schedulers returns host:port of those that the daemon asks; nil when it does not say, as one of Dragonfly's.
	Schedulers(ctx context.Context) ([]string, error)
	// Tasks lists what the store holds.
	Tasks(ctx context.Context) ([]LocalTask, error)
	// Task returns one of them, darter.NotFound when it is not held.
	Task(ctx context.Context, id darter.TaskID) (LocalTask, error)
}

// ClusterTask is a task as its scheduler knows it.
type ClusterTask struct {
	ID        darter.TaskID `json:"id"`
	URL       string        `json:"url"`
	State     string        `json:"state"`
	Length    int64         `json:"length"`
	Pieces    uint32        `json:"pieces"`
	Peers     uint32        `json:"peers"`
	Available bool          `json:"available"` // somebody can serve it
	Created   time.Time     `json:"created"`
	Updated   time.Time     `json:"updated"`
}

// Cluster is a scheduler, asked from outside.
type Cluster interface {
	Hosts(ctx context.Context) ([]darter.Host, error)
	Task(ctx context.Context, id darter.TaskID) (ClusterTask, error)
	Roster
	Close() error
}

// Roster is what a scheduler of ours tells of its hosts. One of Dragonfly's answers ErrPlainScheduler.
type Roster interface {
	HostTable(ctx context.Context) ([]darter.HostStatus, error)
	// HostStatus also knows hosts of which only a tombstone is left; darter.NotFound else.
	HostStatus(ctx context.Context, id darter.HostID) (darter.HostStatus, error)
	// HostEvents calls each for every event after the number, oldest first; an empty id means all hosts. With follow it
	// goes on until ctx ends or each fails.
	HostEvents(ctx context.Context, id darter.HostID, after uint64, follow bool, each func(darter.HostEvent) error) error
	// Zones also returns the scheduler's own health: 1 is well, 8 is the worst.
	Zones(ctx context.Context) ([]darter.ZoneStatus, float64, error)
	Policy(ctx context.Context) (darter.PolicyStatus, error)
}

// Operator is a scheduler behind its own socket, which takes orders about hosts.
type Operator interface {
	DrainHost(ctx context.Context, id darter.HostID, undo bool, why string) (darter.HostStatus, error)
	ForgetHost(ctx context.Context, id darter.HostID, force bool, why string) (darter.HostStatus, error)
	ReleaseZone(ctx context.Context, zone string, confirm bool, lift time.Duration, why string) (darter.ZoneStatus, error)
	Close() error
}

// ErrPlainScheduler tells that a scheduler has no words for what was asked.
var ErrPlainScheduler = errors.New("this scheduler is not one of ours and does not tell")

// StandaloneOptions is what an engine inside this process needs to know.
type StandaloneOptions struct {
	DataDir   string      // where the content store lies
	CAFile    string      // further authorities trusted for sources
	Insecure  bool        // do not verify the source's certificate
	LimitRate darter.Size // bytes per second from anywhere; 0 is unlimited
}
