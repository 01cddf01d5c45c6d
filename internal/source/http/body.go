package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/darter-p2p/darter"
)

// errStalled ends an exchange whose body stopped coming.
var errStalled = errors.New("no byte arrived for too long")

// body hands out exactly the bytes expected, and says how it ended.
type body struct {
	*answer
	s    *Source
	left int64 // bytes still expected; -1 when unknown
	got  int64
	cut  bool        // what follows the expected bytes is not ours to judge: less was wanted than asked for
	wait *time.Timer // runs only inside a read, so that a slow reader is not taken for a stalled server
	err  error       // how it ended
}

func (s *Source) body(a *answer, expected int64, cut bool) *body {
	b := &body{answer: a, s: s, left: expected, cut: cut}
	b.wait = time.AfterFunc(s.cfg.StallTimeout, func() { a.cancel(errStalled) })
	b.wait.Stop()
	return b
}

// Read reads from the connection into p.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.left == 0 {
		b.err = b.surplus()
		return 0, b.err
	}
	if b.left > 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.timed(p)
	b.got += int64(n)
	if b.left > 0 {
		b.left -= int64(n)
	}
	if err != nil {
		b.err = b.ended(err)
	}
	return n, b.err
}

func (b *body) timed(p []byte) (int, error) {
	b.wait.Reset(b.s.cfg.StallTimeout)
	defer b.wait.Stop()
	return b.resp.Body.Read(p)
}

// WriteTo copies the rest with a pooled buffer, larger than io.Copy's own.
func (b *body) WriteTo(w io.Writer) (int64, error) {
	buffer := b.s.buffers.Get().(*[]byte)
	defer b.s.buffers.Put(buffer)
	var total int64
	for {
		n, err := b.Read(*buffer)
		if n > 0 {
			m, werr := w.Write((*buffer)[:n])
			total += int64(m)
			if werr == nil && m < n {
				werr = io.ErrShortWrite
			}
			if werr != nil {
				return total, werr
			}
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// Close ends the exchange. A body read to its end leaves the connection for the next request. It may be
// called while a Read waits, which then fails.
func (b *body) Close() error {
	b.wait.Stop()
	b.close()
	return nil
}

// surplus looks for bytes after the expected ones. The look also takes in the end of a chunked
// body, without which the connection could not be used again.
func (b *body) surplus() error {
	if b.cut {
		return io.EOF
	}
	var one [1]byte
	n, err := b.timed(one[:])
	if n > 0 {
		return b.corrupt(fmt.Errorf("the body is longer than the %d bytes expected", b.got))
	}
	if err == nil || errors.Is(err, io.EOF) {
		return io.EOF
	}
	return b.ended(err)
}

// ended explains the error of a read.
func (b *body) ended(err error) error {
	switch {
	case errors.Is(err, io.EOF) && b.left <= 0:
		return io.EOF
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &darter.Error{Kind: darter.Corrupt, Op: b.op(), Err: b.short(),
			Hint: fmt.Sprintf("the server %s or something on the way cut the connection; what is missing can be asked for again", b.host)}
	case errors.Is(context.Cause(b.ctx), errStalled):
		return &darter.Error{Kind: darter.TimedOut, Op: b.op(),
			Err:  fmt.Errorf("after %d bytes nothing arrived from %s for %v", b.got, b.host, b.s.cfg.StallTimeout),
			Hint: "the source or the way to it hangs; try again"}
	case b.ctx.Err() != nil:
		return ended(b.ctx, b.op())
	}
	return &darter.Error{Kind: darter.Unavailable, Op: b.op(),
		Err:  fmt.Errorf("after %d bytes the connection to %s broke: %w", b.got, b.host, err),
		Hint: "what is missing can be asked for again"}
}

func (b *body) short() error {
	if b.left < 0 {
		return fmt.Errorf("the body ended within a chunk, after %d bytes: %w", b.got, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("the body ended after %d of %d bytes: %w", b.got, b.got+b.left, io.ErrUnexpectedEOF)
}
