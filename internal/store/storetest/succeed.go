package storetest

import (
	"hash/crc32"
	"testing"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// firstWithBytes opens a writer that waits for its first byte, as a request in a queue does, while another one writes.
func firstWithBytes(t *testing.T, s store.Store) {
	data := Bytes(8, 1000)
	task := create(t, s, Meta(8, 1000, 1000))
	queued := writer(t, task, 0)
	w := writer(t, task, 0)
	write(t, w, data[:400])
	if got := task.Arriving(); !got.Equal(darter.Pieces(0)) {
		t.Errorf("pieces %s arrive, not 0", got)
	}
	f := follower(t, task, 0)
	defer f.Close()
	next(t, f, make([]byte, 400), 0, 400, nil)
	queued.Leave()
	w.Leave()
	if n := task.Left(0); n != 400 {
		t.Errorf("%d bytes were left, want 400", n)
	}
}

// succeeded has a second writer overtake a first that gives up.
func succeeded(t *testing.T, s store.Store) {
	data := Bytes(9, 2000)
	task := create(t, s, Meta(9, 2000, 1000))
	for n := range uint32(2) {
		piece := data[n*1000:][:1000]
		first, second := writer(t, task, n), writer(t, task, n)
		write(t, first, piece[:300])
		write(t, second, piece[:200])
		first.Leave()
		f := follower(t, task, n)
		next(t, f, make([]byte, 300), 0, 300, nil)
		f.Close()
		write(t, second, piece[200:250]) // still less than what was left
		if got := task.Arriving(); !got.Empty() || task.Left(n) != 300 {
			t.Errorf("pieces %s arrive, and %d bytes are left of piece %d, want 300", got, task.Left(n), n)
		}
		write(t, second, piece[250:500])
		if n == 0 { // it can be followed from the next write on
			write(t, second, piece[500:600])
			f := follower(t, task, n)
			next(t, f, make([]byte, 600), 0, 600, nil)
			f.Close()
			write(t, second, piece[600:])
			commit(t, second, piece)
			continue
		}
		second.Leave()
		if left := task.Left(n); left != 500 {
			t.Errorf("%d bytes were left of piece %d, want 500", left, n)
		}
		third := writer(t, task, n)
		if base := third.Resume(); base != 500 {
			t.Fatalf("resumed after %d bytes, want 500", base)
		}
		write(t, third, piece[500:])
		commit(t, third, piece)
	}
	must(t, Check(task, data))
}

// resumedTwice has two writers want to go on from the same bytes, while they are read.
func resumedTwice(t *testing.T, s store.Store) {
	data := Bytes(10, 1000)
	task := create(t, s, Meta(10, 1000, 1000))
	w := writer(t, task, 0)
	write(t, w, data[:600])
	w.Leave()
	slow, quick := writer(t, task, 0), writer(t, task, 0)
	if a, b := slow.Resume(), quick.Resume(); a != 600 || b != 600 {
		t.Fatalf("resumed after %d and %d bytes, want 600", a, b)
	}
	if n := task.Left(0); n != 600 {
		t.Errorf("before anybody writes, %d bytes are left, want 600", n)
	}
	early := follower(t, task, 0)
	defer early.Close()
	next(t, early, make([]byte, 300), 0, 300, nil)
	write(t, quick, nil)
	if got := task.Arriving(); !got.Equal(darter.Pieces(0)) {
		t.Errorf("taken over, pieces %s arrive, not 0", got)
	}
	if n := task.Left(0); n != 0 {
		t.Errorf("taken over, %d bytes are left for others", n)
	}
	_, err := slow.Write(data[600:700])
	wantKind(t, err, darter.Conflict)
	slow.Leave()
	write(t, quick, data[600:800])
	next(t, early, make([]byte, 300), 300, 300, nil)
	next(t, early, make([]byte, 100), 600, 0, errKind(darter.Unavailable)) // only what had been left, or two hosts wait for each other
	f := follower(t, task, 0)
	defer f.Close()
	next(t, f, make([]byte, 800), 0, 800, nil)
	quick.Leave()
	wrong, right := writer(t, task, 0), writer(t, task, 0)
	wrong.Resume()
	write(t, wrong, Bytes(11, 200))
	if _, err := wrong.Commit(new(uint32), darter.Piece{}); darter.KindOf(err) != darter.Corrupt || task.Left(0) != 0 {
		t.Errorf("a wrong end is %v, and leaves %d bytes", err, task.Left(0))
	}
	write(t, right, data)
	commit(t, right, data)
	must(t, Check(task, data))
}

func commit(t *testing.T, w store.PieceWriter, want []byte) {
	t.Helper()
	sum := crc32.ChecksumIEEE(want)
	_, err := w.Commit(&sum, darter.Piece{})
	must(t, err)
}
