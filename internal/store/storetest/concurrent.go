package storetest

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// hedged lets a second writer win while the first, which has written other bytes, goes on.
func hedged(t *testing.T, s store.Store) {
	content, lies := Bytes(1, 1000), Bytes(2, 1000)
	task := create(t, s, Meta(1, 1000, 256))
	first, err := task.Writer(1)
	must(t, err)
	second, err := task.Writer(1)
	must(t, err)
	third, err := task.Writer(1)
	must(t, err)
	_, err = first.Write(lies[:200])
	must(t, err)
	_, err = third.Write(lies[:256])
	must(t, err)
	_, err = second.Write(content[256:512])
	must(t, err)
	won, err := second.Commit(nil, darter.Piece{Parent: "second"})
	must(t, err)
	must(t, Check(task, content))
	_, err = first.Write(lies[200:256])
	wantKind(t, err, darter.Conflict)
	for _, w := range []store.PieceWriter{first, third} {
		rec, err := w.Commit(nil, darter.Piece{Parent: "late"})
		wantKind(t, err, darter.Conflict)
		if rec != won {
			t.Errorf("the loser got %+v, want %+v", rec, won)
		}
	}
	must(t, Check(task, content))
}

// hedgedDrop drops the piece after the second writer won. The first wrote half of it before that: it must not
// get its half and what is there now counted as one piece.
func hedgedDrop(t *testing.T, s store.Store) {
	content, other := Bytes(1, 1000), Bytes(2, 1000)
	task := create(t, s, Meta(1, 1000, 256))
	first, err := task.Writer(1)
	must(t, err)
	_, err = first.Write(content[256:400])
	must(t, err)
	second, err := task.Writer(1)
	must(t, err)
	_, err = second.Write(other[256:512])
	must(t, err)
	_, err = second.Commit(nil, darter.Piece{})
	must(t, err)
	must(t, task.Drop(darter.Pieces(1)))
	if _, err = first.Write(content[400:512]); err == nil {
		_, _ = first.Commit(nil, darter.Piece{}) // either is right, if what is held has its bytes
	}
	first.Abort()
	must(t, Check(task, content))
	if err := Put(task, 1, content); darter.KindOf(err) != darter.Conflict {
		must(t, err)
	}
	must(t, Check(task, content))
}

// hedgedAbort lets the first writer give up after the second began, and a third one come after that.
func hedgedAbort(t *testing.T, s store.Store) {
	content, lies := Bytes(1, 1000), Bytes(2, 1000)
	task := create(t, s, Meta(1, 1000, 256))
	first, err := task.Writer(1)
	must(t, err)
	second, err := task.Writer(1)
	must(t, err)
	_, err = first.Write(lies[:256])
	must(t, err)
	_, err = second.Write(content[256:400])
	must(t, err)
	first.Abort()
	third, err := task.Writer(1)
	must(t, err)
	_, err = third.Write(lies[:100])
	must(t, err)
	_, err = second.Write(content[400:512])
	must(t, err)
	_, err = second.Commit(nil, darter.Piece{})
	must(t, err)
	_, err = third.Write(lies[:100])
	wantKind(t, err, darter.Conflict)
	third.Abort()
	second.Abort()
	must(t, Check(task, content))
}

// crowd has several writers on every piece at once. Most write wrong bytes and find out at Commit.
func crowd(t *testing.T, s store.Store) {
	const count, length = 32, 512
	content := Bytes(1, count*length)
	task := create(t, s, Meta(1, count*length, length))
	var group errgroup.Group
	for n := range uint32(count) {
		for who := range 5 {
			group.Go(func() error { return contend(task, n, who, content) })
		}
	}
	must(t, group.Wait())
	wantPieces(t, task, task.Meta().Layout.Covering(nil))
	must(t, Check(task, content))
	d, err := store.Sum("sha1:", bytes.NewReader(content))
	must(t, err)
	must(t, task.Finish(d))
}

func contend(task store.Task, n uint32, who int, content []byte) error {
	rng := rand.New(rand.NewPCG(uint64(n), uint64(who)))
	span := task.Meta().Layout.Span(n)
	want := crc32.ChecksumIEEE(content[span.Offset:span.End()])
	b := Bytes(uint64(who)+10, span.Length)
	if who == 0 {
		b = content[span.Offset:span.End()]
	}
	w, err := task.Writer(n)
	if err != nil {
		return allow(err, darter.Conflict)
	}
	defer w.Abort()
	for len(b) > 0 {
		part := min(len(b), 1+rng.IntN(100))
		if _, err := w.Write(b[:part]); err != nil {
			return allow(err, darter.Conflict)
		}
		b = b[part:]
	}
	_, err = w.Commit(&want, darter.Piece{Parent: darter.PeerID(fmt.Sprint("parent-", who))})
	if who == 0 && darter.KindOf(err) == darter.Corrupt && err != nil {
		return err
	}
	return allow(err, darter.Conflict, darter.Corrupt)
}

func allow(err error, kinds ...darter.Kind) error {
	for _, k := range kinds {
		if err != nil && darter.KindOf(err) == k {
			return nil
		}
	}
	return err
}

// readersBesideWriters reads each piece as it comes, driven by Changed alone.
func readersBesideWriters(t *testing.T, s store.Store) {
	const count, length = 64, 512
	content := Bytes(1, count*length)
	task := create(t, s, Meta(1, count*length, length))
	var group errgroup.Group
	for range 4 {
		group.Go(func() error { return follow(task, content, count) })
	}
	for lane := range uint32(4) {
		group.Go(func() error {
			for n := lane; n < count; n += 4 {
				if err := Put(task, n, content); err != nil {
					return err
				}
			}
			return nil
		})
	}
	must(t, group.Wait())
}

func follow(task store.Task, content []byte, count int) error {
	for {
		ch := task.Changed()
		if err := Check(task, content); err != nil {
			return err
		}
		if task.Pieces().Len() == count {
			return nil
		}
		<-ch
	}
}

// createRemoveRace has tasks come and go under those who use them. What is found must be right.
func createRemoveRace(t *testing.T, s store.Store) {
	content := Bytes(1, 1000)
	var group errgroup.Group
	for range 4 {
		group.Go(func() error {
			for range 30 {
				task, err := s.Create(Meta(1, 1000, 256))
				if err != nil {
					return err
				}
				if err := allow(PutAll(task, content), darter.NotFound); err != nil {
					return err
				}
				if err := allow(Check(task, content), darter.NotFound); err != nil {
					return err
				}
				if err := allow(task.Finish(""), darter.NotFound); err != nil {
					return err
				}
				if err := allow(s.Remove(ID(1)), darter.NotFound); err != nil {
					return err
				}
			}
			return nil
		})
	}
	must(t, group.Wait())
	if u := s.Usage(); u.Tasks != 0 || u.Held != 0 {
		t.Errorf("usage %+v after everything was removed", u)
	}
}
