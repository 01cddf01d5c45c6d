package liveness

import (
	"net/netip"
	"time"

	"github.com/darter-p2p/darter"
)

// Evidence is what a roster is told. The set is closed.
type Evidence interface{ evidence() }

type (
	// Announced: a host says that it is there and what it is.
	Announced struct {
		Host     darter.HostID
		Epoch    darter.Epoch // 0 for a plain Dragonfly daemon
		Native   bool         // one of our own daemons
		Interval time.Duration
		Zone     Zone
		Conn     uint64         // number of the connection that it came on, growing; 0 when not known
		Addr     netip.AddrPort // where it serves
		Storage  string         // name of its content store; empty when it does not say
	}
	// Renewed: a host renews its lease. Renew does the same in most cases, at less cost.
	Renewed struct {
		Host  darter.HostID
		Epoch darter.Epoch
		Conn  uint64
	}
	// Heard: any other word of a host.
	Heard struct{ Host darter.HostID }
	// Served: a child says that it has a piece from the host.
	Served struct{ Host, By darter.HostID }
	// Leave: a host takes its leave. Draining means soon: it takes nothing new on, and finishes what runs.
	Leave struct {
		Host     darter.HostID
		Epoch    darter.Epoch
		Conn     uint64
		Draining bool
	}
	// StreamReset: a stream of the host broke without a leave.
	StreamReset struct {
		Host darter.HostID
		Conn uint64
	}
	// ChildFailed: a child could not reach the host.
	ChildFailed struct{ Host, By darter.HostID }
	// Hinted: somebody outside says that the machine is gone.
	Hinted struct{ Host darter.HostID }
	// Probed: the answer to a Probe.
	Probed struct {
		Host darter.HostID
		OK   bool
	}

	// Restored: the host was known before this process started. How old that is, nobody knows.
	Restored struct {
		Announced
		Drained bool // an operator wanted it drained
	}
	// Buried: so was the tombstone of one that was gone. They come oldest first, before the Restarted.
	Buried struct{ Tombstone }
	// Restarted: this process has begun. It comes after the Restored ones.
	Restarted struct{}
	// Health: facts about this process. Zero values are good news.
	Health struct {
		Lag       time.Duration // how late the event loop was
		Jumped    bool          // the clock was set, or the process stood still
		Throttled bool          // it did not get the processor time it wanted
	}
	// PolicyChanged: another policy is to be in force.
	PolicyChanged struct{ Policy Policy }
	// Tick: time passed.
	Tick struct{}

	// Drain: an operator wants a host to take nothing new on, or no longer wants that.
	Drain struct {
		Host darter.HostID
		Undo bool
	}
	// Forget: an operator wants a host forgotten without waiting. It must be offline, and the guard allow it; Force goes past
	// both.
	Forget struct {
		Host  darter.HostID
		Force bool
	}
	// Confirm: an operator says that the hosts of a zone that are down are gone, until the zone recovers.
	Confirm struct {
		Zone Zone
		All  bool // every zone that is guarded, and a fault sought here
	}
	// Override: an operator takes the guard off a zone for a time, or puts it back on: then Until is zero.
	Override struct {
		Zone  Zone
		All   bool
		Until time.Time
	}
)

func (Announced) evidence()     {}
func (Renewed) evidence()       {}
func (Heard) evidence()         {}
func (Served) evidence()        {}
func (Leave) evidence()         {}
func (StreamReset) evidence()   {}
func (ChildFailed) evidence()   {}
func (Hinted) evidence()        {}
func (Probed) evidence()        {}
func (Buried) evidence()        {}
func (Restarted) evidence()     {}
func (Health) evidence()        {}
func (PolicyChanged) evidence() {}
func (Tick) evidence()          {}
func (Drain) evidence()         {}
func (Forget) evidence()        {}
func (Confirm) evidence()       {}
func (Override) evidence()      {}
