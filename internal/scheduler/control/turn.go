package control

import (
	"net/netip"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/ring"
)

// turn is the order in which to try seeds for a task: another one first for every task, the same for everybody.
func turn(hosts []darter.Target, task darter.TaskID) []uint32 {
	members := make([]netip.AddrPort, len(hosts))
	at := make(map[netip.AddrPort]uint32, len(hosts))
	for i, t := range hosts {
		members[i] = netip.AddrPortFrom(t.IP, t.Port)
		at[members[i]] = uint32(i)
	}
	out := make([]uint32, 0, len(hosts))
	for _, m := range ring.New(members).Order(task) {
		out = append(out, at[m])
	}
	return out
}
