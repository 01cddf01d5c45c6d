package rpc

import (
	"encoding/binary"
	"net/netip"
	"testing"

	schedulerv2 "d7y.io/api/v2/pkg/apis/scheduler/v2"
	"google.golang.org/protobuf/proto"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/scheduler/swarm"
)

// sequence packs messages as the fuzzer mutates them: a stream number, a length, the bytes.
func sequence(f testing.TB, messages ...*schedulerv2.AnnouncePeerRequest) []byte {
	var out []byte
	for i, m := range messages {
		raw, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		out = append(out, byte(i%3))
		out = binary.BigEndian.AppendUint16(out, uint16(len(raw)))
		out = append(out, raw...)
	}
	return out
}

func message(peer string, fill func(*schedulerv2.AnnouncePeerRequest)) *schedulerv2.AnnouncePeerRequest {
	m := &schedulerv2.AnnouncePeerRequest{HostId: peer, TaskId: "t", PeerId: peer}
	fill(m)
	return m
}

// FuzzAnnouncePeer plays message sequences on three streams: whatever comes, nothing panics (violated
// invariants do under test), and what is sent can be put into messages.
func FuzzAnnouncePeer(f *testing.F) {
	register := func(m *schedulerv2.AnnouncePeerRequest) {
		d := wire.FromWant(darter.Want{URL: "http://o/f", LayoutKnown: true, Layout: darter.LayoutOf(20<<20, 0)})
		m.Request = &schedulerv2.AnnouncePeerRequest_RegisterPeerRequest{RegisterPeerRequest: &schedulerv2.RegisterPeerRequest{Download: d}}
	}
	piece := func(m *schedulerv2.AnnouncePeerRequest) {
		m.Request = &schedulerv2.AnnouncePeerRequest_DownloadPieceFinishedRequest{
			DownloadPieceFinishedRequest: &schedulerv2.DownloadPieceFinishedRequest{Piece: wire.FromPiece(darter.Piece{Number: 2, Parent: "b"})}}
	}
	failed := func(m *schedulerv2.AnnouncePeerRequest) {
		m.Request = &schedulerv2.AnnouncePeerRequest_DownloadPieceBackToSourceFailedRequest{
			DownloadPieceBackToSourceFailedRequest: wire.FromPieceSourceFailed(1, wire.Backend{Status: 503})}
	}
	again := func(m *schedulerv2.AnnouncePeerRequest) {
		m.Request = &schedulerv2.AnnouncePeerRequest_ReschedulePeerRequest{ReschedulePeerRequest: &schedulerv2.ReschedulePeerRequest{}}
	}
	f.Add(sequence(f, message("a", register), message("b", register), message("c", register), message("a", piece), message("b", failed), message("c", again)))
	f.Add(sequence(f, message("a", piece), message("b", register), message("c", register), message("a", register), message("b", again), message("c", piece)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		cfg := DefaultConfig()
		h, err := newHub(cfg)
		if err != nil {
			t.Fatal(err)
		}
		var streams [3]*conversation
		for i, id := range []darter.HostID{"a", "b", "c"} {
			h.step(swarm.HostAnnounced{Host: darter.Host{ID: id, IP: netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), Port: 4000, Native: i < 2, Kind: darter.HostKind(i % 2)}})
			streams[i] = &conversation{hub: h, out: make(chan swarm.Effect, cfg.Queue), done: make(chan struct{})}
		}
		for len(raw) >= 3 {
			c := streams[raw[0]%3]
			n := min(int(binary.BigEndian.Uint16(raw[1:])), len(raw)-3)
			m := &schedulerv2.AnnouncePeerRequest{}
			if proto.Unmarshal(raw[3:3+n], m) == nil {
				if over, err := c.take(m); over || err != nil {
					h.leave(c)
					*c = conversation{hub: h, out: make(chan swarm.Effect, cfg.Queue), done: make(chan struct{})}
				}
			}
			raw = raw[3+n:]
			for len(c.out) > 0 {
				if _, err := proto.Marshal(c.message(<-c.out)); err != nil {
					t.Fatal(err)
				}
			}
		}
		h.step(swarm.Tick{})
	})
}
