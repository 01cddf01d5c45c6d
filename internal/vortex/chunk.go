package vortex

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// Behind a TagRelayed frame the bytes of the piece come in chunks, each with its own CRC-32 (IEEE), so that what came
// can be passed on before the rest is there:
//
//	0         4         8
//	| n       | CRC     | n bytes …     1 to maxChunk bytes
//	| 0       | CRC of the whole piece  the end: the sender holds the piece, and it matched
//	| 2^32-1  | ending                  the sender gave up; the connection is good for another request
const (
	chunkHead = 8
	maxChunk  = 128 << 10
	sendChunk = 64 << 10 // little, because each host on the way waits for a whole one
	// firstChunk is what lets the receiver tell others that the piece arrives.
	firstChunk = 8 << 10
	endOfBody  = 0
	givenUp    = math.MaxUint32
)

// ending says what the receiver has of a piece that its sender gave up.
type ending uint32

const (
	endedLeft ending = 0 // what came is good
	endedVoid ending = 1 // what came may be wrong
	endedBusy ending = 2 // what came is good, and the sender has or gets the rest, but has more urgent things to send
)

// sealChunk fills in the head of a chunk whose bytes lie behind it.
func sealChunk(chunk []byte) {
	body := chunk[chunkHead:]
	binary.BigEndian.PutUint32(chunk, uint32(len(body)))
	binary.BigEndian.PutUint32(chunk[4:], crc32.ChecksumIEEE(body))
}

// appendMark writes what stands in place of a chunk.
func appendMark(b []byte, kind, value uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, kind), value)
}

// parseChunk reads the head of a chunk.
func parseChunk(head []byte) (n, value uint32) {
	return binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
}
