package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	schedulerv2 "d7y.io/api/v2/pkg/apis/scheduler/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/scheduler/swarm"
)

// conversation is one AnnouncePeer stream. Its reader feeds the hub, its writer sends what the hub queues, its handler waits:
// only its return frees a writer whose client does not read.
type conversation struct {
	hub     *hub
	peer    darter.PeerID
	task    darter.TaskID
	host    darter.HostID
	conn    uint64 // the connection it came on
	began   time.Time
	want    darter.Want // without headers
	joined  bool        // the hub knows it; set under its lock
	left    bool        // the handler has returned; set under the hub's lock
	kind    darter.HostKind
	native  bool
	heldNow string // what the client's metadata says it holds

	// download is the request as it came, credentials included. It is read under the hub's lock by
	// triggers and dies with the stream.
	download *commonv2.Download

	out  chan swarm.Effect
	done chan struct{} // closed by end
	once sync.Once
	err  error // set before done is closed
}

// end makes the handler return; only the first call counts.
func (c *conversation) end(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.done)
	})
}

// broke reports whether the stream ended without a word of either side.
func (c *conversation) broke() bool {
	<-c.done
	return errors.Is(c.err, context.Canceled) || status.Code(c.err) == codes.Canceled || status.Code(c.err) == codes.Unavailable
}

// push queues an effect; false when the queue is full.
func (c *conversation) push(e swarm.Effect) bool {
	select {
	case c.out <- e:
		return true
	default:
		return false
	}
}

// AnnouncePeer serves one peer's part in one task.
func (s *Server) AnnouncePeer(stream schedulerv2.Scheduler_AnnouncePeerServer) error {
	if err := stream.SendHeader(metadata.Pairs(wire.MetaNative, "1")); err != nil {
		return err
	}
	c := &conversation{hub: s.hub, conn: connOf(stream.Context()), began: time.Now(), out: make(chan swarm.Effect, s.cfg.Queue), done: make(chan struct{})}
	if md, ok := metadata.FromIncomingContext(stream.Context()); ok {
		c.heldNow = first(md, wire.MetaHeld)
	}
	s.startReader(c, stream)
	written := s.startWriter(c, stream)
	<-c.done
	s.hub.leave(c)
	parting := time.NewTimer(partingWait)
	defer parting.Stop()
	select {
	case <-written: // a message under way is not torn
	case <-parting.C:
	}
	return wire.Status(c.err)
}

// partingWait is how long a message that is being sent at the end of a conversation may take.
const partingWait = 500 * time.Millisecond

// write sends what the hub queues until the conversation is over. A message that is not taken ends it.
func (c *conversation) write(stream schedulerv2.Scheduler_AnnouncePeerServer, limit time.Duration) {
	late := time.AfterFunc(limit, c.unread)
	defer late.Stop()
	for {
		late.Stop()
		select {
		case e := <-c.out:
			late.Reset(limit)
			if err := stream.Send(c.message(e)); err != nil {
				c.end(err)
				return
			}
		case <-c.done:
			return
		}
	}
}

// unread ends a conversation whose client does not read it.
func (c *conversation) unread() {
	c.end(&darter.Error{Kind: darter.Unavailable, Op: "schedule " + string(c.peer), Err: errors.New("the client does not read its stream"),
		Hint: "the download goes on without the scheduler"})
}

// message puts an effect into the API's words.
func (c *conversation) message(e swarm.Effect) *schedulerv2.AnnouncePeerResponse {
	switch e := e.(type) {
	case swarm.Offer:
		task := wire.FromTask(wire.Public{ID: c.task, URL: c.want.URL, Layout: c.want.Layout, LayoutKnown: c.want.LayoutKnown, Available: true,
			Created: c.began, Updated: c.began})
		normal := &schedulerv2.NormalTaskResponse{CandidateParents: make([]*commonv2.Peer, len(e.Parents))}
		for i, p := range e.Parents {
			normal.CandidateParents[i] = wire.CandidateOf(darter.Parent{Peer: p.Peer, Host: *p.Host}, p.State, task)
		}
		return &schedulerv2.AnnouncePeerResponse{Response: &schedulerv2.AnnouncePeerResponse_NormalTaskResponse{NormalTaskResponse: normal}}
	case swarm.GoToSource:
		words := "fetch from the source: " + e.Reason
		if c.native {
			words = wire.SourceDescription(&e.Pieces)
			if e.All {
				words = wire.SourceDescription(nil)
			}
		}
		return &schedulerv2.AnnouncePeerResponse{Response: &schedulerv2.AnnouncePeerResponse_NeedBackToSourceResponse{
			NeedBackToSourceResponse: &schedulerv2.NeedBackToSourceResponse{Description: &words}}}
	case swarm.Recorded:
		return &schedulerv2.AnnouncePeerResponse{Response: &schedulerv2.AnnouncePeerResponse_MetadataOnlyResponse{
			MetadataOnlyResponse: &schedulerv2.MetadataOnlyResponse{}}}
	}
	return &schedulerv2.AnnouncePeerResponse{Response: &schedulerv2.AnnouncePeerResponse_EmptyTaskResponse{
		EmptyTaskResponse: &schedulerv2.EmptyTaskResponse{}}}
}

// read takes the client's messages until the stream or the conversation ends.
func (c *conversation) read(stream schedulerv2.Scheduler_AnnouncePeerServer) {
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			c.end(nil) // the client hung up without a terminal message
			return
		}
		if err != nil {
			c.end(err)
			return
		}
		over, err := c.take(m)
		if over || err != nil {
			c.end(err)
			return
		}
		select {
		case <-c.done:
			return
		default:
		}
	}
}

// take handles one message; over tells that it was the last.
func (c *conversation) take(m *schedulerv2.AnnouncePeerRequest) (over bool, err error) {
	if r, is := m.GetRequest().(*schedulerv2.AnnouncePeerRequest_RegisterPeerRequest); is {
		return false, c.register(m, r.RegisterPeerRequest.GetDownload())
	}
	if !c.joined {
		return true, c.refuse("the first message must register the peer")
	}
	if m.GetPeerId() != string(c.peer) || m.GetTaskId() != string(c.task) || m.GetHostId() != string(c.host) {
		return true, c.refuse("a stream belongs to one host, task and peer, and this message names others")
	}
	return c.report(m)
}

func (c *conversation) refuse(why string) error {
	return &darter.Error{Kind: darter.Invalid, Op: "announce peer " + string(c.peer), Err: errors.New(why)}
}

func (c *conversation) register(m *schedulerv2.AnnouncePeerRequest, d *commonv2.Download) (err error) {
	ev := &c.hub.cfg.Events
	defer func(began time.Time) {
		tell(ev.PeerRegistered, PeerRegistered{Task: c.task, Peer: c.peer, Host: c.host, Kind: c.kind, Priority: c.want.Priority, Took: time.Since(began), Err: err})
	}(time.Now())
	if c.joined {
		return c.refuse("a stream registers once")
	}
	if err := m.Validate(); err != nil {
		return c.refuse(err.Error())
	}
	want, err := toWant(d)
	if err != nil {
		return err
	}
	if len(m.GetPeerId()) > maxID || len(m.GetTaskId()) > maxID || len(m.GetHostId()) > maxID {
		return c.refuse(fmt.Sprintf("an id is longer than %d bytes", maxID))
	}
	want.Header = nil
	c.peer, c.task, c.host = darter.PeerID(m.GetPeerId()), darter.TaskID(m.GetTaskId()), darter.HostID(m.GetHostId())
	c.want, c.download = want, d
	held, err := darter.ParsePieceSet(c.heldNow, want.Layout.Count())
	if err != nil {
		held = darter.PieceSet{} // a hint: the piece reports that follow say the same
	}
	return c.hub.register(c, swarm.Registered{Host: c.host, Peer: c.peer, Task: c.task, Want: want, Held: held})
}

// maxID bounds the ids a client may make us remember.
const maxID = 512

// toWant reads a registration. Digests that Darter does not know are for the daemons to judge.
func toWant(d *commonv2.Download) (darter.Want, error) {
	if _, err := darter.ParseDigest(d.GetDigest()); err != nil {
		d = proto.Clone(d).(*commonv2.Download)
		d.Digest = nil
	}
	if r := d.GetRange(); r != nil && r.GetLength() == 0 {
		d = proto.Clone(d).(*commonv2.Download)
		d.Range = nil
	}
	return wire.ToWant(d)
}

// report turns a message after the first into an event.
func (c *conversation) report(m *schedulerv2.AnnouncePeerRequest) (over bool, err error) {
	h, ev := c.hub, &c.hub.cfg.Events
	switch r := m.GetRequest().(type) {
	case *schedulerv2.AnnouncePeerRequest_DownloadPeerStartedRequest:
		tell(ev.PeerStarted, PeerStarted{Kind: c.kind, Priority: c.want.Priority})
		h.said(c.host, c.native, swarm.PeerStarted{Peer: c.peer})
	case *schedulerv2.AnnouncePeerRequest_DownloadPeerBackToSourceStartedRequest:
		tell(ev.PeerStarted, PeerStarted{Kind: c.kind, Priority: c.want.Priority, FromSource: true})
		h.said(c.host, c.native, swarm.SourceStarted{Peer: c.peer})
	case *schedulerv2.AnnouncePeerRequest_ReschedulePeerRequest:
		c.reschedule(r.ReschedulePeerRequest)
	case *schedulerv2.AnnouncePeerRequest_DownloadPieceFinishedRequest:
		return false, c.piece(r.DownloadPieceFinishedRequest.GetPiece(), false)
	case *schedulerv2.AnnouncePeerRequest_DownloadPieceBackToSourceFinishedRequest:
		return false, c.piece(r.DownloadPieceBackToSourceFinishedRequest.GetPiece(), true)
	case *schedulerv2.AnnouncePeerRequest_DownloadPieceFailedRequest:
		f := r.DownloadPieceFailedRequest
		tell(ev.PieceFailed, PieceFailed{Kind: c.kind})
		// Of our own daemons, a failure that stays means that the parent said so itself. Others may only have left the field out.
		missing := c.native && !f.GetTemporary()
		h.said(c.host, c.native, swarm.PieceFailed{Peer: c.peer, Parent: darter.PeerID(f.GetParentId()), Piece: f.GetPieceNumber(), Temporary: f.GetTemporary(), Missing: missing})
	case *schedulerv2.AnnouncePeerRequest_DownloadPieceBackToSourceFailedRequest:
		f := r.DownloadPieceBackToSourceFailedRequest
		b := wire.ToPieceSourceFailed(f)
		tell(ev.PieceFailed, PieceFailed{Kind: c.kind, FromSource: true})
		h.said(c.host, c.native, swarm.PieceSourceFailed{Peer: c.peer, Piece: f.GetPieceNumber(), Fault: swarm.Fault{Status: b.Status, Text: oneLine(b.Message)}})
	default:
		return true, c.terminal(m)
	}
	return false, nil
}

// terminal takes one of the four last messages.
func (c *conversation) terminal(m *schedulerv2.AnnouncePeerRequest) error {
	h := c.hub
	f := PeerFinished{Task: c.task, Peer: c.peer, Kind: c.kind, Priority: c.want.Priority, Length: c.want.Layout.Length, Took: time.Since(c.began)}
	switch r := m.GetRequest().(type) {
	case *schedulerv2.AnnouncePeerRequest_DownloadPeerFinishedRequest:
		f.OK = true
		h.said(c.host, c.native, swarm.PeerFinished{Peer: c.peer})
	case *schedulerv2.AnnouncePeerRequest_DownloadPeerBackToSourceFinishedRequest:
		f.OK, f.FromSource = true, true
		h.said(c.host, c.native, swarm.SourceFinished{Peer: c.peer})
	case *schedulerv2.AnnouncePeerRequest_DownloadPeerFailedRequest:
		h.said(c.host, c.native, swarm.PeerFailed{Peer: c.peer})
	case *schedulerv2.AnnouncePeerRequest_DownloadPeerBackToSourceFailedRequest:
		f.FromSource = true
		h.said(c.host, c.native, swarm.SourceFailed{Peer: c.peer, Fault: swarm.Fault{Text: oneLine(r.DownloadPeerBackToSourceFailedRequest.GetDescription())}})
	default:
		return c.refuse(fmt.Sprintf("message %T is not known", r))
	}
	tell(h.cfg.Events.PeerFinished, f)
	return nil
}

func (c *conversation) piece(m *commonv2.Piece, source bool) error {
	p, err := wire.ToPiece(m)
	if err != nil {
		return err
	}
	if source {
		p.Traffic = darter.FromSource
	} else if p.Traffic == darter.FromSource {
		p.Traffic = darter.FromPeer // the message says so, whatever the optional field does not
	}
	tell(c.hub.cfg.Events.PieceFinished, PieceFinished{Host: c.host, Kind: c.kind, Traffic: p.Traffic, Bytes: p.Length})
	c.hub.said(c.host, c.native, swarm.PieceDone{Peer: c.peer, Piece: p.Number, Parent: p.Parent, Traffic: p.Traffic})
	return nil
}

// maxLost bounds the candidates read from one reschedule.
const maxLost = 256

func (c *conversation) reschedule(m *schedulerv2.ReschedulePeerRequest) {
	var lost []darter.PeerID
	for _, p := range m.GetCandidateParents() {
		if len(lost) < maxLost && p.GetId() != "" && len(p.GetId()) <= maxID {
			lost = append(lost, darter.PeerID(p.GetId()))
		}
	}
	tell(c.hub.cfg.Events.Rescheduled, Rescheduled{Kind: c.kind, Lost: len(lost)})
	blames := c.native && !wire.ParseLostDescription(m.GetDescription())
	c.hub.said(c.host, blames, swarm.Rescheduled{Peer: c.peer, Lost: lost})
}

// forSeed is the request that a seed gets on behalf of a child: the same, except that it is to go to
// the source, that it makes no file, and that the child's own refusal to go there does not bind it.
func forSeed(d *commonv2.Download) *commonv2.Download {
	d = proto.Clone(d).(*commonv2.Download)
	d.NeedBackToSource, d.DisableBackToSource, d.MetadataOnly, d.OutputPath = true, false, false, nil
	d.Overwrite, d.ForceHardLink, d.NeedPieceContent = false, false, false
	return d
}

func first(md metadata.MD, key string) string {
	if v := md.Get(key); len(v) > 0 {
		return v[0]
	}
	return ""
}

// oneLine keeps another's words fit for a log line.
func oneLine(s string) string {
	const most = 300
	out := make([]rune, 0, most)
	for _, r := range s {
		if len(out) == most {
			break
		}
		if r < ' ' {
			r = ' '
		}
		out = append(out, r)
	}
	return string(out)
}
