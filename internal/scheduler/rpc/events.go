package rpc

import (
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/liveness"
	"github.com/darter-p2p/darter/internal/scheduler/swarm"
)

// Events are told what happened, for metrics and logs. Nil functions are skipped. None may block.
type Events struct {
	HostAnnounced  func(HostAnnounced)
	HostLeft       func(HostLeft)
	PeerRegistered func(PeerRegistered)
	PeerStarted    func(PeerStarted)
	PieceFinished  func(PieceFinished)
	PieceFailed    func(PieceFailed)
	PeerFinished   func(PeerFinished)
	Rescheduled    func(Rescheduled)
	Offered        func(Offered)
	SourceAssigned func(SourceAssigned)
	SeedTriggered  func(SeedTriggered)
	SeedEnded      func(SeedEnded)
	SeedHealth     func(SeedHealth)
	StreamClosed   func(StreamClosed)
	Called         func(Called)

	// What liveness decided, and what came of it.
	Verdict        func(liveness.Verdict)
	Noted          func(liveness.Noted)
	GuardChanged   func(liveness.GuardChanged)
	HealthChanged  func(liveness.HealthChanged)
	PolicyApplied  func(PolicyApplied)
	Probed         func(Probed)
	Sliced         func(Slice)
	Ordered        func(Ordered)
	Reclaimed      func(swarm.Reclaimed)
	Repaired       func(swarm.Repaired)
	Disproved      func(swarm.Disproved)
	InventoryTaken func(swarm.InventoryTaken)
	Lease          LeaseEvents
}

type (
	// HostAnnounced: a host announced itself. Err tells why it was not taken.
	HostAnnounced struct {
		Host darter.Host
		New  bool
		Err  error
	}
	// HostLeft: a host is gone; Reason is "left", "gone" or why it was given up.
	HostLeft struct {
		Host   darter.HostID
		Reason string
	}
	// PeerRegistered: a peer registered. Err tells why it was not taken.
	PeerRegistered struct {
		Task     darter.TaskID
		Peer     darter.PeerID
		Host     darter.HostID
		Kind     darter.HostKind
		Priority darter.Priority
		Took     time.Duration // from message to decision
		Err      error
	}
	// PeerStarted: a peer began to fetch, from the source or from parents.
	PeerStarted struct {
		Kind       darter.HostKind
		Priority   darter.Priority
		FromSource bool
	}
	// PieceFinished: a peer got a piece.
	PieceFinished struct {
		Host    darter.HostID
		Kind    darter.HostKind
		Traffic darter.Traffic
		Bytes   int64
	}
	// PieceFailed: a peer could not get a piece from a parent or, with FromSource, from the source.
	PieceFailed struct {
		Kind       darter.HostKind
		FromSource bool
	}
	// PeerFinished: a peer's part is over.
	PeerFinished struct {
		Task       darter.TaskID
		Peer       darter.PeerID
		Kind       darter.HostKind
		Priority   darter.Priority
		FromSource bool
		OK         bool
		Length     int64 // of the content; 0 when unknown
		Took       time.Duration
	}
	// Rescheduled: a peer asked for other parents.
	Rescheduled struct {
		Kind darter.HostKind
		Lost int
	}
	// Offered: a peer was told of parents.
	Offered struct{ Parents int }
	// SourceAssigned: a peer was sent to the source.
	SourceAssigned struct {
		Task   darter.TaskID
		Peer   darter.PeerID
		Kind   darter.HostKind
		Pieces int
		Reason string
	}
	// SeedTriggered: a seed was asked to fetch.
	SeedTriggered struct {
		Task   darter.TaskID
		Host   darter.HostID
		Reason string
	}
	// SeedEnded: such a request ended.
	SeedEnded struct {
		Task darter.TaskID
		Host darter.HostID
		Took time.Duration
		Err  error
	}
	// SeedHealth: a seed became well or unwell.
	SeedHealth struct {
		Host darter.HostID
		OK   bool
		Err  error
	}
	// StreamClosed: the scheduler ended a peer's stream.
	StreamClosed struct {
		Peer   darter.PeerID
		Kind   darter.Kind
		Reason string
	}
	// Probed: a host in doubt was asked. Err tells why it does not count as well.
	Probed struct {
		Host darter.HostID
		OK   bool
		Err  error
	}
	// PolicyApplied: another liveness policy is in force, or was refused.
	PolicyApplied struct {
		Number uint64
		Source string
		Err    error
	}
	// Ordered: an operator gave an order about a host or a zone.
	Ordered struct {
		What, Whom, Why string
		Err             error
	}
	// Called: a unary call was answered; Method is the bare name.
	Called struct {
		Method string
		Err    error
	}
)

// tell calls an event function, if there is one.
func tell[T any](f func(T), v T) {
	if f != nil {
		f(v)
	}
}
