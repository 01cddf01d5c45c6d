package http

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"time"
)

// errQueued ends a request that got no connection.
var errQueued = errors.New("no connection became free")

// hop asks one place. On success the answer's context lives until it is closed.
func (s *Source) hop(ctx context.Context, q question, p place) (*answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	a := &answer{url: q.url, host: p.url.Host, place: p, ctx: ctx, cancel: cancel}
	queued := time.AfterFunc(s.cfg.QueueTimeout, func() { cancel(errQueued) })
	defer queued.Stop()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { queued.Stop() },
	})
	r, err := s.throughProxy(s.request(ctx, q, p))
	if err == nil {
		a.resp, err = s.transport.RoundTrip(r)
	}
	if err == nil {
		return a, nil
	}
	defer cancel(err)
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errQueued):
		err = &timeout{fmt.Errorf("%w to %s within %v", errQueued, a.host, s.cfg.QueueTimeout)}
	case cause != nil:
		return nil, ended(ctx, a.op())
	}
	return nil, classify(err, a.op(), a.host)
}

// timeout marks an error as one of time.
type timeout struct{ error }

func (*timeout) Timeout() bool   { return true }
func (*timeout) Temporary() bool { return true }

func (s *Source) request(ctx context.Context, q question, p place) *http.Request {
	header := q.header
	if !p.own {
		header = forStrangers(header)
	}
	r := (&http.Request{
		Method: q.method, URL: p.url, Header: header.Clone(), Host: header.Get("Host"),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	r.Header.Del("Host")
	r.Header.Set("Accept-Encoding", "identity")
	if r.Header.Get("User-Agent") == "" {
		r.Header.Set("User-Agent", s.cfg.UserAgent)
	}
	if r.Header.Get("Accept") == "" {
		r.Header.Set("Accept", "*/*")
	}
	if q.ranges != "" {
		r.Header.Set("Range", q.ranges)
	}
	return r
}
