package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/httprange"
	"github.com/darter-p2p/darter/internal/store"
)

// Session is one asker's part in a download. It is used by one goroutine; Close may come from any.
type Session struct {
	d       *download
	want    darter.Want
	wanted  darter.PieceSet
	atStart darter.PieceSet // held when the session began
	told    darter.PieceSet // yielded by Next
	finish  bool            // the end was verified
	bad     error           // the Range header cannot be satisfied
	once    sync.Once
	waiting atomic.Int64 // 1 + the piece that a reader waits for; 0 when none
}

// resolve takes the range from the Range header when the request names none, as Dragonfly's daemon does. An
// unsatisfiable one covers nothing. The download's lock is held.
func (s *Session) resolve(length int64) {
	header := ""
	for k, v := range s.want.Header {
		if strings.EqualFold(k, "Range") {
			header = v
		}
	}
	if header == "" || s.want.Range != nil {
		return
	}
	r, err := httprange.Parse(header, length)
	s.bad, s.want.Range = err, &r
}

// begin settles what the session wants, once the length is known.
func (s *Session) begin() error {
	layout := s.d.task.Meta().Layout
	if s.bad != nil {
		s.Close()
		return s.bad
	}
	if r := s.want.Range; r != nil && (r.Start < 0 || r.Length <= 0 || r.Start >= layout.Length) {
		s.Close()
		return &darter.Error{Kind: darter.Invalid, Op: "download " + s.d.task.Meta().URL,
			Err: fmt.Errorf("the range %s lies outside the content of %d bytes", r, layout.Length), Hint: "ask for bytes that exist"}
	}
	s.wanted = layout.Covering(s.want.Range)
	s.atStart = s.d.task.Pieces().Intersect(s.wanted)
	return nil
}

// Task returns the stored task.
func (s *Session) Task() store.Task { return s.d.task }

// ID returns the task's id, Peer this host's peer id.
func (s *Session) ID() darter.TaskID { return s.d.id }

// Peer returns the peer id that the download began with.
func (s *Session) Peer() darter.PeerID { return s.d.peer }

// Host returns this host's id.
func (s *Session) Host() darter.HostID { return s.d.e.cfg.Host }

// Pieces returns what the session asked for, AtStart which of it was here already.
func (s *Session) Pieces() darter.PieceSet { return s.wanted.Clone() }

// AtStart returns the asked pieces that were here before.
func (s *Session) AtStart() darter.PieceSet { return s.atStart.Clone() }

// Range returns the bytes the session covers, never past the end; nil means everything.
func (s *Session) Range() *darter.Range {
	if s.want.Range == nil {
		return nil
	}
	r := *s.want.Range
	r.Length = min(r.Length, s.d.task.Meta().Layout.Length-r.Start)
	return &r
}

// Next yields each asked piece once, the lowest that is here first. It returns io.EOF after the last, when the
// digest matched and the output file, if one was asked for, is in place. ctx bounds the wait.
func (s *Session) Next(ctx context.Context) (darter.Piece, error) {
	for {
		changed := s.d.task.Changed()
		left := s.wanted.Minus(s.told)
		if left.Empty() {
			return darter.Piece{}, s.end(ctx)
		}
		for n := range left.Intersect(s.d.task.Pieces()).All() {
			p, ok := s.d.task.Piece(n)
			if !ok {
				continue
			}
			s.told.Add(n)
			if s.atStart.Has(n) {
				p.Traffic = darter.FromCache
			}
			return p, nil
		}
		if err := s.await(ctx, changed); err != nil {
			return darter.Piece{}, err
		}
	}
}

// NextInOrder is Next, but in ascending order, for callers that pass the bytes on. The piece it waits for is fetched
// before others.
func (s *Session) NextInOrder(ctx context.Context) (darter.Piece, error) {
	defer s.waiting.Store(0)
	for n := range s.wanted.Minus(s.told).All() {
		for {
			changed := s.d.task.Changed()
			if p, ok := s.d.task.Piece(n); ok {
				s.told.Add(n)
				if s.atStart.Has(n) {
					p.Traffic = darter.FromCache
				}
				return p, nil
			}
			if s.waiting.Swap(int64(n)+1) != int64(n)+1 {
				s.d.kick()
			}
			if err := s.await(ctx, changed); err != nil {
				return darter.Piece{}, err
			}
		}
	}
	return darter.Piece{}, s.end(ctx)
}

// await waits for a change of the task or the end of the download.
func (s *Session) await(ctx context.Context, changed <-chan struct{}) error {
	if s.d.task.Removed() { // it changes no more: only the loop's word counts
		changed = nil
	}
	select {
	case <-changed:
		return nil
	case <-s.d.settled:
		if s.d.failed != nil {
			return s.d.failed
		}
		if !s.d.task.Pieces().Contains(s.wanted) {
			return &darter.Error{Kind: darter.Internal, Op: "download " + s.d.task.Meta().URL, Err: errEnded}
		}
		return nil
	case <-ctx.Done():
		return &darter.Error{Kind: darter.TimedOut, Op: "download " + s.d.task.Meta().URL, Err: context.Cause(ctx),
			Hint: "the pieces that arrived are kept; ask again to go on"}
	}
}

// end waits until the download settled, checks the digest and produces the output file.
func (s *Session) end(ctx context.Context) error {
	if s.finish {
		return io.EOF
	}
	select {
	case <-s.d.settled:
	case <-ctx.Done():
		return &darter.Error{Kind: darter.TimedOut, Op: "finish " + s.d.task.Meta().URL, Err: context.Cause(ctx)}
	}
	if s.d.failed != nil && !s.here() {
		return s.d.failed
	}
	if err := s.complete(); err != nil {
		return err
	}
	s.finish = true
	return io.EOF
}

// here reports whether everything asked for has arrived, whatever became of the download for others.
func (s *Session) here() bool { return s.d.task.Pieces().Contains(s.wanted) }

func (s *Session) complete() error {
	if s.want.Range != nil {
		return nil
	}
	if err := s.d.task.Finish(s.want.Digest); err != nil {
		return err
	}
	if s.want.OutputPath == "" {
		return nil
	}
	return deliver(s.d.task, s.want)
}

// Wait waits for the end as Next does, without yielding pieces.
func (s *Session) Wait(ctx context.Context) error {
	for {
		_, err := s.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Close leaves the download. It may go on for others.
func (s *Session) Close() { s.once.Do(func() { s.d.leave(s) }) }
