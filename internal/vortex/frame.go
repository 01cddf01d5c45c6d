package vortex

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/darter-p2p/darter"
)

// A frame is a header of six bytes, big-endian, and a value:
//
//	0        1        2                 6
//	| id     | tag    | length of value | value …
//
// id is arbitrary and not checked. Behind a PieceContent value follow the bytes of the piece, which
// the length does not count. docs/formats/vortex.md draws the values.
const (
	headerSize  = 6
	taskIDSize  = 64
	requestSize = taskIDSize + 4
	relaySize   = requestSize + 8 + 1
	// metaFixed is the metadata of a piece with an empty digest and an empty parent id.
	metaFixed = 4 + 8 + 8 + 4 + 4 + 1 + 8 + 8
	// maxMeta bounds the metadata of a piece, maxFailure the value of an Error frame.
	maxMeta    = 4 << 10
	maxFailure = 4 << 10
)

// flagSole is the flag of a relay request that says that the child knows nobody else to ask. Others are ignored.
const flagSole = 1

// Tag says what a frame is.
type Tag uint8

// Tags of the frames that are understood. Odd tags up to 7 answer the even one before; the persistent and cached
// kinds are refused.
const (
	TagDownload Tag = 0
	TagContent  Tag = 1
	TagRelay    Tag = 64 // ours: a piece that may still be arriving, from an offset on
	TagRelayed  Tag = 65
	TagClose    Tag = 254
	TagError    Tag = 255
)

// request asks for one piece.
type request struct {
	task   darter.TaskID
	number uint32
	relay  bool  // as it comes, in chunks
	offset int64 // of a relay: how much of the piece is there already
	sole   bool  // of a relay: the child knows nobody else to ask
}

// appendHeader writes the six bytes that open a frame.
func appendHeader(b []byte, id uint8, tag Tag, length int) []byte {
	return binary.BigEndian.AppendUint32(append(b, id, byte(tag)), uint32(length))
}

// parseHeader reads the six bytes that open a frame.
func parseHeader(b []byte) (Tag, uint32) { return Tag(b[1]), binary.BigEndian.Uint32(b[2:headerSize]) }

// appendRequest writes a whole request frame. The task id must be valid: 64 characters are not padded.
func appendRequest(b []byte, id uint8, r request) []byte {
	tag, size := TagDownload, requestSize
	if r.relay {
		tag, size = TagRelay, relaySize
	}
	b = appendHeader(b, id, tag, size)
	b = append(b, r.task...)
	b = binary.BigEndian.AppendUint32(b, r.number)
	if !r.relay {
		return b
	}
	var flags byte
	if r.sole {
		flags = flagSole
	}
	return append(binary.BigEndian.AppendUint64(b, uint64(r.offset)), flags)
}

// parseRequest reads the value of a request.
func parseRequest(value []byte) (request, error) {
	if len(value) != requestSize && len(value) != relaySize {
		return request{}, fmt.Errorf("the request has %d bytes, not %d or %d", len(value), requestSize, relaySize)
	}
	r := request{task: darter.TaskID(value[:taskIDSize]), number: binary.BigEndian.Uint32(value[taskIDSize:])}
	if len(value) == relaySize {
		offset := binary.BigEndian.Uint64(value[requestSize:])
		if offset > math.MaxInt64 {
			return request{}, fmt.Errorf("the offset %d is out of range", offset)
		}
		r.relay, r.offset, r.sole = true, int64(offset), value[relaySize-1]&flagSole != 0
	}
	if !r.task.Valid() {
		return request{}, fmt.Errorf("the task id is not %d lower-case hexadecimal digits", taskIDSize)
	}
	return r, nil
}

// appendContent writes the header and metadata that precede the bytes of a piece. A parent id too long for
// the limit is left out, since it only informs.
func appendContent(b []byte, id uint8, tag Tag, p darter.Piece) []byte {
	digest, parent := "", string(p.Parent)
	if p.HasCRC {
		digest = darter.CRCText(p.CRC)
	}
	if metaFixed+len(digest)+len(parent) > maxMeta {
		parent = ""
	}
	size := metaFixed + len(digest) + len(parent)
	b = appendHeader(b, id, tag, 4+size)
	b = binary.BigEndian.AppendUint32(b, uint32(size))
	b = binary.BigEndian.AppendUint32(b, p.Number)
	b = binary.BigEndian.AppendUint64(b, uint64(p.Offset))
	b = binary.BigEndian.AppendUint64(b, uint64(p.Length))
	b = appendText(b, digest)
	b = appendText(b, parent)
	b = append(b, byte(darter.FromPeer)) // the receiver's traffic: from a peer, whatever it was for us
	b = binary.BigEndian.AppendUint64(b, uint64(max(p.Cost, 0)/time.Second))
	return binary.BigEndian.AppendUint64(b, uint64(unix(p.Created)))
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// parseContent reads the value of a content frame: the metadata's length and the metadata.
func parseContent(value []byte) (darter.Piece, error) {
	if len(value) < 4+metaFixed || len(value) > 4+maxMeta {
		return darter.Piece{}, fmt.Errorf("the piece metadata has %d bytes, not %d to %d", len(value), 4+metaFixed, 4+maxMeta)
	}
	if told := binary.BigEndian.Uint32(value); uint64(told) != uint64(len(value)-4) {
		return darter.Piece{}, fmt.Errorf("the metadata claims %d bytes where %d follow", told, len(value)-4)
	}
	r := reader{rest: value[4:]}
	number, offset, length := r.u32(), r.u64(), r.u64()
	digest, parent := r.text(), r.text()
	traffic := r.bytes(1)
	cost, created := r.u64(), r.u64()
	if r.short || len(r.rest) != 0 {
		return darter.Piece{}, fmt.Errorf("the lengths inside the metadata do not add up")
	}
	if offset > math.MaxInt64 || length > math.MaxInt64-offset {
		return darter.Piece{}, fmt.Errorf("offset %d and length %d are out of range", offset, length)
	}
	p := darter.Piece{Number: number, Offset: int64(offset), Length: int64(length), Parent: darter.PeerID(parent),
		Traffic: darter.Traffic(traffic[0]), Cost: time.Duration(min(cost, math.MaxInt64/uint64(time.Second))) * time.Second}
	if created != 0 {
		p.Created = time.Unix(int64(created), 0)
	}
	var err error
	p.CRC, p.HasCRC, err = parseCRC(digest)
	return p, err
}

// parseCRC reads a digest text. Empty, and algorithms other than crc32, mean that there is nothing
// to check against.
func parseCRC(text string) (crc uint32, known bool, err error) {
	digits, isCRC := strings.CutPrefix(text, "crc32:")
	if !isCRC {
		return 0, false, nil
	}
	v, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || darter.CRCText(uint32(v)) != text {
		return 0, false, fmt.Errorf("the digest %q is not crc32 in decimal", text)
	}
	return uint32(v), true, nil
}

// Code is the class of a failure on the wire.
type Code uint8

// Codes of the protocol. Anything else is reserved and read as CodeUnknown.
const (
	CodeUnknown  Code = 0 // also: busy, ask somebody else
	CodeInvalid  Code = 1
	CodeNotFound Code = 2
	CodeInternal Code = 3
)

// appendFailure writes a whole Error frame, its message cut to the limit.
func appendFailure(b []byte, id uint8, code Code, message string) []byte {
	message = strings.ToValidUTF8(message[:min(len(message), maxFailure-1)], "")
	b = appendHeader(b, id, TagError, 1+len(message))
	return append(append(b, byte(code)), message...)
}

// parseFailure reads the value of an Error frame.
func parseFailure(value []byte) (Code, string, error) {
	if len(value) < 1 || len(value) > maxFailure {
		return 0, "", fmt.Errorf("the error has %d bytes, not 1 to %d", len(value), maxFailure)
	}
	message := string(value[1:])
	if !utf8.ValidString(message) {
		message = strings.ToValidUTF8(message, "\uFFFD")
	}
	return Code(value[0]), message, nil
}

// reader takes fields off a value, and remembers when there was too little.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) bytes(n int) []byte {
	if r.short || n > len(r.rest) {
		r.short = true
		return make([]byte, min(n, 8)) // fixed-size fields read as zero
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

func (r *reader) u32() uint32 { return binary.BigEndian.Uint32(r.bytes(4)) }
func (r *reader) u64() uint64 { return binary.BigEndian.Uint64(r.bytes(8)) }

func (r *reader) text() string {
	n := r.u32()
	if uint64(n) > uint64(len(r.rest)) {
		r.short = true
		return ""
	}
	return string(r.bytes(int(n)))
}
