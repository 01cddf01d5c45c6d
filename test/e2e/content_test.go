package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// Content is random bytes of a known digest. Never zeros: they would compress, deduplicate and hide
// pieces in the wrong place.
type Content struct {
	Reader io.ReaderAt
	Size   int64
	SHA256 string
}

// inMemory is the largest content kept in memory; larger ones are files.
const inMemory = 64 << 20

// Random makes a content. The same size and seed give the same bytes.
func Random(t *testing.T, size int64, seed uint64) Content {
	t.Helper()
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	binary.LittleEndian.PutUint64(key[8:], uint64(size))
	source := io.LimitReader(rand.NewChaCha8(key), size)
	sum := sha256.New()
	if size <= inMemory {
		b, err := io.ReadAll(io.TeeReader(source, sum))
		if err != nil {
			t.Fatal(err)
		}
		return Content{Reader: bytes.NewReader(b), Size: size, SHA256: hex.EncodeToString(sum.Sum(nil))}
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "content"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if _, err := io.CopyBuffer(struct{ io.Writer }{f}, io.TeeReader(source, sum), make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	return Content{Reader: f, Size: size, SHA256: hex.EncodeToString(sum.Sum(nil))}
}

// Bytes returns a run of the content.
func (c Content) Bytes(t *testing.T, from, length int64) []byte {
	t.Helper()
	b, err := io.ReadAll(io.NewSectionReader(c.Reader, from, length))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wantFile fails the test unless the file holds exactly the content.
func wantFile(t *testing.T, path string, c Content) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Errorf("the file did not arrive: %v", err)
		return
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{sum}, f, make([]byte, 1<<20))
	if err != nil {
		t.Error(err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != c.SHA256 || n != c.Size {
		t.Errorf("%s: %d bytes, sha256 %s; want %d bytes, %s", path, n, got, c.Size, c.SHA256)
	}
}

// wantNoFile fails the test when there is a final file.
func wantNoFile(t *testing.T, path string) {
	t.Helper()
	if info, err := os.Lstat(path); err == nil {
		t.Errorf("%s exists (%d bytes) although the download failed", path, info.Size())
	}
}
