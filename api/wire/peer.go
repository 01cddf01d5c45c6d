package wire

import (
	"net/url"
	"time"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/darter-p2p/darter"
)

// Public is what others may know of a task. It has no room for request headers on purpose.
type Public struct {
	ID          darter.TaskID
	URL         string // any; only its PublicURL leaves
	Tag         string
	Application string
	Layout      darter.Layout
	LayoutKnown bool
	State       string // as Dragonfly names it; empty means Running
	Peers       int
	Available   bool // some peer can serve
	Created     time.Time
	Updated     time.Time
}

// FromTask writes a task for everyone's eyes.
func FromTask(t Public) *commonv2.Task {
	return &commonv2.Task{
		Id: string(t.ID), Type: commonv2.TaskType_STANDARD, Url: PublicURL(t.URL), Tag: optional(t.Tag), Application: optional(t.Application),
		ContentLength: uint64(max(t.Layout.Length, 0)), PieceCount: t.Layout.Count(), SizeScope: sizeScope(t),
		State: stateOr(t.State, "Running"), PeerCount: uint32(max(t.Peers, 0)), HasAvailablePeer: t.Available,
		CreatedAt: FromTime(t.Created), UpdatedAt: FromTime(t.Updated),
	}
}

// Candidate writes a parent as its child may see it: with every field the generated rules demand, and
// without request headers. state is the peer's state as Dragonfly names it.
func Candidate(p darter.Parent, state string, t Public) *commonv2.Peer {
	return CandidateOf(p, state, FromTask(t))
}

// CandidateOf is Candidate with a task that was written before, so that the candidates of one response
// share it.
func CandidateOf(p darter.Parent, state string, task *commonv2.Task) *commonv2.Peer {
	return &commonv2.Peer{
		Id: string(p.Peer), Cost: durationpb.New(0), State: stateOr(state, "Running"), Task: task, Host: candidateHost(p.Host),
		CreatedAt: task.GetCreatedAt(), UpdatedAt: task.GetUpdatedAt(),
	}
}

// ToParent reads a candidate parent. Errors are darter.Invalid.
func ToParent(m *commonv2.Peer) (darter.Parent, error) {
	if err := checkID("peer id", m.GetId()); err != nil {
		return darter.Parent{}, err
	}
	h, err := ToHost(m.GetHost())
	if err != nil {
		return darter.Parent{}, err
	}
	return darter.Parent{Peer: darter.PeerID(m.GetId()), Host: h}, nil
}

// PublicURL is a URL without user information, query and fragment, where credentials hide. What does
// not parse becomes a placeholder that still passes the generated rules.
func PublicURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || !u.IsAbs() {
		return "unknown:///"
	}
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	return u.String()
}

// sizeScope follows the reference's order of conditions.
func sizeScope(t Public) commonv2.SizeScope {
	switch {
	case !t.LayoutKnown || t.Layout.Length < 0:
		return commonv2.SizeScope_UNKNOW
	case t.Layout.Length == 0:
		return commonv2.SizeScope_EMPTY
	case t.Layout.Length <= 128:
		return commonv2.SizeScope_TINY
	case t.Layout.Count() == 1:
		return commonv2.SizeScope_SMALL
	}
	return commonv2.SizeScope_NORMAL
}

func stateOr(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
