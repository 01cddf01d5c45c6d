package inventory

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"

	"github.com/darter-p2p/darter"
)

// key is a task id as bytes.
type key [32]byte

// record is a location without its pieces.
type record struct {
	key         key
	sum         uint64
	length      int64
	pieceLength uint32
	partial     bool
}

func keyOf(id darter.TaskID) (k key, ok bool) {
	if !id.Valid() {
		return key{}, false
	}
	_, err := hex.Decode(k[:], []byte(id))
	return k, err == nil
}

func (k key) task() darter.TaskID { return darter.TaskID(hex.EncodeToString(k[:])) }

func (k key) compare(o key) int { return bytes.Compare(k[:], o[:]) }

// digit returns the hexadecimal digit of a key at a depth.
func (k key) digit(depth int) byte {
	if depth%2 == 0 {
		return k[depth/2] >> 4
	}
	return k[depth/2] & 15
}

// recordOf returns what a tree keeps of a location; false when no host can hold such a thing.
func recordOf(l darter.Location) (record, bool) {
	k, ok := keyOf(l.Task)
	if !ok || l.Layout.Length < 0 || l.Layout.PieceLength < 0 || l.Layout.PieceLength > math.MaxUint32 {
		return record{}, false
	}
	r := record{key: k, length: l.Layout.Length, pieceLength: uint32(l.Layout.PieceLength), partial: !l.Complete}
	r.sum = number(r, l.Pieces)
	return r, true
}

// number is what one location adds to a sum:
//
//	SHA-256( id 32 | length 8 | piece length 4 | 0 complete, 1 partial | bitmap when partial ), first 8 bytes
//
// with all numbers little endian.
func number(r record, pieces darter.PieceSet) uint64 {
	var fixed [64]byte
	b := append(fixed[:0], r.key[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.length))
	b = binary.LittleEndian.AppendUint32(b, r.pieceLength)
	if r.partial {
		b = append(append(b, 1), Bitmap(pieces)...)
	} else {
		b = append(b, 0)
	}
	h := sha256.Sum256(b)
	return binary.LittleEndian.Uint64(h[:8])
}

// DigestOf returns the digest of one location, for whoever adds and subtracts without a tree. It is zero for what no
// host can hold.
func DigestOf(l darter.Location) darter.InventoryDigest {
	r, ok := recordOf(l)
	if !ok {
		return darter.InventoryDigest{}
	}
	return darter.InventoryDigest{Tasks: 1, Sum: r.sum}
}

// Bitmap renders a set of pieces: bit n%8 of byte n/8, lowest first, is piece n, and the last byte is not zero.
func Bitmap(pieces darter.PieceSet) []byte {
	var out []byte
	for n := range pieces.All() {
		for uint32(len(out)) <= n/8 {
			out = append(out, 0)
		}
		out[n/8] |= 1 << (n % 8)
	}
	return out
}

// ParseBitmap reads what Bitmap renders; false for any other form and for a number that reaches limit.
func ParseBitmap(bitmap []byte, limit uint32) (pieces darter.PieceSet, ok bool) {
	if len(bitmap) > 0 && bitmap[len(bitmap)-1] == 0 || uint64(len(bitmap)) > (uint64(limit)+7)/8 {
		return darter.PieceSet{}, false
	}
	for i, b := range bitmap {
		for bit := range uint32(8) {
			if b&(1<<bit) == 0 {
				continue
			}
			n := uint32(i)*8 + bit
			if n >= limit {
				return darter.PieceSet{}, false
			}
			pieces.Add(n)
		}
	}
	return pieces, true
}
