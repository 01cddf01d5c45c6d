package fetch

import (
	"context"
	"net/netip"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// Scheduler is what fetch needs of the scheduler of a task. Implemented over gRPC by daemon/rpc.
type Scheduler interface {
	// Register opens the conversation about one task and sends the registration. It returns once the
	// message is on its way; ctx bounds the whole conversation. A scheduler that cannot be reached is
	// darter.Unavailable, within a few seconds at most.
	Register(ctx context.Context, r darter.Registration) (Conversation, error)
	// Length returns the length in bytes of a content that some peer can serve; darter.NotFound when
	// there is none.
	Length(ctx context.Context, t darter.TaskID) (int64, error)
}

// Conversation is one open AnnouncePeer stream. Methods are safe for concurrent use.
type Conversation interface {
	// Advice yields what the scheduler says. It is closed when the conversation ended, and Err tells why.
	Advice() <-chan darter.Advice
	Err() error
	// Report tells the scheduler something. It never blocks: reports queue up to a limit, past which the
	// conversation is given up (Err says so), because a scheduler that does not read is as good as dead.
	Report(darter.Report)
	// Finish sends the terminal message after all queued reports, and waits until the scheduler has closed
	// the stream or ctx ends.
	Finish(ctx context.Context, o darter.Outcome) error
	// Close abandons the conversation without a word.
	Close()
}

// Neighbours is what fetch needs of other daemons. Implemented over gRPC and vortex by daemon/rpc.
type Neighbours interface {
	// Watch reports which of the wanted pieces p holds, as it gets them, until ctx ends, p has
	// reported all of them (nil), or the link breaks. A parent that holds another version of the content
	// is darter.Conflict, one that does not hold the task darter.NotFound, and one that says that it cannot go on
	// darter.Denied: these are well. heard is called from one goroutine.
	Watch(ctx context.Context, t darter.TaskID, version string, p darter.Parent, wanted darter.PieceSet, heard func(darter.Holding)) error
	// Alive asks p for a sign of life and returns nil as soon as it gives one, of whatever kind.
	Alive(ctx context.Context, p darter.Parent) error
	// Fetch asks for one piece and writes it to w as it arrives, without committing. progress is called with the number of
	// bytes received so far, at least once per 256 KiB. The returned piece carries number,
	// offset, length and CRC as the parent states them; fetch checks them.
	Fetch(ctx context.Context, t darter.TaskID, n uint32, from netip.AddrPort, span darter.Span, w store.PieceWriter, progress func(int64)) (darter.Piece, error)
	// Relay is Fetch for a piece that the parent may still be receiving, from an offset on. sole says that no other parent
	// is known to have it. What it writes was checked on its way and is good whatever the end, but for darter.Conflict: the
	// piece turned out wrong at the parent. It is darter.NotFound when the parent ceased to receive it, and darter.Denied when the
	// parent broke off because of pieces that only it can serve.
	Relay(ctx context.Context, t darter.TaskID, n uint32, from netip.AddrPort, span darter.Span, offset int64, sole bool, w store.PieceWriter, progress func(int64)) (darter.Piece, error)
}
