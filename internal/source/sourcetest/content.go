package sourcetest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"time"
)

// content is bytes that can be read from anywhere.
type content interface {
	io.ReaderAt
	size() int64
}

// random is a content of any size that takes no memory: word i of it is a hash of seed and i.
type random struct {
	length int64
	seed   uint64
}

func (r random) size() int64 { return r.length }

func (r random) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= r.length {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), r.length-off))
	r.fill(p[:n], off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (r random) fill(p []byte, off int64) {
	word, skip := uint64(off)/8, int(off%8)
	if skip > 0 {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], r.word(word))
		p = p[copy(p, b[skip:]):]
		word++
	}
	for ; len(p) >= 8; word++ {
		binary.LittleEndian.PutUint64(p, r.word(word))
		p = p[8:]
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], r.word(word))
	copy(p, b[:])
}

// word is one step of splitmix64, a published generator that can start anywhere.
func (r random) word(i uint64) uint64 {
	z := r.seed*0xd1342543de82ef95 + (i+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// fixed is a content given byte by byte.
type fixed []byte

func (f fixed) size() int64 { return int64(len(f)) }

func (f fixed) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(f)) {
		return 0, io.EOF
	}
	n := copy(p, f[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// RandomReader streams the bytes that AddRandom serves for the same size and seed.
func RandomReader(size int64, seed uint64) io.Reader {
	return io.NewSectionReader(random{size, seed}, 0, size)
}

func digest(c content) string {
	h := sha256.New()
	// A hash never fails, nor does reading inside the size.
	_, _ = io.CopyBuffer(h, io.NewSectionReader(c, 0, c.size()), make([]byte, 256<<10))
	return hex.EncodeToString(h.Sum(nil))
}

// file is a content at a path, with the behaviour it is served with.
type file struct {
	content
	generation int // counts replacements, so that ETag and Last-Modified differ
	faults     Faults
	asked      int // GETs so far
}

func (f *file) etag() string {
	return fmt.Sprintf(`"%x-%d"`, f.size(), f.generation)
}

// modified is a second later for each generation.
func (f *file) modified() string {
	const day = 1767225600 // 2026-01-01
	return time.Unix(day+int64(f.generation), 0).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
}
