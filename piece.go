package darter

import (
	"fmt"
	"math"
	"math/bits"
	"time"
)

// Bounds of the piece length, in bytes, as Dragonfly's daemon clamps it.
const (
	MinPieceLength = 4 << 20
	MaxPieceLength = 64 << 20
)

// PieceLengthFor returns the piece length in bytes of a content of the given length, as the released
// Dragonfly daemon computes it: the next power of two of length/500, clamped to 4 MiB ... 64 MiB.
// All peers of a task must agree on it, so it is a pure function of the length.
func PieceLengthFor(contentLength int64) int64 {
	if contentLength <= 500*MinPieceLength {
		return MinPieceLength
	}
	want := uint64(math.Trunc(float64(contentLength) / 500))
	p := uint64(1) << bits.Len64(want-1) // next power of two, itself when already one
	return int64(min(max(p, MinPieceLength), MaxPieceLength))
}

// Span is a half-open run of bytes inside a task: [Offset, Offset+Length).
type Span struct{ Offset, Length int64 }

// End returns the first byte after the span.
func (s Span) End() int64 { return s.Offset + s.Length }

// Range is a run of bytes that a client asks for. Length is never zero in a valid range.
type Range struct{ Start, Length int64 }

// End returns the first byte after the range.
func (r Range) End() int64 { return r.Start + r.Length }

func (r Range) String() string { return fmt.Sprintf("bytes=%d-%d", r.Start, r.End()-1) }

// Layout is how a content divides into pieces. The last piece may be short.
type Layout struct {
	Length      int64 // bytes of the whole content
	PieceLength int64 // bytes of every piece but the last
}

// LayoutOf returns the layout of a content, with the computed piece length when explicit is 0.
func LayoutOf(contentLength, explicit int64) Layout {
	if explicit <= 0 {
		explicit = PieceLengthFor(contentLength)
	}
	return Layout{Length: contentLength, PieceLength: explicit}
}

// Count returns the number of pieces: 0 for an empty content.
func (l Layout) Count() uint32 {
	if l.Length <= 0 || l.PieceLength <= 0 {
		return 0
	}
	return uint32((l.Length + l.PieceLength - 1) / l.PieceLength)
}

// Span returns where piece n lies. It is empty when there is no such piece.
func (l Layout) Span(n uint32) Span {
	if n >= l.Count() {
		return Span{}
	}
	off := int64(n) * l.PieceLength
	return Span{Offset: off, Length: min(l.PieceLength, l.Length-off)}
}

// At returns the number of the piece that holds the byte at off.
func (l Layout) At(off int64) uint32 { return uint32(off / l.PieceLength) }

// Covering returns the pieces that overlap r, as a set. A nil range covers everything.
func (l Layout) Covering(r *Range) PieceSet {
	var set PieceSet
	if r == nil {
		set.AddRange(0, l.Count())
		return set
	}
	if r.Length <= 0 || r.Start < 0 || r.Start >= l.Length {
		return set
	}
	last := min(r.End(), l.Length) - 1
	set.AddRange(l.At(r.Start), l.At(last)+1)
	return set
}

// Traffic tells where the bytes of a piece came from. Values are those of Dragonfly's API.
type Traffic uint8

// Where bytes come from.
const (
	FromSource Traffic = 0 // back to source
	FromPeer   Traffic = 1 // another host
	FromCache  Traffic = 2 // this host had it
)

func (t Traffic) String() string {
	switch t {
	case FromSource:
		return "origin"
	case FromPeer:
		return "peers"
	case FromCache:
		return "cache"
	}
	return fmt.Sprintf("traffic(%d)", uint8(t))
}

// Piece is a numbered span of a task that was fetched and checked.
type Piece struct {
	Number  uint32
	Offset  int64
	Length  int64
	CRC     uint32 // CRC-32 (IEEE) of the bytes
	HasCRC  bool   // false when the sender gave no digest
	Parent  PeerID // who served it; empty for the source
	Traffic Traffic
	Cost    time.Duration // time from asking to having
	Created time.Time
}

// CRCText renders a piece checksum as the wire wants it: "crc32:" and the decimal value.
// Source: the released Dragonfly daemon's digest text (decimal, not hexadecimal).
func CRCText(crc uint32) string { return fmt.Sprintf("crc32:%d", crc) }
