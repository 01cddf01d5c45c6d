package rpc

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/darter-p2p/darter"
)

// Kind is what a member of a cluster does.
type Kind uint8

// Kinds of members.
const (
	SchedulerKind Kind = iota
	SeedKind
)

func (k Kind) String() string {
	if k == SeedKind {
		return "seed peer"
	}
	return "scheduler"
}

// Member is a scheduler or a seed peer, as daemons are told of it.
type Member struct {
	Kind         Kind
	ID           uint64 // given by the Book
	Cluster      uint64 // 0 counts as 1
	Hostname     string
	IP           netip.Addr // where daemons reach it
	Port         uint16
	DownloadPort uint16 // of seed peers
	IDC          string
	Location     string
	Features     []string // of schedulers; empty counts as "schedule"
	Active       bool
	Draining     bool
}

// Validate checks what daemons rely on.
func (m Member) Validate() error {
	if !m.IP.IsValid() || m.IP.IsUnspecified() || m.Port == 0 {
		return &darter.Error{Kind: darter.Invalid, Op: fmt.Sprintf("list %s %s", m.Kind, m.Hostname),
			Err:  fmt.Errorf("%s:%d is not an address that daemons can reach", m.IP, m.Port),
			Hint: "give its own IP address and port, as 10.0.0.5:8002"}
	}
	return nil
}

func (m Member) String() string {
	return fmt.Sprintf("%s (%s)", m.Hostname, netip.AddrPortFrom(m.IP, m.Port))
}

// Key is what tells members of a kind apart, as the reference does.
type Key struct {
	Kind     Kind
	Cluster  uint64
	Hostname string
	IP       netip.Addr
}

// Key returns the member's key.
func (m Member) Key() Key { return Key{m.Kind, max(m.Cluster, 1), m.Hostname, m.IP} }

// Cluster is what daemons and schedulers are told of a cluster.
type Cluster struct {
	ID        uint64
	Name      string
	Bio       string
	Default   bool
	IDC       string
	Location  string
	Networks  []string
	Hostnames []string
	Scheduler json.RawMessage // configuration of its schedulers; empty is {}
	Client    json.RawMessage // configuration of its daemons; empty is {}
}

// Application is a tenant, and how urgent what it asks for is.
type Application struct {
	ID             uint64
	Name, URL, Bio string
	Priority       json.RawMessage // {"value": 0..6, "urls": [{"regex", "value"}]}
}

// Picture is all that lists are made of.
type Picture struct {
	Clusters     []Cluster
	Members      []Member // by cluster and number
	Applications []Application
}

// Book keeps members. Errors are NotFound for a cluster or member that is not there, Unavailable while the rows
// cannot be reached.
type Book interface {
	Picture(ctx context.Context) (*Picture, error)
	// Announce adds a member or renews what is known of it; it is active from then on.
	Announce(ctx context.Context, m Member) (Member, error)
	KeepAlive(ctx context.Context, k Key) error
	// Remove takes a member away that takes its leave.
	Remove(ctx context.Context, k Key) error
}
