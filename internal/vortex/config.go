package vortex

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/throttle"
)

// Content is an open piece: Body yields exactly Piece.Length bytes. When Body is an *io.LimitedReader
// over an *os.File, the bytes go from the file to the socket inside the kernel.
type Content struct {
	Piece darter.Piece
	Body  io.Reader
	io.Closer
}

// Pieces opens the pieces that this host serves.
type Pieces interface {
	// Open opens piece n of a task. Errors are a darter.Error: NotFound when it is not here, Unavailable
	// when it is not served now.
	Open(task darter.TaskID, n uint32) (Content, error)
	// Follow opens piece n of a task that is here or arriving. Errors are those of Open.
	Follow(task darter.TaskID, n uint32) (Arrival, error)
}

// Arrival is a piece to be sent as it comes.
type Arrival struct {
	Span darter.Span
	Following
}

// Following reads a piece as it comes.
type Following interface {
	// Next fills b from offset off of the piece, or what is left of it, and waits for the bytes if need be. At
	// the end it waits until the piece is whole and checked, and is io.EOF then; darter.Corrupt says that the bytes before may be
	// wrong, any other error that the rest does not come.
	Next(ctx context.Context, b []byte, off int64) (int, error)
	// Piece returns the record of the piece once it is whole.
	Piece() (darter.Piece, bool)
	io.Closer
}

// ServerConfig is what a Server is made of.
type ServerConfig struct {
	Listener net.Listener // required; Run closes it
	Pieces   Pieces       // required

	Slots          int           // bodies sent at once when this host's uplink is the limit; default 2
	MostSlots      int           // bodies sent at once when the receivers are; default 16
	MaxWaiting     int           // requests that wait for a slot; more are told "busy"; default 1024
	MaxConnections int           // further connections are closed at once; default 2048
	IdleTimeout    time.Duration // a connection without a request is closed after this; default 30s
	StallTimeout   time.Duration // a receiver that takes less than 256 KiB in this time is dropped; default 20s
	WaitTimeout    time.Duration // a request that found no slot in this time is told "busy"; default 60s
	DrainTimeout   time.Duration // how long bodies may go on when Run is to end; default 10s

	Rate   *throttle.Limiter // of all bodies together; nil means unlimited
	Events ServerEvents
}

// ServerEvents tell what a server did. Functions may be nil; they are called from many goroutines
// and must not block.
type ServerEvents struct {
	PieceSent func(PieceSent)
	Rejected  func(Rejected)
}

// PieceSent is a body that went out whole.
type PieceSent struct {
	Task     darter.TaskID
	Number   uint32
	To       netip.Addr
	Bytes    int64
	Duration time.Duration // sending
	Waited   time.Duration // for a slot
}

// Rejected is a request, or a connection, that got no body.
type Rejected struct {
	From netip.Addr
	Why  Reason
}

// Reason is why somebody got no body: a closed list, fit for a metric's label.
type Reason string

// Reasons for rejecting.
const (
	Busy        Reason = "busy"        // the queue was full, or no slot came free in time
	Draining    Reason = "draining"    // the server is about to end
	Missing     Reason = "missing"     // no such piece
	Malformed   Reason = "malformed"   // not a request
	Crowded     Reason = "crowded"     // too many connections
	Broken      Reason = "broken"      // the piece could not be read, or ceased to arrive
	Interrupted Reason = "interrupted" // the receiver stalled or went away
)

// DefaultServerConfig returns the defaults; Listener and Pieces are missing.
func DefaultServerConfig() ServerConfig {
	return ServerConfig{Slots: 2, MostSlots: 16, MaxWaiting: 1024, MaxConnections: 2048, IdleTimeout: 30 * time.Second,
		StallTimeout: 20 * time.Second, WaitTimeout: 60 * time.Second, DrainTimeout: 10 * time.Second}
}

// Validate reports the first setting that makes no sense.
func (c *ServerConfig) Validate() error {
	switch {
	case c.Listener == nil || c.Pieces == nil:
		return invalid("a vortex server needs a listener and pieces")
	case c.Slots < 1 || c.MostSlots < c.Slots || c.MaxWaiting < 0 || c.MaxConnections < 1:
		return invalid(fmt.Sprintf("slots %d (at most %d), waiting %d and connections %d must be positive", c.Slots, c.MostSlots, c.MaxWaiting, c.MaxConnections))
	case c.IdleTimeout <= 0 || c.StallTimeout <= 0 || c.WaitTimeout <= 0 || c.DrainTimeout < 0:
		return invalid("time limits must be positive")
	}
	return nil
}

// ClientConfig is what a Client is made of.
type ClientConfig struct {
	// Dial opens a connection; nil means TCP.
	Dial func(ctx context.Context, to netip.AddrPort) (net.Conn, error)

	ConnectTimeout time.Duration // default 2s
	StallTimeout   time.Duration // a parent that sends nothing for this long is given up; default 30s
	IdleTimeout    time.Duration // an unused connection is closed after this; default 20s, below the server's
	IdlePerAddress int           // unused connections kept per address; default 4
	IdleTotal      int           // unused connections kept in all; default 256

	Rate *throttle.Limiter // of all bodies together; nil means unlimited
}

// DefaultClientConfig returns the defaults; nothing is missing.
func DefaultClientConfig() ClientConfig {
	return ClientConfig{ConnectTimeout: 2 * time.Second, StallTimeout: 30 * time.Second, IdleTimeout: 20 * time.Second,
		IdlePerAddress: 4, IdleTotal: 256}
}

// Validate reports the first setting that makes no sense.
func (c *ClientConfig) Validate() error {
	if c.ConnectTimeout <= 0 || c.StallTimeout <= 0 || c.IdleTimeout <= 0 || c.IdlePerAddress < 0 || c.IdleTotal < 0 {
		return invalid("time limits must be positive and numbers of connections not negative")
	}
	return nil
}

func invalid(why string) error {
	return &darter.Error{Kind: darter.Invalid, Op: "vortex configuration", Err: fmt.Errorf("%s", why)}
}
