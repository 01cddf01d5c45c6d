package cli

import (
	"context"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/darter-p2p/darter"
)

// sequence puts pieces, which may come in any order, into one stream: it writes what is next, and keeps what came early in
// a nameless temporary file. It cuts pieces down to the range, hashes what it writes and keeps to a rate.
//
//	pieces ─▶ cut to range ─▶ next? ─▶ rate ─▶ hash ─▶ out
//	                           └ early ─▶ spill file ─┘
type sequence struct {
	out   io.Writer
	rate  *allowance
	hash  hash.Hash // nil: no digest to check
	span  darter.Span
	next  int64           // first byte of the content that is not written
	early map[int64]int64 // offset of the content -> length, in spill
	spill *os.File
}

// newSequence returns the sequence of the bytes of a span.
func newSequence(out io.Writer, span darter.Span, rate *allowance, h hash.Hash) *sequence {
	return &sequence{out: out, rate: rate, hash: h, span: span, next: span.Offset, early: map[int64]int64{}}
}

// put takes one piece's bytes, which start at offset in the content.
func (s *sequence) put(ctx context.Context, offset int64, data []byte) error {
	lo, hi := max(offset, s.span.Offset), min(offset+int64(len(data)), s.span.End())
	if lo >= hi {
		return nil
	}
	data = data[lo-offset : hi-offset]
	if lo > s.next {
		return s.keep(lo, data)
	}
	if hi <= s.next { // a piece twice
		return nil
	}
	if err := s.write(ctx, data[s.next-lo:]); err != nil {
		return err
	}
	return s.drain(ctx)
}

func (s *sequence) keep(offset int64, data []byte) error {
	if s.spill == nil {
		f, err := os.CreateTemp("", "darter-early-*")
		if err != nil {
			return fileError("keep a piece that came early", err, "set TMPDIR to a folder that may be written")
		}
		if err := os.Remove(f.Name()); err != nil {
			f.Close()
			return fileError("keep a piece that came early", err, "set TMPDIR to another folder")
		}
		s.spill = f
	}
	if _, err := s.spill.WriteAt(data, offset-s.span.Offset); err != nil {
		return fileError("keep a piece that came early", err, "free some space in the folder for temporary files")
	}
	s.early[offset] = int64(len(data))
	return nil
}

func (s *sequence) drain(ctx context.Context) error {
	buf := []byte(nil)
	for {
		length, ok := s.early[s.next]
		if !ok {
			return nil
		}
		delete(s.early, s.next)
		if int64(cap(buf)) < length {
			buf = make([]byte, length)
		}
		buf = buf[:length]
		if _, err := s.spill.ReadAt(buf, s.next-s.span.Offset); err != nil {
			return fileError("read back a piece that came early", err, "")
		}
		if err := s.write(ctx, buf); err != nil {
			return err
		}
	}
}

func (s *sequence) write(ctx context.Context, data []byte) error {
	const step = 256 << 10 // so that a rate is smooth and an interrupt prompt
	for len(data) > 0 {
		part := data[:min(len(data), step)]
		if err := s.rate.WaitN(ctx, len(part)); err != nil {
			return err
		}
		if _, err := s.out.Write(part); err != nil {
			return fileError("write", err, "")
		}
		if s.hash != nil {
			s.hash.Write(part)
		}
		s.next += int64(len(part))
		data = data[len(part):]
	}
	return nil
}

// finish reports whether every byte of the span was written.
func (s *sequence) finish() error {
	if s.next == s.span.End() {
		return nil
	}
	return &darter.Error{Kind: darter.Corrupt, Op: "receive content",
		Err:  fmt.Errorf("it ended after %d of %d bytes", s.next-s.span.Offset, s.span.Length),
		Hint: "run the same command again: what has arrived is kept"}
}

func (s *sequence) close() {
	if s.spill != nil {
		s.spill.Close()
	}
}
