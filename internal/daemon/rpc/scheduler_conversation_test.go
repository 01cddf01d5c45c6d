package rpc

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	"google.golang.org/protobuf/proto"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/source"
)

func TestConversationWithNeighboursFollowsTheCatalogue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.end()
		f := &fakeScheduler{talk: func(f *fakeScheduler, s peerServer) error {
			if _, err := f.read(s); err != nil {
				return err
			}
			if err := offer(s, 1, 2); err != nil {
				return err
			}
			return f.untilTerminal(s)
		}}
		r.serve(one, f)
		r.Set([]netip.AddrPort{one})
		c := r.register(0, 1) // what is held is not told to a plain scheduler: its cost of nothing would count
		a := <-c.Advice()
		if a.Kind != darter.UseParents || len(a.Parents) != 2 || a.Parents[1].Host.IP != netip.MustParseAddr("10.0.1.2") {
			t.Fatalf("advice %+v, want two parents", a)
		}
		time.Sleep(time.Hour) // limits are on answers, not on how long a download takes
		c.Report(darter.Report{Kind: darter.Started})
		c.Report(darter.Report{Kind: darter.PieceDone, Piece: piece(2, a.Parents[0].Peer, darter.FromPeer)})
		c.Report(darter.Report{Kind: darter.PieceFailed, Piece: darter.Piece{Number: 3, Parent: a.Parents[1].Peer}})
		c.Report(darter.Report{Kind: darter.PieceFailed, Piece: darter.Piece{Number: 3}}) // nobody to blame: not sent
		if err := c.Finish(t.Context(), darter.Outcome{}); err != nil {
			t.Fatalf("Finish: %v", err)
		}
		if _, open := <-c.Advice(); open || c.Err() != nil {
			t.Errorf("after a good end: advice open %v, Err %v", open, c.Err())
		}
		got := f.messages()
		want := []string{"register_peer_request", "download_peer_started_request", "download_piece_finished_request", "download_piece_failed_request", "download_peer_finished_request"}
		if w := words(got); !slices.Equal(w, want) {
			t.Fatalf("said %v, want %v", w, want)
		}
		d := got[0].GetRegisterPeerRequest().GetDownload()
		if d.ActualContentLength == nil || d.GetActualPieceCount() != 5 || d.GetActualPieceLength() != darter.MinPieceLength {
			t.Errorf("actual_* are %v, %v, %v", d.ActualContentLength, d.ActualPieceLength, d.ActualPieceCount)
		}
		if d.GetOutputPath() != "" || d.GetRequestHeader()["Authorization"] == "" {
			t.Errorf("the registration has output path %q and headers %v; seeds need the headers, nobody the path", d.GetOutputPath(), d.GetRequestHeader())
		}
		p := got[2].GetDownloadPieceFinishedRequest().GetPiece()
		if p.GetDigest() != "crc32:4294967295" || p.GetParentId() != "parent-b" || p.GetTrafficType() != commonv2.TrafficType_REMOTE_PEER {
			t.Errorf("piece told as %v", p)
		}
		if md := f.metadata[0].Get(wire.MetaHeld); !slices.Equal(md, []string{"0-1"}) {
			t.Errorf("metadata %s is %v", wire.MetaHeld, md)
		}
		if md := f.metadata[0].Get(wire.MetaNative); !slices.Equal(md, []string{"1"}) {
			t.Errorf("metadata %s is %v", wire.MetaNative, md)
		}
	})
}

func TestConversationFromTheSource(t *testing.T) {
	for _, c := range []struct {
		name, description string
		want              darter.Advice
	}{
		{"some pieces", "source pieces=0-1,4", darter.Advice{Kind: darter.GoToSource, Pieces: darter.Pieces(0, 1, 4)}},
		{"plain scheduler", "seed peer is not available", darter.Advice{Kind: darter.GoToSource, AllPieces: true}},
		{"no such piece", "source pieces=0-900", darter.Advice{Kind: darter.GoToSource, AllPieces: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				defer r.end()
				f := &fakeScheduler{native: true, talk: func(f *fakeScheduler, s peerServer) error {
					if _, err := f.read(s); err != nil {
						return err
					}
					if err := toSource(s, c.description); err != nil {
						return err
					}
					return f.untilTerminal(s)
				}}
				r.serve(one, f)
				r.Set([]netip.AddrPort{one})
				conv := r.register(3)
				a := <-conv.Advice()
				if a.Kind != c.want.Kind || a.AllPieces != c.want.AllPieces || !a.Pieces.Equal(c.want.Pieces) {
					t.Fatalf("advice %+v, want %+v", a, c.want)
				}
				conv.Report(darter.Report{Kind: darter.SourceStarted})
				conv.Report(darter.Report{Kind: darter.PieceDone, Piece: piece(0, "", darter.FromSource)})
				broken := &source.Error{URL: "https://origin.example/file", Status: 404, Message: "Not Found"}
				conv.Report(darter.Report{Kind: darter.PieceSourceFailed, Piece: darter.Piece{Number: 1}, Err: broken})
				if err := conv.Finish(t.Context(), darter.Outcome{Err: broken, FromSource: true}); err != nil {
					t.Fatalf("Finish: %v", err)
				}
				got := f.messages()
				want := []string{"register_peer_request", "download_piece_finished_request", "download_peer_back_to_source_started_request",
					"download_piece_back_to_source_finished_request", "download_piece_back_to_source_failed_request", "download_peer_back_to_source_failed_request"}
				if w := words(got); !slices.Equal(w, want) {
					t.Fatalf("said %v, want %v", w, want)
				}
				if p := got[1].GetDownloadPieceFinishedRequest().GetPiece(); p.GetNumber() != 3 || p.GetTrafficType() != commonv2.TrafficType_LOCAL_PEER {
					t.Errorf("the held piece was told as %v", p)
				}
				if b := got[4].GetDownloadPieceBackToSourceFailedRequest().GetBackend(); b.GetStatusCode() != 404 {
					t.Errorf("the source's answer was told as %v", b)
				}
			})
		})
	}
}

func TestReschedulingEchoesCandidatesWordForWord(t *testing.T) {
	for name, c := range map[string]struct {
		native bool
		want   []*commonv2.Peer
	}{
		"a plain scheduler gets all of its last answer": {false, []*commonv2.Peer{candidate(3), candidate(4)}},
		"our own gets those that failed":                {true, []*commonv2.Peer{candidate(1)}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				defer r.end()
				f := &fakeScheduler{native: c.native, talk: func(f *fakeScheduler, s peerServer) error {
					if _, err := f.read(s); err != nil {
						return err
					}
					if err := errors.Join(offer(s, 1, 2), offer(s, 3, 4)); err != nil {
						return err
					}
					return f.untilTerminal(s)
				}}
				r.serve(one, f)
				r.Set([]netip.AddrPort{one})
				conv := r.register()
				first := <-conv.Advice()
				<-conv.Advice()
				conv.Report(darter.Report{Kind: darter.NeedOthers, Lost: first.Parents[:1], Answered: true})
				if err := conv.Finish(t.Context(), darter.Outcome{Err: errors.New("no use")}); err != nil {
					t.Fatal(err)
				}
				got := f.messages()[1].GetReschedulePeerRequest()
				same := slices.EqualFunc(got.GetCandidateParents(), c.want, func(a, b *commonv2.Peer) bool { return proto.Equal(a, b) })
				if !same || got.GetDescription() == "" || wire.ParseLostDescription(got.GetDescription()) != c.native {
					t.Errorf("echoed %v, want %v", got, c.want)
				}
			})
		})
	}
}

// TestOnlyOurOwnSchedulersHearThatAParentHoldsNothing: a plain one only logs a failure that stays, and would offer that parent again.
func TestOnlyOurOwnSchedulersHearThatAParentHoldsNothing(t *testing.T) {
	for _, native := range []bool{false, true} {
		t.Run(strconv.FormatBool(native), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil)
				defer r.end()
				f := &fakeScheduler{native: native, talk: func(f *fakeScheduler, s peerServer) error {
					if _, err := f.read(s); err != nil {
						return err
					}
					if err := offer(s, 1, 2); err != nil {
						return err
					}
					return f.untilTerminal(s)
				}}
				r.serve(one, f)
				r.Set([]netip.AddrPort{one})
				conv := r.register()
				<-conv.Advice()
				for _, missing := range []bool{false, true} {
					conv.Report(darter.Report{Kind: darter.PieceFailed, Piece: darter.Piece{Number: 3, Parent: "p"}, Missing: missing})
				}
				if err := conv.Finish(t.Context(), darter.Outcome{Err: errors.New("no use")}); err != nil {
					t.Fatal(err)
				}
				got := f.messages()
				first, second := got[1].GetDownloadPieceFailedRequest(), got[2].GetDownloadPieceFailedRequest()
				if !first.GetTemporary() || second.GetTemporary() == native || second.GetParentId() != "p" || second.GetPieceNumber() != 3 {
					t.Errorf("told %v and %v", first, second)
				}
			})
		})
	}
}
