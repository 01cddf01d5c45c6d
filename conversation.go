package darter

import "net/netip"

// Registration is a peer's first word about a task.
type Registration struct {
	Task TaskID
	Peer PeerID
	Want Want     // Layout and LayoutKnown filled in
	Held PieceSet // pieces that are here already
}

// AdviceKind is what a scheduler's message asks for.
type AdviceKind uint8

// Kinds of advice.
const (
	UseParents   AdviceKind = iota // fetch from these neighbours, in addition to earlier ones
	GoToSource                     // fetch from the source
	EmptyContent                   // nothing to fetch
	Recorded                       // a metadata-only registration was taken
	Silent                         // not the scheduler's word: it gives no sign of life for now
)

// Advice is one message of the scheduler.
type Advice struct {
	Kind    AdviceKind
	Parents []Parent // for UseParents
	// Pieces limits GoToSource to the pieces named; AllPieces means every missing one, as plain
	// Dragonfly schedulers mean it.
	Pieces    PieceSet
	AllPieces bool
}

// ReportKind is what a peer tells its scheduler.
type ReportKind uint8

// Kinds of report.
const (
	Started           ReportKind = iota // fetching from parents begins
	SourceStarted                       // fetching from the source begins
	PieceDone                           // Piece arrived, from a parent, the source or the local store
	PieceFailed                         // Piece.Number could not be had from Piece.Parent
	PieceSourceFailed                   // Piece.Number could not be had from the source (Err)
	NeedOthers                          // the parents do not suffice: Lost names those that really failed
)

// Report is one message to the scheduler.
type Report struct {
	Kind  ReportKind
	Piece Piece
	Lost  []Parent
	// Missing says with PieceFailed that the parent answered, and that it does not hold what it was believed to hold.
	Missing bool
	// Answered says with NeedOthers that those who are lost answered: they cannot go on, and are well.
	Answered bool
	Err      error
}

// Outcome is how a peer's part ended.
type Outcome struct {
	Err        error // nil when every wanted piece is here
	FromSource bool  // the last pieces came from the source
}

// Holding says that a parent has a piece, or will, and where to ask for it.
type Holding struct {
	Number   uint32
	From     netip.AddrPort // vortex TCP endpoint
	Arriving bool           // the parent is still receiving it, and passes on what it has
	Relays   bool           // the parent can send a piece from an offset on
}
