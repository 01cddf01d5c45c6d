package rpc

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
	"github.com/darter-p2p/darter/api/wire"
	"github.com/darter-p2p/darter/internal/inventory"
)

// Lease is an open lease stream with one scheduler. One goroutine may send while another receives.
type Lease struct {
	at     netip.AddrPort
	limit  time.Duration
	stream darterv1.Liveness_LeaseClient
	cancel context.CancelCauseFunc

	once    sync.Once
	release func() // gives the connection back
}

// partingWait is how long a scheduler gets to end a stream that this host has ended in order.
const partingWait = 500 * time.Millisecond

var (
	errNoLease  = errors.New("it grants no leases")
	errUnread   = errors.New("it does not read what this host sends")
	errParted   = errors.New("it ended the lease")
	errStranger = errors.New("its answer is of no known kind")
)

// Lease opens a lease stream with the scheduler at an address, and returns once the scheduler has taken it. A scheduler that has no such service
// is darter.NotFound; one that does not answer is darter.TimedOut or darter.Unavailable. ctx bounds the whole lease.
func (s *Schedulers) Lease(ctx context.Context, at netip.AddrPort) (*Lease, error) {
	m, done := s.member(at)
	for again := true; ; again = false {
		l, err := m.acquire()
		if err != nil {
			done()
			return nil, err
		}
		lease, err := s.openLease(ctx, m, l)
		if err != nil {
			m.release(l)
			done()
			return nil, err
		}
		if !again || !l.isRetired() {
			lease.release = func() { m.release(l); done() }
			return lease, nil
		}
		// The first word of one of our own retires a connection that does not ping. The next one does.
		lease.release = func() { m.release(l) }
		lease.end()
	}
}

func (s *Schedulers) openLease(ctx context.Context, m *member, l *link) (*Lease, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	op := schedulerOp("take a lease from", m.at)
	late := time.AfterFunc(s.cfg.HeaderTimeout, func() { cancel(&darter.Error{Kind: darter.TimedOut, Op: op, Err: errNoHeaders}) })
	defer late.Stop()
	stream, err := darterv1.NewLivenessClient(l.conn).Lease(ctx)
	if err == nil {
		header, herr := stream.Header()
		switch {
		case herr != nil:
			err = herr
		case len(header.Get(wire.MetaNative)) > 0:
			m.heard(header)
			return &Lease{at: m.at, limit: s.cfg.CallTimeout, stream: stream, cancel: cancel}, nil
		default: // the status says why there is no header
			if _, err = stream.Recv(); err == nil {
				err = errStranger
			}
		}
	}
	cause := context.Cause(ctx)
	cancel(nil)
	switch {
	case status.Code(err) == codes.Unimplemented:
		return nil, &darter.Error{Kind: darter.NotFound, Op: op, Err: errNoLease}
	case darter.KindOf(cause) == darter.TimedOut:
		return nil, cause
	}
	return nil, wire.FromStatus(op, err)
}

// Renew sends a renewal.
func (l *Lease) Renew(r darter.Renewal) error {
	return l.send(&darterv1.LeaseRequest{Word: &darterv1.LeaseRequest_Renewal{Renewal: wire.FromRenewal(r)}})
}

// Answer sends the answer to a question.
func (l *Lease) Answer(a inventory.Answer) error {
	return l.send(&darterv1.LeaseRequest{Word: &darterv1.LeaseRequest_Answer{Answer: wire.FromAnswer(a)}})
}

// send is bounded: a scheduler that does not read loses the stream. Receive then says why the stream is over.
func (l *Lease) send(m *darterv1.LeaseRequest) error {
	late := time.AfterFunc(l.limit, func() { l.cancel(unavailable(schedulerOp("renew with", l.at), errUnread)) })
	defer late.Stop()
	return wire.FromStatus(schedulerOp("renew with", l.at), l.stream.Send(m))
}

// Receive waits for the scheduler's next word: a grant, or questions when there are any. Call it until it fails: an error is
// the end of the lease, and gives the connection back.
func (l *Lease) Receive() (darter.Grant, []inventory.Question, error) {
	g, q, err := l.receive()
	if err != nil {
		l.end()
	}
	return g, q, err
}

func (l *Lease) receive() (darter.Grant, []inventory.Question, error) {
	op := schedulerOp("keep the lease of", l.at)
	m, err := l.stream.Recv()
	switch cause := context.Cause(l.stream.Context()); {
	case errors.Is(err, io.EOF):
		return darter.Grant{}, nil, unavailable(op, errParted)
	case err != nil && errors.Is(cause, errUnread):
		return darter.Grant{}, nil, cause
	case err != nil:
		return darter.Grant{}, nil, wire.FromStatus(op, err)
	}
	switch w := m.GetWord().(type) {
	case *darterv1.LeaseResponse_Grant:
		g, err := wire.ToGrant(w.Grant)
		return g, nil, err
	case *darterv1.LeaseResponse_Questions:
		q, err := wire.ToQuestions(w.Questions)
		return darter.Grant{}, q, err
	}
	return darter.Grant{}, nil, &darter.Error{Kind: darter.Invalid, Op: op, Err: errStranger}
}

// Close ends the lease in order. It returns at once; the scheduler gets a moment to see that it was no accident. Receive goes on until that
// is over.
func (l *Lease) Close() {
	_ = l.stream.CloseSend()
	time.AfterFunc(partingWait, func() { l.cancel(nil) })
}

// end gives back what the stream used.
func (l *Lease) end() {
	l.once.Do(func() {
		l.cancel(nil)
		l.release()
	})
}
