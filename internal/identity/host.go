package identity

import (
	"net/netip"

	"github.com/google/uuid"

	"github.com/darter-p2p/darter"
)

const seedSuffix = "-seed"

// HostID returns the name of a machine: "{ip}-{hostname}", with "-seed" for a seed. Dragonfly's manager
// takes such ids apart again, so the form is fixed.
func HostID(ip netip.Addr, hostname string, kind darter.HostKind) darter.HostID {
	return darter.HostID(withKind(ip.String()+"-"+hostname, kind))
}

// PeerID returns the name of one host's part in one task: "{ip}-{hostname}-{unique}", with "-seed" for a seed.
func PeerID(ip netip.Addr, hostname, unique string, kind darter.HostKind) darter.PeerID {
	return darter.PeerID(withKind(ip.String()+"-"+hostname+"-"+unique, kind))
}

// NewPeerID returns a fresh peer id. Every attempt needs one: a scheduler binds an id that it has
// seen before to the stream of that time.
func NewPeerID(ip netip.Addr, hostname string, kind darter.HostKind) darter.PeerID {
	return PeerID(ip, hostname, uuid.NewString(), kind)
}

func withKind(name string, kind darter.HostKind) string {
	if kind == darter.Normal {
		return name
	}
	return name + seedSuffix
}
