package daemon

import (
	"context"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/daemon/fetch"
	"github.com/darter-p2p/darter/internal/daemon/rpc"
)

// schedulerAdapter makes rpc's conversations fetch's.
type schedulerAdapter struct{ *rpc.Schedulers }

func (a schedulerAdapter) Register(ctx context.Context, r darter.Registration) (fetch.Conversation, error) {
	c, err := a.Schedulers.Register(ctx, r)
	if err != nil {
		return nil, err // not a nil *Conversation in an interface
	}
	return c, nil
}

// Length asks what the scheduler knows of a task.
func (a schedulerAdapter) Length(ctx context.Context, id darter.TaskID) (int64, error) {
	t, err := a.StatTask(ctx, id)
	if err != nil {
		return 0, err
	}
	if !t.GetHasAvailablePeer() {
		return 0, &darter.Error{Kind: darter.NotFound, Op: "find a peer that holds task " + id.Short()}
	}
	return int64(t.GetContentLength()), nil
}

// downloads makes the engine what the gRPC servers ask.
type downloads struct{ engine *fetch.Engine }

func (a downloads) Start(ctx context.Context, w darter.Want) (rpc.Download, error) {
	s, err := a.engine.Start(ctx, w)
	if err != nil {
		return nil, err
	}
	return &session{Session: s, inOrder: w.NeedContent, forget: context.AfterFunc(ctx, s.Close)}, nil
}

// session is one caller's view of a download.
type session struct {
	*fetch.Session
	inOrder bool
	forget  func() bool
}

func (s *session) Started() rpc.Started {
	m := s.Task().Meta()
	return rpc.Started{Host: s.Host(), Task: s.ID(), Peer: s.Peer(), Layout: m.Layout, Range: s.Range(), Header: m.Header,
		Pieces: s.Pieces(), Finished: s.AtStart().Contains(s.Pieces())}
}

func (s *session) Next(ctx context.Context) (darter.Piece, error) {
	if s.inOrder {
		return s.NextInOrder(ctx)
	}
	return s.Session.Next(ctx)
}

func (s *session) Close() {
	s.forget()
	s.Session.Close()
}
