package disk

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// The sidecar, little-endian (docs/formats/store.md):
//
//	header   0  8 "DARTSIDE"   8  2 format   10  2 record length   12  4 length of meta
//	        16  4 zero         20  4 CRC-32 of bytes 0..20 and meta
//	        24    meta, JSON, then zeros up to the next multiple of 64
//	records  each 64 bytes, see record.encode
const (
	magic         = "DARTSIDE"
	format        = 1
	headerLength  = 24
	recordLength  = 64
	maxMetaLength = 1 << 20
)

var (
	errHeader = errors.New("the sidecar has no sound header")
	errNewer  = errors.New("the sidecar was written by a later version")
)

// metaFile is Meta as it is written. Names are part of the format.
type metaFile struct {
	ID          darter.TaskID     `json:"id"`
	URL         string            `json:"url,omitempty"`
	Length      int64             `json:"length"`
	PieceLength int64             `json:"piece_length"`
	Version     string            `json:"version,omitempty"`
	Header      map[string]string `json:"header,omitempty"`
	Digest      darter.Digest     `json:"digest,omitempty"`
	Tag         string            `json:"tag,omitempty"`
	Application string            `json:"application,omitempty"`
	Created     time.Time         `json:"created"`
}

// encodeHeader returns the header block, padded so that records follow it.
func encodeHeader(m store.Meta) ([]byte, error) {
	text, err := json.Marshal(metaFile{ID: m.ID, URL: m.URL, Length: m.Layout.Length, PieceLength: m.Layout.PieceLength,
		Version: m.Version, Header: m.Header, Digest: m.Digest, Tag: m.Tag, Application: m.Application, Created: m.Created})
	if err == nil && len(text) > maxMetaLength {
		err = fmt.Errorf("what is to be kept of the source's answer takes %d bytes, more than %d", len(text), maxMetaLength)
	}
	if err != nil {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "create task " + m.ID.Short(), Err: err}
	}
	b := make([]byte, headerSpace(len(text)))
	copy(b, magic)
	binary.LittleEndian.PutUint16(b[8:], format)
	binary.LittleEndian.PutUint16(b[10:], recordLength)
	binary.LittleEndian.PutUint32(b[12:], uint32(len(text)))
	copy(b[headerLength:], text)
	binary.LittleEndian.PutUint32(b[20:], headerCRC(b, len(text)))
	return b, nil
}

func headerSpace(meta int) int {
	return (headerLength + meta + recordLength - 1) / recordLength * recordLength
}

func headerCRC(b []byte, meta int) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(b[:20]), crc32.IEEETable, b[headerLength:headerLength+meta])
}

// headerSeed returns the CRC that seeds the records of an encoded header.
func headerSeed(b []byte) uint32 { return binary.LittleEndian.Uint32(b[20:]) }

// decodeHeader returns the Meta, where the records begin, and the header's CRC, which seeds theirs.
func decodeHeader(b []byte) (m store.Meta, records int, seed uint32, err error) {
	if len(b) < headerLength || !bytes.HasPrefix(b, []byte(magic)) {
		return m, 0, 0, errHeader
	}
	if v := binary.LittleEndian.Uint16(b[8:]); v > format {
		return m, 0, 0, errNewer
	}
	length := int(binary.LittleEndian.Uint32(b[12:]))
	if binary.LittleEndian.Uint16(b[10:]) != recordLength || length > maxMetaLength || headerLength+length > len(b) {
		return m, 0, 0, errHeader
	}
	seed = headerCRC(b, length)
	if seed != binary.LittleEndian.Uint32(b[20:]) {
		return m, 0, 0, errHeader
	}
	var f metaFile
	if err := json.Unmarshal(b[headerLength:headerLength+length], &f); err != nil {
		return m, 0, 0, fmt.Errorf("%w: %w", errHeader, err)
	}
	m = store.Meta{ID: f.ID, URL: f.URL, Layout: darter.Layout{Length: f.Length, PieceLength: f.PieceLength},
		Version: f.Version, Header: f.Header, Digest: f.Digest, Tag: f.Tag, Application: f.Application, Created: f.Created}
	if err := store.Check(m); err != nil {
		return m, 0, 0, fmt.Errorf("%w: %w", errHeader, err)
	}
	return m, headerSpace(length), seed, nil
}
