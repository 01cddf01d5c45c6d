package swarm

import (
	"fmt"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
)

// Effect is something the caller is to do. The set is closed; String is what transcripts show.
type Effect interface {
	fmt.Stringer
	effect()
}

// Neighbour is a candidate parent. Host is a record that never changes: an announce makes a new one.
type Neighbour struct {
	Peer  darter.PeerID
	Host  *darter.Host
	State string
}

type (
	// Offer: tell a peer of parents, in addition to earlier ones.
	Offer struct {
		Task    darter.TaskID
		Peer    darter.PeerID
		Parents []Neighbour
		// Suspects is how many of the parents are on hosts that may be dead: there is nobody else for some pieces.
		Suspects int
	}
	// GoToSource: tell a peer to fetch pieces from the source, in addition to earlier ones. All tells a plain
	// Dragonfly client, which takes every missing piece; Pieces is then what the swarm counts on.
	GoToSource struct {
		Task   darter.TaskID
		Peer   darter.PeerID
		Kind   darter.HostKind
		Pieces darter.PieceSet
		All    bool
		Reason string
	}
	// Empty: tell a peer that there is nothing to fetch.
	Empty struct{ Peer darter.PeerID }
	// Recorded: tell a peer that its metadata-only registration was taken.
	Recorded struct{ Peer darter.PeerID }
	// TriggerSeed: have a seed fetch the task, with the request of peer For.
	TriggerSeed struct {
		Task   darter.TaskID
		Host   *darter.Host
		For    darter.PeerID
		Reason string
	}
	// CloseStream: end a peer's stream with an error.
	CloseStream struct {
		Peer   darter.PeerID
		Kind   darter.Kind
		Reason string
		Hint   string
		Status int // of the origin, when that is the cause
	}
	// Forgot: a host is no longer known.
	Forgot struct {
		Host   darter.HostID
		Reason string
	}
	// Reclaimed: nothing is left of a host that was forgotten; so much there was.
	Reclaimed struct {
		Host             darter.HostID
		Peers, Locations int
	}
	// InventoryTaken: a page was taken in. Known is how many locations the host has now, Refused how many items made no
	// sense or were too many for one page. Before Resume no host should be asked for more.
	InventoryTaken struct {
		Host                           darter.HostID
		Added, Removed, Refused, Known int
		Resume                         time.Time
	}
	// Disproved: a child found that a host does not hold what it was believed to hold.
	Disproved struct {
		Host darter.HostID
		Task darter.TaskID
		By   darter.HostID
	}
	// Repaired: the auditor found the records at odds with one another, and mended them.
	Repaired struct{ Kind, What string }
	// Wake: send a Tick at this time. A later Wake replaces it.
	Wake struct{ At time.Time }
)

func (Offer) effect()       {}
func (GoToSource) effect()  {}
func (Empty) effect()       {}
func (Recorded) effect()    {}
func (TriggerSeed) effect() {}
func (CloseStream) effect() {}
func (Forgot) effect()      {}
func (Wake) effect()        {}

func (Reclaimed) effect()      {}
func (InventoryTaken) effect() {}
func (Disproved) effect()      {}
func (Repaired) effect()       {}

func (e Offer) String() string {
	names := make([]string, len(e.Parents))
	for i, p := range e.Parents {
		names[i] = string(p.Peer)
	}
	last := ""
	if e.Suspects > 0 {
		last = fmt.Sprintf(" (%d for want of another)", e.Suspects)
	}
	return fmt.Sprintf("offer %s: %s%s", e.Peer, strings.Join(names, " "), last)
}

func (e GoToSource) String() string {
	all := ""
	if e.All {
		all = " and all it misses"
	}
	return fmt.Sprintf("source %s: pieces %s%s (%s)", e.Peer, e.Pieces, all, e.Reason)
}

func (e Empty) String() string    { return fmt.Sprintf("empty %s", e.Peer) }
func (e Recorded) String() string { return fmt.Sprintf("recorded %s", e.Peer) }
func (e TriggerSeed) String() string {
	return fmt.Sprintf("trigger %s for %s (%s)", e.Host.ID, e.For, e.Reason)
}
func (e Forgot) String() string { return fmt.Sprintf("forget host %s: %s", e.Host, e.Reason) }
func (e Reclaimed) String() string {
	return fmt.Sprintf("reclaimed host %s: %d peers, %d locations", e.Host, e.Peers, e.Locations)
}
func (e InventoryTaken) String() string {
	return fmt.Sprintf("inventory of %s: %d added, %d removed, %d refused, %d known", e.Host, e.Added, e.Removed, e.Refused, e.Known)
}
func (e Disproved) String() string {
	return fmt.Sprintf("disproved: %s does not hold %s, says %s", e.Host, e.Task, e.By)
}
func (e Repaired) String() string { return fmt.Sprintf("repaired %s: %s", e.Kind, e.What) }
func (e Wake) String() string     { return "wake at " + e.At.Format(time.TimeOnly) }
func (e CloseStream) String() string {
	return fmt.Sprintf("close %s: %s, %s", e.Peer, e.Kind, e.Reason)
}
