package vortex

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/darter-p2p/darter"
)

// Run accepts connections and serves pieces until ctx ends; then it refuses new requests, lets running
// bodies finish within the drain limit, and returns when every connection is closed. It closes the
// listener. The error is nil unless accepting failed for good.
func (s *Server) Run(ctx context.Context) error {
	stopped := make(chan struct{})
	defer close(stopped)
	go func() { // the listener cannot wait for ctx itself
		select {
		case <-ctx.Done():
		case <-stopped:
		}
		s.Drain()
		s.cfg.Listener.Close()
	}()

	var connections sync.WaitGroup
	serving, cutOff := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cutOff(errDraining)
	err := s.accept(ctx, func(conn net.Conn) {
		connections.Add(1)
		go func() {
			defer connections.Done()
			s.serve(serving, conn)
		}()
	})

	s.Drain()
	ended := make(chan struct{})
	go func() { connections.Wait(); close(ended) }()
	limit := time.NewTimer(s.cfg.DrainTimeout)
	defer limit.Stop()
	select {
	case <-ended:
	case <-limit.C:
		cutOff(errDraining)
		<-ended
	}
	return err
}

// accept hands every connection to serve until the listener is closed. Passing failures, such as too
// many open files, are waited out.
func (s *Server) accept(ctx context.Context, serve func(net.Conn)) error {
	pause := 5 * time.Millisecond
	for {
		conn, err := s.cfg.Listener.Accept()
		switch {
		case err == nil:
			pause = 5 * time.Millisecond
			serve(conn)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return &darter.Error{Kind: darter.Unavailable, Op: "accept piece connections", Err: err}
		default:
			timer := time.NewTimer(pause)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return nil
			}
			pause = min(2*pause, time.Second)
		}
	}
}

// watch calls gone when the connection ends while a request waits for its slot. The returned function
// ends the watch and must be called before anybody else reads.
func (c *connection) watch(gone func()) (stop func()) {
	ended := make(chan struct{})
	_ = c.conn.SetReadDeadline(time.Time{})
	go func() {
		defer close(ended)
		if _, err := c.in.Peek(1); err != nil && !isTimeout(err) {
			gone()
		}
	}()
	return func() {
		_ = c.conn.SetReadDeadline(past)
		<-ended
	}
}
