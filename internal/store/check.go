package store

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/darter-p2p/darter"
)

// MaxPieces limits the pieces of one task: 16 TiB at the smallest piece length of the swarm. The limit
// keeps a source that lies about its length from costing memory.
const MaxPieces = 1 << 22

// maxPieceLength is what a sidecar can record, and far above what the swarm uses.
const maxPieceLength = 1 << 31

// Check tells whether a task can be made of m: the id is fit to be a file name, and the layout is sound.
func Check(m Meta) error {
	fail := func(format string, a ...any) error {
		return &darter.Error{Kind: darter.Invalid, Op: "create task " + m.ID.Short(), Err: fmt.Errorf(format, a...)}
	}
	l := m.Layout
	switch {
	case !m.ID.Valid():
		return fail("the task id %.80q is not 64 lower-case hexadecimal digits", string(m.ID))
	case l.Length < 0:
		return fail("the length %d is negative", l.Length)
	case l.Length == 0:
		return nil
	case l.PieceLength <= 0 || l.PieceLength >= maxPieceLength:
		return fail("the piece length %d is not between 1 and %d", l.PieceLength, maxPieceLength-1)
	case (l.Length-1)/l.PieceLength >= MaxPieces:
		return fail("%d bytes in pieces of %d are more than %d pieces", l.Length, l.PieceLength, MaxPieces)
	}
	return nil
}

// Sum reads r to its end and returns its digest in the algorithm of d.
func Sum(d darter.Digest, r io.Reader) (darter.Digest, error) {
	h, err := NewHash(d.Algorithm())
	if err != nil {
		return "", err
	}
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return Digest(d.Algorithm(), h), nil
}

// Digest renders what a hash from NewHash saw.
func Digest(algorithm string, h hash.Hash) darter.Digest {
	if c, ok := h.(hash.Hash32); ok {
		return darter.Digest(darter.CRCText(c.Sum32()))
	}
	return darter.Digest(algorithm + ":" + hex.EncodeToString(h.Sum(nil)))
}

// NewHash returns the hash of a digest's algorithm; darter.Invalid when there is none.
func NewHash(algorithm string) (hash.Hash, error) {
	switch algorithm {
	case "sha256":
		return sha256.New(), nil
	case "sha512":
		return sha512.New(), nil
	case "sha1":
		return sha1.New(), nil
	case "md5":
		return md5.New(), nil
	case "crc32":
		return crc32.NewIEEE(), nil
	}
	return nil, &darter.Error{Kind: darter.Invalid, Op: "check digest",
		Err:  fmt.Errorf("the digest algorithm %q is unknown", algorithm),
		Hint: "use sha256, sha512, sha1, md5 or crc32"}
}
