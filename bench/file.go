package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
)

const (
	kib = int64(1) << 10
	mib = int64(1) << 20
	gib = int64(1) << 30
	// pieceLength is the piece length of every file here: they are all below 2000 MiB, or B14's,
	// whose pieces are not counted.
	pieceLength = 4 * mib
)

// content is a file of random bytes at the origin.
type content struct {
	path   string
	size   int64
	sha256 string
}

// makeFile writes random bytes. The same seed gives the same bytes.
func makeFile(path string, size int64, seed uint64) (content, error) {
	f, err := os.Create(path)
	if err != nil {
		return content{}, err
	}
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	sum := sha256.New()
	source := io.TeeReader(io.LimitReader(rand.NewChaCha8(key), size), sum)
	if _, err := io.CopyBuffer(struct{ io.Writer }{f}, source, make([]byte, mib)); err != nil {
		_ = f.Close()
		return content{}, err
	}
	return content{path: path, size: size, sha256: hex.EncodeToString(sum.Sum(nil))}, f.Close()
}

// check compares an output with what the origin has.
func (c content) check(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{sum}, f, make([]byte, mib))
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != c.sha256 {
		return fmt.Errorf("%s: wrong bytes: %d of %d, sha256 %s, want %s", path, n, c.size, got, c.sha256)
	}
	return nil
}
