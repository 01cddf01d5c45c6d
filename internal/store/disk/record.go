package disk

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/darter-p2p/darter"
)

// kind is what a record says. Zero is never written, so that a hole is no record.
type kind uint8

const (
	kindPiece      kind = 1 // a piece is held
	kindText       kind = 2 // part of a text that other records refer to by index
	kindDrop       kind = 3 // a piece is forgotten, and the task is not complete
	kindCheckpoint kind = 4 // everything recorded so far was durable; the clean-shutdown mark
	kindComplete   kind = 5 // a checkpoint, and the task is complete
	kindRead       kind = 6 // when the task was last read
)

// textChunk is how much of a text fits one record.
const textChunk = 44

// record is one entry of a sidecar's log. All are 64 bytes:
//
//	 0  1  kind          1  1  traffic (piece), part number (text)
//	 2  2  text index: parent (piece), digest (complete), its own (text); 0 is none
//	 4  4  piece number; length of the whole text (text)
//	 8  4  piece length
//	12  4  CRC-32 of the piece
//	16  8  cost, ns      \
//	24  8  time, ns Unix  > 16..60 holds text (text)
//	32  8  sum of the held pieces (checkpoint, complete)
//	40 20  zero
//	60  4  CRC-32 of bytes 0..60, seeded with the header's CRC and the record's position
//
// The seed makes a record good only in its own place: what an old file left in a block on disk, or a
// record that was moved, is not taken for one.
type record struct {
	kind   kind
	detail uint8
	text   uint16
	number uint32
	length uint32
	crc    uint32
	cost   time.Duration
	at     time.Time
	sum    uint64
	chunk  []byte
}

func recordCRC(b []byte, seed uint32, slot int64) uint32 {
	var place [8]byte
	binary.LittleEndian.PutUint64(place[:], uint64(slot))
	return crc32.Update(crc32.Update(seed, crc32.IEEETable, place[:]), crc32.IEEETable, b[:60])
}

// encode writes r as the slot-th record into b, which has 64 zero bytes.
func (r record) encode(b []byte, seed uint32, slot int64) {
	b[0], b[1] = byte(r.kind), r.detail
	binary.LittleEndian.PutUint16(b[2:], r.text)
	binary.LittleEndian.PutUint32(b[4:], r.number)
	binary.LittleEndian.PutUint32(b[8:], r.length)
	binary.LittleEndian.PutUint32(b[12:], r.crc)
	if r.kind == kindText {
		copy(b[16:60], r.chunk)
	} else {
		binary.LittleEndian.PutUint64(b[16:], uint64(r.cost))
		binary.LittleEndian.PutUint64(b[24:], uint64(nanos(r.at)))
		binary.LittleEndian.PutUint64(b[32:], r.sum)
	}
	binary.LittleEndian.PutUint32(b[60:], recordCRC(b, seed, slot))
}

// decodeRecord reads one record. It refuses one that is damaged or in the wrong place.
func decodeRecord(b []byte, seed uint32, slot int64) (record, bool) {
	if b[0] == 0 || recordCRC(b, seed, slot) != binary.LittleEndian.Uint32(b[60:]) {
		return record{}, false
	}
	r := record{kind: kind(b[0]), detail: b[1],
		text:   binary.LittleEndian.Uint16(b[2:]),
		number: binary.LittleEndian.Uint32(b[4:]),
		length: binary.LittleEndian.Uint32(b[8:]),
		crc:    binary.LittleEndian.Uint32(b[12:])}
	if r.kind == kindText {
		r.chunk = b[16:60]
		return r, true
	}
	r.cost = time.Duration(binary.LittleEndian.Uint64(b[16:]))
	r.at = moment(int64(binary.LittleEndian.Uint64(b[24:])))
	r.sum = binary.LittleEndian.Uint64(b[32:])
	return r, true
}

// textRecords splits a text into records.
func textRecords(index uint16, text string) []record {
	var out []record
	for i := 0; i*textChunk < len(text); i++ {
		part := text[i*textChunk : min((i+1)*textChunk, len(text))]
		out = append(out, record{kind: kindText, detail: uint8(i), text: index, number: uint32(len(text)), chunk: []byte(part)})
	}
	return out
}

// nanos and moment keep the zero time zero.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func moment(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

// mix spreads a piece's number and CRC over 64 bits, so that the sum of all held pieces tells whether two
// sets of pieces are the same, in whatever order they were written.
func mix(number, crc uint32) uint64 {
	x := uint64(number)<<32 | uint64(crc)
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// entry is a piece as kept in memory; number, offset and length follow from its place.
type entry struct {
	created int64
	cost    time.Duration
	crc     uint32
	parent  uint16
	traffic darter.Traffic
}
