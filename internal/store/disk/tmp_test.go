package disk

import (
	"testing"
	"time"
	"runtime"
	"fmt"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store/storetest"
)

func TestTmpFinish(t *testing.T) {
	const piece, count = 4 << 20, 256
	s := openTest(t, config(t.TempDir()))
	defer s.Close()
	part := storetest.Bytes(1, 256<<10)
	for round := range 3 {
	task, err := s.Create(storetest.Meta(round, piece*count, piece))
	must(t, err)
	t0 := time.Now()
	for n := range uint32(count) {
		w, err := task.Writer(n)
		must(t, err)
		for range piece / len(part) {
			w.Write(part)
		}
		w.Commit(nil, darter.Piece{})
	}
	t1 := time.Now()
	must(t, task.Finish(""))
	t.Logf("write %v finish %v", t1.Sub(t0), time.Since(t1))
	must(t, s.Remove(storetest.ID(round)))
	}
}

func TestTmpMem(t *testing.T) {
	c := config(t.TempDir())
	s := openTest(t, c)
	for n := range 10000 {
		m := storetest.Meta(n, 1600, 100)
		m.ID = spread(n)
		m.URL = "https://registry.example.com/v2/library/some-image/blobs/sha256:" + string(m.ID)
		m.Digest = darter.Digest("sha256:" + string(m.ID))
		task, err := s.Create(m)
		must(t, err)
		must(t, storetest.PutAll(task, storetest.Bytes(1, 1600)))
	}
	must(t, s.Close())
	s = nil
	runtime.GC(); runtime.GC()
	var a, b runtime.MemStats
	runtime.ReadMemStats(&a)
	s = openTest(t, c)
	runtime.GC(); runtime.GC()
	runtime.ReadMemStats(&b)
	fmt.Println("per task", (b.HeapAlloc-a.HeapAlloc)/10000)
	kill(s)
}
