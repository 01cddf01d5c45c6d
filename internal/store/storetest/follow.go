package storetest

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"sync"
	"testing"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// followed reads a piece while it is being written.
func followed(t *testing.T, s store.Store) {
	data := Bytes(5, 3000)
	task := create(t, s, Meta(5, 3000, 1000))
	if _, err := task.Follow(1); darter.KindOf(err) != darter.NotFound {
		t.Errorf("nothing is there, and following it is %v", err)
	}
	w := writer(t, task, 1)
	changed := task.Changed()
	write(t, w, data[1000:1300])
	<-changed
	if got := task.Arriving(); !got.Equal(darter.Pieces(1)) {
		t.Errorf("pieces %s arrive, not 1", got)
	}
	f := follower(t, task, 1)
	defer f.Close()
	got := make([]byte, 1000)
	next(t, f, got[:300], 0, 300, nil)

	ended, stop := context.WithCancelCause(t.Context())
	stop(errStopped)
	if _, err := f.Next(ended, got[300:400], 300); !errors.Is(err, errStopped) {
		t.Errorf("a wait that was ended is %v", err)
	}
	var writing sync.WaitGroup
	writing.Go(func() {
		_, err := w.Write(data[1300:2000])
		if err == nil {
			_, err = w.Commit(nil, darter.Piece{})
		}
		if err != nil {
			t.Errorf("write and commit: %v", err)
		}
	})
	next(t, f, got[300:], 300, 700, nil)
	next(t, f, make([]byte, 1), 1000, 0, io.EOF) // not before the piece is held
	if p, held := f.Piece(); !held || !p.HasCRC || !bytes.Equal(got, data[1000:2000]) {
		t.Errorf("followed to the end: held %v, record %+v", held, p)
	}
	writing.Wait()
	if got := task.Arriving(); !got.Empty() {
		t.Errorf("pieces %s still arrive", got)
	}
	held := follower(t, task, 1)
	defer held.Close()
	next(t, held, make([]byte, 4000), 900, 100, nil)
}

var errStopped = errors.New("stopped")

// left goes on where another writer left.
func left(t *testing.T, s store.Store) {
	data := Bytes(6, 2000)
	task := create(t, s, Meta(6, 2000, 1000))
	w := writer(t, task, 0)
	write(t, w, data[:600])
	f := follower(t, task, 0)
	defer f.Close()
	w.Leave()
	w.Abort()
	next(t, f, make([]byte, 200), 500, 100, nil)
	next(t, f, make([]byte, 100), 600, 0, errKind(darter.Unavailable))
	if n := task.Left(0); n != 600 {
		t.Errorf("%d bytes were left, want 600", n)
	}
	if got := task.Arriving(); !got.Empty() {
		t.Errorf("pieces %s arrive, though nobody writes", got)
	}
	rest := follower(t, task, 0) // what was left can be had
	defer rest.Close()
	next(t, rest, make([]byte, 700), 0, 600, nil)
	next(t, rest, make([]byte, 100), 600, 0, errKind(darter.Unavailable))

	w = writer(t, task, 0)
	if n := w.Resume(); n != 600 {
		t.Fatalf("resumed after %d bytes, want 600", n)
	}
	write(t, w, data[600:1000])
	sum := crc32.ChecksumIEEE(data[:1000])
	if _, err := w.Commit(&sum, darter.Piece{}); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, task, data[:1000], 0)
	if n := task.Left(0); n != 0 {
		t.Errorf("%d bytes of a held piece are left", n)
	}

	// Without resuming, a writer begins anew, and what was left is gone.
	w = writer(t, task, 1)
	write(t, w, []byte("wrong from the beginning"))
	w.Leave()
	w = writer(t, task, 1)
	write(t, w, data[1000:])
	sum = crc32.ChecksumIEEE(data[1000:])
	if _, err := w.Commit(&sum, darter.Piece{}); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, task, data[1000:], 1000)
}

// thrownAway tells a follower that what it has may be worthless.
func thrownAway(t *testing.T, s store.Store) {
	data := Bytes(7, 1000)
	task := create(t, s, Meta(7, 1000, 1000))
	w := writer(t, task, 0)
	write(t, w, data)
	f := follower(t, task, 0)
	defer f.Close()
	next(t, f, make([]byte, 1000), 0, 1000, nil)
	wrong := crc32.ChecksumIEEE(data) + 1
	if _, err := w.Commit(&wrong, darter.Piece{}); darter.KindOf(err) != darter.Corrupt {
		t.Fatalf("a wrong checksum is %v", err)
	}
	next(t, f, make([]byte, 1), 1000, 0, errKind(darter.Corrupt))
	if n := task.Left(0); n != 0 {
		t.Errorf("%d wrong bytes are left", n)
	}
	w = writer(t, task, 0)
	write(t, w, data[:10])
	g := follower(t, task, 0)
	defer g.Close()
	if err := s.Remove(task.Meta().ID); err != nil {
		t.Fatal(err)
	}
	next(t, g, make([]byte, 100), 10, 0, errKind(darter.NotFound))
	w.Abort()
}

func writer(t *testing.T, task store.Task, n uint32) store.PieceWriter {
	t.Helper()
	w, err := task.Writer(n)
	must(t, err)
	return w
}

func follower(t *testing.T, task store.Task, n uint32) store.Follower {
	t.Helper()
	f, err := task.Follow(n)
	must(t, err)
	return f
}

func write(t *testing.T, w store.PieceWriter, b []byte) {
	t.Helper()
	_, err := w.Write(b)
	must(t, err)
}

func wantBytes(t *testing.T, task store.Task, want []byte, off int64) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := task.ReadAt(got, off); (err != nil && !errors.Is(err, io.EOF)) || !bytes.Equal(got, want) {
		t.Errorf("the bytes at %d are not what was written (%v)", off, err)
	}
}

// errKind is an error of a kind, to compare with.
type errKind darter.Kind

func (k errKind) Error() string { return darter.Kind(k).String() }

// next checks one Next.
func next(t *testing.T, f store.Follower, b []byte, off int64, want int, fails error) {
	t.Helper()
	n, err := f.Next(t.Context(), b, off)
	kind, is := errors.AsType[errKind](fails)
	right := errors.Is(err, fails)
	if is {
		right = darter.KindOf(err) == darter.Kind(kind)
	}
	if n != want || !right {
		t.Errorf("next at %d is %d, %v, want %d, %v", off, n, err, want, fails)
	}
}
