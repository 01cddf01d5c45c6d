package rpc

import (
	"errors"
	"strings"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	schedulerv2 "d7y.io/api/v2/pkg/apis/scheduler/v2"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/source"
)

// maxDescription bounds the text of an error that leaves this host.
const maxDescription = 1024

// envelope addresses a message to the scheduler.
func (c *Conversation) envelope() *schedulerv2.AnnouncePeerRequest {
	return &schedulerv2.AnnouncePeerRequest{HostId: string(c.host), TaskId: string(c.reg.Task), PeerId: string(c.reg.Peer)}
}

func (c *Conversation) registration() *schedulerv2.AnnouncePeerRequest {
	m := c.envelope()
	w := c.reg.Want
	w.OutputPath, w.NeedContent = "", false // this host's own affair
	m.Request = &schedulerv2.AnnouncePeerRequest_RegisterPeerRequest{
		RegisterPeerRequest: &schedulerv2.RegisterPeerRequest{Download: wire.FromWant(w)}}
	return m
}

// message renders a report; nil when there is nothing that the scheduler could take.
func (c *Conversation) message(r darter.Report) *schedulerv2.AnnouncePeerRequest {
	m := c.envelope()
	switch r.Kind {
	case darter.Started:
		m.Request = &schedulerv2.AnnouncePeerRequest_DownloadPeerStartedRequest{DownloadPeerStartedRequest: &schedulerv2.DownloadPeerStartedRequest{}}
	case darter.SourceStarted:
		m.Request = &schedulerv2.AnnouncePeerRequest_DownloadPeerBackToSourceStartedRequest{
			DownloadPeerBackToSourceStartedRequest: &schedulerv2.DownloadPeerBackToSourceStartedRequest{}}
	case darter.PieceDone:
		setPiece(m, r.Piece)
	case darter.PieceFailed:
		if r.Piece.Parent == "" {
			return nil
		}
		m.Request = &schedulerv2.AnnouncePeerRequest_DownloadPieceFailedRequest{DownloadPieceFailedRequest: &schedulerv2.DownloadPieceFailedRequest{
			PieceNumber: &r.Piece.Number, ParentId: string(r.Piece.Parent), Temporary: !c.lasting(r)}}
	case darter.PieceSourceFailed:
		m.Request = &schedulerv2.AnnouncePeerRequest_DownloadPieceBackToSourceFailedRequest{
			DownloadPieceBackToSourceFailedRequest: wire.FromPieceSourceFailed(r.Piece.Number, backendOf(r.Err))}
	case darter.NeedOthers:
		m.Request = &schedulerv2.AnnouncePeerRequest_ReschedulePeerRequest{ReschedulePeerRequest: &schedulerv2.ReschedulePeerRequest{
			CandidateParents: c.echo(r.Lost), Description: c.whyOthers(r)}}
	default:
		return nil
	}
	return m
}

// whyOthers describes why others are needed, for people, and to our own schedulers also whether the lost ones are well.
func (c *Conversation) whyOthers(r darter.Report) *string {
	why := describe(r.Err, "not all pieces are downloaded from parent")
	if is, _ := c.m.isNative(); is {
		*why = wire.LostDescription(r.Answered, *why)
	}
	return why
}

// lasting reports whether a failure is to be told as one that stays: the parent does not hold the task. A plain Dragonfly
// scheduler only logs such failures; it is told of a temporary one, at which it spares this host that parent.
func (c *Conversation) lasting(r darter.Report) bool {
	is, _ := c.m.isNative()
	return r.Missing && is
}

// setPiece reports a piece under the name of where it came from.
func setPiece(m *schedulerv2.AnnouncePeerRequest, p darter.Piece) {
	piece := wire.FromPiece(p)
	if p.Traffic == darter.FromSource {
		piece.ParentId = nil
		m.Request = &schedulerv2.AnnouncePeerRequest_DownloadPieceBackToSourceFinishedRequest{
			DownloadPieceBackToSourceFinishedRequest: &schedulerv2.DownloadPieceBackToSourceFinishedRequest{Piece: piece}}
		return
	}
	m.Request = &schedulerv2.AnnouncePeerRequest_DownloadPieceFinishedRequest{
		DownloadPieceFinishedRequest: &schedulerv2.DownloadPieceFinishedRequest{Piece: piece}}
}

// terminal renders the last message of a conversation.
func (c *Conversation) terminal(o darter.Outcome) *schedulerv2.AnnouncePeerRequest {
	m := c.envelope()
	switch {
	case o.Err == nil && !o.FromSource:
		m.Request = &schedulerv2.AnnouncePeerRequest_DownloadPeerFinishedRequest{DownloadPeerFinishedRequest: &schedulerv2.DownloadPeerFinishedRequest{}}
	case o.Err == nil:
		m.Request = &schedulerv2.AnnouncePeerRequest_DownloadPeerBackToSourceFinishedRequest{
			DownloadPeerBackToSourceFinishedRequest: &schedulerv2.DownloadPeerBackToSourceFinishedRequest{}}
	case !o.FromSource:
		m.Request = &schedulerv2.AnnouncePeerRequest_DownloadPeerFailedRequest{
			DownloadPeerFailedRequest: &schedulerv2.DownloadPeerFailedRequest{Description: describe(o.Err, "")}}
	default:
		m.Request = &schedulerv2.AnnouncePeerRequest_DownloadPeerBackToSourceFailedRequest{
			DownloadPeerBackToSourceFailedRequest: &schedulerv2.DownloadPeerBackToSourceFailedRequest{Description: describe(o.Err, "")}}
	}
	return m
}

// echo returns the candidates that a request for others names, word for word as they came. One of our
// own schedulers takes the list as those that failed; a plain Dragonfly scheduler expects all of its last answer.
func (c *Conversation) echo(lost []darter.Parent) []*commonv2.Peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if is, _ := c.m.isNative(); !is {
		return c.mu.last
	}
	var out []*commonv2.Peer
	for _, p := range lost {
		if m := c.mu.offered[p.Peer]; m != nil {
			out = append(out, m)
		}
	}
	return out
}

// backendOf tells what the source answered, else only the text.
func backendOf(err error) wire.Backend {
	if err == nil {
		return wire.Backend{Message: "the source did not give the piece"}
	}
	b := wire.Backend{Message: clipped(err.Error())}
	if answer, ok := errors.AsType[*source.Error](err); ok {
		b.Status, b.Header = answer.Status, answer.Header
	}
	return b
}

// describe returns the text of an error, or other when there is none; nil stands for an empty text, which
// receivers refuse.
func describe(err error, other string) *string {
	if err != nil {
		other = clipped(err.Error())
	}
	if other == "" {
		return nil
	}
	return &other
}

func clipped(s string) string {
	if len(s) > maxDescription {
		s = s[:maxDescription]
	}
	return strings.ToValidUTF8(s, "�")
}

// advice reads an answer. ok is false for one that says nothing to this host.
func (c *Conversation) advise(m *schedulerv2.AnnouncePeerResponse) (a darter.Advice, ok bool) {
	switch r := m.GetResponse().(type) {
	case *schedulerv2.AnnouncePeerResponse_EmptyTaskResponse:
		return darter.Advice{Kind: darter.EmptyContent}, true
	case *schedulerv2.AnnouncePeerResponse_MetadataOnlyResponse:
		return darter.Advice{Kind: darter.Recorded}, true
	case *schedulerv2.AnnouncePeerResponse_NeedBackToSourceResponse:
		// A set that cannot be read still means the source: then for everything that is missing.
		set, all, err := wire.ParseSourceDescription(r.NeedBackToSourceResponse.GetDescription(), max(c.reg.Want.Layout.Count(), 1))
		return darter.Advice{Kind: darter.GoToSource, Pieces: set, AllPieces: all || err != nil}, true
	case *schedulerv2.AnnouncePeerResponse_NormalTaskResponse:
		candidates := r.NormalTaskResponse.GetCandidateParents()
		if len(candidates) > maxCandidateParents {
			candidates = candidates[:maxCandidateParents]
		}
		a = darter.Advice{Kind: darter.UseParents, Parents: c.remember(candidates)}
		return a, len(a.Parents) > 0
	}
	return darter.Advice{}, false
}

// Bounds of what a scheduler can make this host keep per conversation.
const (
	maxCandidateParents = 64
	maxOffered          = 1024
)

// remember keeps the candidates for a later echo, and returns those that can be spoken to: one that is
// malformed must not cost the others.
func (c *Conversation) remember(candidates []*commonv2.Peer) []darter.Parent {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.last = candidates
	if len(c.mu.offered) > maxOffered {
		clear(c.mu.offered)
	}
	var out []darter.Parent
	for _, m := range candidates {
		p, err := wire.ToParent(m)
		if err != nil || p.Host.ID == c.host {
			continue
		}
		c.mu.offered[p.Peer] = m
		out = append(out, p)
	}
	return out
}
