package rpc

import (
	"fmt"
	"net/netip"
	"testing"

	schedulerv2 "d7y.io/api/v2/pkg/apis/scheduler/v2"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/scheduler/swarm"
)

// BenchmarkRegister measures register + schedule + message for one more peer of a busy task, without the network.
func BenchmarkRegister(b *testing.B) {
	for _, size := range []int{20, 200, 2000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			h, err := newHub(DefaultConfig())
			if err != nil {
				b.Fatal(err)
			}
			for i := range size + 1 {
				id := darter.HostID(fmt.Sprintf("h%d", i))
				h.step(swarm.HostAnnounced{Host: darter.Host{ID: id, IP: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Port: 4000, Native: true, IDC: fmt.Sprint(i % 4)}})
			}
			d := wire.FromWant(darter.Want{URL: "http://o/f", LayoutKnown: true, Layout: darter.LayoutOf(1<<30, 0)})
			join := func(host int, peer string) *conversation {
				c := &conversation{hub: h, out: make(chan swarm.Effect, 64), done: make(chan struct{})}
				m := &schedulerv2.AnnouncePeerRequest{HostId: fmt.Sprintf("h%d", host), TaskId: "t", PeerId: peer,
					Request: &schedulerv2.AnnouncePeerRequest_RegisterPeerRequest{RegisterPeerRequest: &schedulerv2.RegisterPeerRequest{Download: d}}}
				if err := c.register(m, d); err != nil {
					b.Fatal(err)
				}
				for len(c.out) > 0 {
					c.message(<-c.out)
				}
				return c
			}
			for i := range size {
				c := join(i, fmt.Sprintf("p%d", i))
				h.step(swarm.SourceStarted{Peer: c.peer})
				h.step(swarm.PieceDone{Peer: c.peer, Piece: uint32(i % 256), Traffic: darter.FromSource})
				for len(c.out) > 0 {
					<-c.out
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				h.leave(join(size, fmt.Sprintf("x%d", i)))
			}
		})
	}
}
