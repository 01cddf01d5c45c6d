package store

import (
	"context"
	"io"
	"time"

	"github.com/darter-p2p/darter"
)

// Meta is what is known of a task when its place in the store is made. It never changes afterwards.
// It holds no credentials: URL has neither user information nor filtered query parameters, and Header
// is the source's answer, never the request.
type Meta struct {
	ID          darter.TaskID
	URL         string
	Layout      darter.Layout
	Version     string            // what the source said identifies these bytes (package source); empty when it said nothing
	Header      map[string]string // the source's response headers worth keeping
	Digest      darter.Digest     // expected digest of the whole; empty when unknown
	Tag         string
	Application string
	Created     time.Time
}

// State is where a task stands in the store.
type State uint8

// States of a stored task.
const (
	Partial  State = iota // some pieces may be missing
	Complete              // every piece is here and, where a digest is known, it matched
)

func (s State) String() string {
	if s == Complete {
		return "complete"
	}
	return "partial"
}

// Info is a snapshot of one stored task.
type Info struct {
	Meta
	State    State
	Pieces   darter.PieceSet // held, each checked when it was written
	Held     int64           // bytes of the held pieces
	LastRead time.Time
	Finished time.Time // zero while Partial
}

// Usage is the room a store takes and has.
type Usage struct {
	Tasks int
	Held  int64 // bytes of all held pieces
	Free  int64 // bytes free on the file system; -1 when unknown
}

// Store keeps content. All methods are safe for concurrent use.
type Store interface {
	// Create makes room for a task, or returns the one that is here when its Layout and Version are the
	// same. A task here with another Layout or Version is a darter.Conflict; a full or read-only
	// disk is darter.NoSpace or darter.Unavailable.
	Create(Meta) (Task, error)
	// Open returns a task that is here, else darter.NotFound.
	Open(darter.TaskID) (Task, error)
	// List returns a snapshot of every task, ordered by id.
	List() []Info
	// Remove deletes a task. Readers that are open keep their bytes until they close; writers fail with
	// darter.NotFound. Removing what is not here is darter.NotFound.
	Remove(darter.TaskID) error
	Usage() Usage
	// Close writes what is pending. Tasks must not be used afterwards.
	Close() error
}

// Task is one content in the store. All methods are safe for concurrent use.
type Task interface {
	Meta() Meta
	Info() Info
	State() State
	Has(n uint32) bool
	Pieces() darter.PieceSet // an independent copy
	// Arriving returns the pieces that are being written and have bytes that can be followed.
	Arriving() darter.PieceSet
	// Left returns how many bytes of a piece a writer left, and nobody went on from yet.
	Left(n uint32) int64
	// Piece returns the record of a held piece.
	Piece(n uint32) (darter.Piece, bool)

	// Writer opens piece n for writing. Several writers may be open for one piece (hedged requests):
	// the first to commit wins, and no writer can damage bytes that another committed. One of them at a time can be
	// followed: the first that writes, and after its end the next that has more than it left.
	// A piece that is held already is a darter.Conflict.
	Writer(n uint32) (PieceWriter, error)

	// OpenPiece opens a held piece for sending; darter.NotFound when it is not held. The bytes stay readable until Close,
	// also when the task is removed meanwhile.
	OpenPiece(n uint32) (PieceReader, error)
	// Follow opens a piece that is held or being written for reading as it comes, or what a writer left of it;
	// darter.NotFound when there is nothing.
	Follow(n uint32) (Follower, error)
	// ReadAt reads bytes of held pieces; a read that touches a missing piece returns the bytes before it
	// and darter.NotFound, one past the end io.EOF.
	io.ReaderAt

	// Changed returns a channel that is closed at the next change: a piece began to arrive, ceased to, or was
	// committed, the task completed or removed. Ask again after each wake-up; take the channel before looking at the state.
	Changed() <-chan struct{}
	// Removed reports whether the task was removed from the store.
	Removed() bool

	// Finish checks that every piece is here and that the digest (the one given, else Meta's) matches the
	// bytes, and moves the task to Complete. A mismatch is darter.Corrupt, and the
	// task stays Partial. Finishing a complete task only checks a digest that was not checked before.
	Finish(darter.Digest) error
	// Sync makes what Finish found durable: from then on the task stays complete through a crash. It is quick when there
	// is nothing to save. When it fails, the task is Partial again. Close syncs what was not.
	Sync() error
	// Drop forgets pieces, so that they are fetched again.
	Drop(darter.PieceSet) error

	// Link makes path a second name of the complete content (hard link). CopyTo writes it to a new file,
	// by reflink where the file system can. Both refuse an existing path with darter.Conflict.
	Link(path string) error
	CopyTo(path string) error
}

// PieceWriter receives the bytes of one piece, in order from its first.
type PieceWriter interface {
	io.Writer // fails with darter.Conflict once another writer has committed the piece
	// Commit records the piece when exactly its length was written and, if expected is not nil, the CRC-32
	// (IEEE) matches; otherwise darter.Corrupt. Of p only Parent, Traffic, Cost and Created are used. When
	// another writer committed first, it returns that one's record and darter.Conflict.
	Commit(expected *uint32, p darter.Piece) (darter.Piece, error)
	// Resume has the writer go on from what an earlier one left, and returns how many bytes that is: the first Write
	// goes on after them, or is darter.Conflict when another writer was first to do so. Until then they are there for
	// others. A first Write of nothing takes them over. Resume is called before it, or not at all.
	Resume() int64
	// Leave gives up, but keeps the bytes for a writer that resumes. Only what whoever sent them vouched for
	// should be left. They do not outlive the process.
	Leave()
	// Abort gives up. It is safe to call after Commit or Leave, where it does nothing.
	Abort()
}

// Follower reads a piece while it is being written. It is used by one goroutine.
type Follower interface {
	// Next fills b with the bytes of the piece from off on, and waits for them if need be; near the end of the
	// piece, or of what the writer left, with as many as there are. At the end it waits until the piece is held, and is io.EOF
	// then. It is darter.Unavailable when the writer left no more, darter.Corrupt when it aborted, so that what came before may be
	// worthless, darter.NotFound when the task was removed, and the context's cause when ctx ends.
	Next(ctx context.Context, b []byte, off int64) (int, error)
	// Piece returns the record of the piece once it is held.
	Piece() (darter.Piece, bool)
	io.Closer
}

// PieceReader is an open piece. Body yields exactly Piece.Length bytes. For a store on disk, Body is an
// *io.LimitedReader over an *os.File, so that io.Copy(tcpConn, r.Body) uses sendfile.
type PieceReader struct {
	Piece darter.Piece
	Body  io.Reader
	io.Closer
}
