package vortex

import (
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// sink writes to a file as a store does: at an offset, with a checksum.
type sink struct {
	f   *os.File
	at  int64
	crc uint32
}

func (s *sink) Write(b []byte) (int, error) {
	s.crc = crc32.Update(s.crc, crc32.IEEETable, b)
	n, err := s.f.WriteAt(b, s.at)
	s.at += int64(n)
	return n, err
}

// BenchmarkTransfer moves pieces of 4 MiB from file to file over loopback, checksums included;
// BenchmarkPlainCopy is the same with nothing but io.Copy on both ends.
func BenchmarkTransfer(b *testing.B) {
	for _, streams := range []int{1, 4} {
		b.Run(fmt.Sprintf("streams=%d", streams), func(b *testing.B) {
			s := onDisk(b, 4<<20, 256<<20)
			_, addr := serving(b, s, nil)
			c := fetching(b, nil)
			out, err := os.Create(filepath.Join(b.TempDir(), "out"))
			require.NoError(b, err)
			defer out.Close()
			b.SetBytes(256 << 20)
			b.ResetTimer()
			for range b.N {
				var all sync.WaitGroup
				for i := range streams {
					all.Go(func() {
						for n := uint32(i); n < 64; n += uint32(streams) {
							w := &sink{f: out, at: s.span(n).Offset}
							p, err := c.Fetch(b.Context(), addr, taskA, n, s.span(n), w, nil)
							if err != nil || p.CRC != w.crc {
								b.Errorf("piece %d: %v", n, err)
							}
						}
					})
				}
				all.Wait()
			}
		})
	}
}

func BenchmarkPlainCopy(b *testing.B) {
	s := onDisk(b, 4<<20, 256<<20)
	addr := parent(b, func(conn net.Conn) {
		f, err := os.Open(s.file)
		if err == nil {
			_, _ = io.Copy(conn, f)
			f.Close()
		}
	})
	out, err := os.Create(filepath.Join(b.TempDir(), "out"))
	require.NoError(b, err)
	defer out.Close()
	buffer := make([]byte, 1<<20)
	b.SetBytes(256 << 20)
	b.ResetTimer()
	for range b.N {
		conn, err := net.Dial("tcp", addr.String())
		require.NoError(b, err)
		n, err := io.CopyBuffer(&sink{f: out}, struct{ io.Reader }{conn}, buffer)
		require.NoError(b, err)
		require.Equal(b, int64(256<<20), n)
		conn.Close()
	}
}

// BenchmarkSmall is a piece of 1 KiB: what a request costs.
func BenchmarkSmall(b *testing.B) {
	s := onDisk(b, 1<<10, 1<<20)
	_, addr := serving(b, s, nil)
	c := fetching(b, nil)
	b.ReportAllocs()
	for i := range b.N {
		n := uint32(i % 1024)
		if _, err := c.Fetch(b.Context(), addr, taskA, n, s.span(n), io.Discard, nil); err != nil {
			b.Fatal(err)
		}
	}
}
