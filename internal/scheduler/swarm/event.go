package swarm

import "github.com/darter-p2p/darter"

// Event is something that happened. The set is closed.
type Event interface{ event() }

// Fault is how an attempt at the source went wrong.
type Fault struct {
	Status int    // HTTP status of the origin; 0 when it did not answer
	Text   string // one line for people
}

type (
	// HostAnnounced: a host says that it is there.
	HostAnnounced struct{ Host darter.Host }
	// HostVerdict: liveness says how a host is. An Epoch of another run than the announced one is ignored.
	HostVerdict struct {
		Host    darter.HostID
		Epoch   darter.Epoch
		Verdict darter.Verdict
		Reason  string
	}
	// InventoryPage: a host says what it holds, and no longer holds, apart from what was known of it. Complete says that
	// from now on all that is known of it is right.
	InventoryPage struct {
		Host     darter.HostID
		Epoch    darter.Epoch
		Add      []darter.Location
		Remove   []darter.TaskID
		Complete bool
	}

	// Registered: a peer opened its stream. Want carries the layout and no headers; Held is what it has already.
	Registered struct {
		Host darter.HostID
		Peer darter.PeerID
		Task darter.TaskID
		Want darter.Want
		Held darter.PieceSet
	}
	// PeerStarted: it fetches from parents.
	PeerStarted struct{ Peer darter.PeerID }
	// SourceStarted: it fetches from the source.
	SourceStarted struct{ Peer darter.PeerID }
	// PieceDone: it has one more piece.
	PieceDone struct {
		Peer    darter.PeerID
		Piece   uint32
		Parent  darter.PeerID
		Traffic darter.Traffic
	}
	// PieceFailed: a parent did not give it a piece. Only a temporary failure blocks the parent; the API names it so.
	// Missing says that the parent holds nothing of the task although it was believed to: that belief ends for all.
	PieceFailed struct {
		Peer, Parent darter.PeerID
		Piece        uint32
		Temporary    bool
		Missing      bool
	}
	// PieceSourceFailed: the source did not give it a piece.
	PieceSourceFailed struct {
		Peer  darter.PeerID
		Piece uint32
		Fault Fault
	}
	// Rescheduled: its parents do not suffice. Lost names those it had in mind; a plain Dragonfly client names all it was given.
	Rescheduled struct {
		Peer darter.PeerID
		Lost []darter.PeerID
	}
	// PeerFinished: every wanted piece is there, the last from parents.
	PeerFinished struct{ Peer darter.PeerID }
	// SourceFinished: every wanted piece is there, the last from the source.
	SourceFinished struct{ Peer darter.PeerID }
	// PeerFailed: it gave up.
	PeerFailed struct{ Peer darter.PeerID }
	// SourceFailed: it gave up because of the source.
	SourceFailed struct {
		Peer  darter.PeerID
		Fault Fault
	}
	// StreamEnded: its stream is over, with or without a terminal message before.
	StreamEnded struct{ Peer darter.PeerID }

	// SeedFailed: a trigger ended in an error.
	SeedFailed struct {
		Task  darter.TaskID
		Host  darter.HostID
		Fault Fault
	}
	// SeedDone: a trigger ended well.
	SeedDone struct {
		Task darter.TaskID
		Host darter.HostID
	}
	// SeedHealth: a health check of a seed changed its answer.
	SeedHealth struct {
		Host darter.HostID
		OK   bool
	}

	// TaskDeleted: a host no longer holds a task.
	TaskDeleted struct {
		Host darter.HostID
		Task darter.TaskID
	}
	// PeerDeleted: a host takes one peer back.
	PeerDeleted struct{ Peer darter.PeerID }
	// Restarted: the hosts are known from before, the tasks are not.
	Restarted struct{}
	// Tick: time passed; due deadlines are looked at.
	Tick struct{}
)

func (HostAnnounced) event()     {}
func (HostVerdict) event()       {}
func (InventoryPage) event()     {}
func (Registered) event()        {}
func (PeerStarted) event()       {}
func (SourceStarted) event()     {}
func (PieceDone) event()         {}
func (PieceFailed) event()       {}
func (PieceSourceFailed) event() {}
func (Rescheduled) event()       {}
func (PeerFinished) event()      {}
func (SourceFinished) event()    {}
func (PeerFailed) event()        {}
func (SourceFailed) event()      {}
func (StreamEnded) event()       {}
func (SeedFailed) event()        {}
func (SeedDone) event()          {}
func (SeedHealth) event()        {}
func (TaskDeleted) event()       {}
func (PeerDeleted) event()       {}
func (Restarted) event()         {}
func (Tick) event()              {}
