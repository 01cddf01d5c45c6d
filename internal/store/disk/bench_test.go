package disk

import (
	"testing"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
	"github.com/darter-p2p/darter/internal/store/storetest"
)

// BenchmarkWritePiece writes pieces of 4 MiB in parts of 256 KiB, over the same 64 places again and again.
func BenchmarkWritePiece(b *testing.B) {
	const piece, count = 4 << 20, 64
	s := openTest(b, config(b.TempDir()))
	defer s.Close()
	task, err := s.Create(storetest.Meta(1, piece*count, piece))
	must(b, err)
	part := storetest.Bytes(1, 256<<10)
	b.SetBytes(piece)
	for i := 0; b.Loop(); i++ {
		n := uint32(i % count)
		if i >= count && n == 0 {
			b.StopTimer()
			must(b, task.Drop(task.Pieces()))
			b.StartTimer()
		}
		w, err := task.Writer(n)
		must(b, err)
		for range piece / len(part) {
			if _, err := w.Write(part); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := w.Commit(nil, darter.Piece{Parent: "10.0.0.1-host-peer"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSmallTask is all that a file of 1 KiB needs of the store.
func BenchmarkSmallTask(b *testing.B) {
	s := openTest(b, config(b.TempDir()))
	defer s.Close()
	content := storetest.Bytes(1, 1024)
	for i := 0; b.Loop(); i++ {
		task, err := s.Create(storetest.Meta(i, 1024, 4<<20))
		must(b, err)
		must(b, storetest.Put(task, 0, content))
		must(b, task.Finish(""))
		must(b, task.Sync())
	}
}

func BenchmarkOpenPiece(b *testing.B) {
	s := openTest(b, config(b.TempDir()))
	defer s.Close()
	task, err := s.Create(storetest.Meta(1, 1000, 256))
	must(b, err)
	must(b, storetest.PutAll(task, storetest.Bytes(1, 1000)))
	for b.Loop() {
		r, err := task.OpenPiece(1)
		must(b, err)
		must(b, r.Close())
	}
}

// BenchmarkOpen10k opens a store with ten thousand complete tasks of 16 pieces each.
func BenchmarkOpen10k(b *testing.B) {
	c := config(b.TempDir())
	s := openTest(b, c)
	for n := range 10000 {
		m := storetest.Meta(n, 1600, 100)
		m.ID = spread(n)
		task, err := s.Create(m)
		must(b, err)
		must(b, storetest.PutAll(task, storetest.Bytes(1, 1600)))
		t := task.(*diskTask)
		must(b, t.write("finish", func(l *ledger) []record { return []record{{kind: kindComplete, sum: l.sum}} }, false))
	}
	kill(s)
	for b.Loop() {
		s := openTest(b, c)
		if u := s.Usage(); u.Tasks != 10000 {
			b.Fatalf("%+v", u)
		}
		if s.mu.tasks[spread(5)].State() != store.Complete {
			b.Fatal("not complete")
		}
		kill(s)
	}
}

type diskTask = task

// spread gives ids as hashes would: over all prefixes.
func spread(n int) darter.TaskID {
	d := []byte(storetest.ID(n))
	for i := range 3 {
		d[i] = "0123456789abcdef"[n>>(4*i)&15]
	}
	return darter.TaskID(d)
}
