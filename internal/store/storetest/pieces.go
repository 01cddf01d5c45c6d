package storetest

import (
	"bytes"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

func createWriteRead(t *testing.T, s store.Store) {
	content := Bytes(1, 1000)
	task := create(t, s, Meta(1, 1000, 256))
	if task.State() != store.Partial || task.Has(0) || task.Removed() {
		t.Error("a new task is not empty")
	}
	w, err := task.Writer(3)
	must(t, err)
	for _, b := range content[768:] { // byte by byte: the parts of a piece need no alignment
		if _, err := w.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	sum := crc32.ChecksumIEEE(content[768:])
	in := darter.Piece{Number: 99, Offset: 5, Length: 5, Parent: "p", Traffic: darter.FromPeer, Cost: 3 * time.Second, Created: time.Unix(1700000001, 7)}
	rec, err := w.Commit(&sum, in)
	must(t, err)
	want := darter.Piece{Number: 3, Offset: 768, Length: 232, CRC: sum, HasCRC: true, Parent: "p", Traffic: darter.FromPeer, Cost: 3 * time.Second, Created: in.Created}
	if rec != want {
		t.Errorf("commit returned %+v, want %+v", rec, want)
	}
	w.Abort()
	if got, ok := task.Piece(3); !ok || got != want {
		t.Errorf("Piece returned %+v, %v", got, ok)
	}
	if _, ok := task.Piece(2); ok {
		t.Error("a missing piece has a record")
	}
	wantPieces(t, task, darter.Pieces(3))
	must(t, PutAll(task, content))
	must(t, Check(task, content))
	again, err := s.Open(ID(1))
	must(t, err)
	must(t, Check(again, content))
	wantPieces(t, again, darter.Pieces(0, 1, 2, 3))
	if i := again.Info(); i.Held != 1000 || i.LastRead.IsZero() || i.URL != "http://origin/file" {
		t.Errorf("info %+v", i)
	}
}

func createAgain(t *testing.T, s store.Store) {
	task := create(t, s, Meta(1, 1000, 256))
	must(t, Put(task, 1, Bytes(1, 1000)))
	same := create(t, s, Meta(1, 1000, 256))
	wantPieces(t, same, darter.Pieces(1))
	_, err := s.Create(Meta(1, 1001, 256))
	wantKind(t, err, darter.Conflict)
	other := Meta(1, 1000, 256)
	other.Version = "v2"
	_, err = s.Create(other)
	wantKind(t, err, darter.Conflict)
}

func badRequests(t *testing.T, s store.Store) {
	_, err := s.Open(ID(9))
	wantKind(t, err, darter.NotFound)
	wantKind(t, s.Remove(ID(9)), darter.NotFound)
	_, err = s.Open("")
	wantKind(t, err, darter.NotFound)
	wantKind(t, s.Remove("../x"), darter.NotFound)
	_, err = s.Create(store.Meta{ID: "../../x", Layout: darter.Layout{Length: 1, PieceLength: 1}})
	wantKind(t, err, darter.Invalid)
	task := create(t, s, Meta(1, 1000, 256))
	_, err = task.Writer(4)
	wantKind(t, err, darter.Invalid)
	_, err = task.OpenPiece(4)
	wantKind(t, err, darter.NotFound)
	_, err = task.ReadAt(make([]byte, 1), -1)
	wantKind(t, err, darter.Invalid)
	if _, ok := task.Piece(1 << 31); ok || task.Has(1<<31) {
		t.Error("a piece that cannot be is held")
	}
	must(t, task.Drop(darter.Pieces(0, 77)))
}

func wrongBytes(t *testing.T, s store.Store) {
	content := Bytes(1, 1000)
	task := create(t, s, Meta(1, 1000, 256))
	commit := func(b []byte, expected *uint32) error {
		w, err := task.Writer(0)
		must(t, err)
		defer w.Abort()
		if _, err := w.Write(b); err != nil {
			return err
		}
		_, err = w.Commit(expected, darter.Piece{})
		return err
	}
	wrong := uint32(7)
	wantKind(t, commit(content[:256], &wrong), darter.Corrupt)
	wantKind(t, commit(content[:255], nil), darter.Corrupt)
	wantKind(t, commit(content[:257], nil), darter.Corrupt)
	wantPieces(t, task, darter.PieceSet{})
	w, err := task.Writer(0)
	must(t, err)
	w.Abort()
	_, err = w.Write(content[:1])
	wantKind(t, err, darter.Invalid)
	_, err = w.Commit(nil, darter.Piece{})
	wantKind(t, err, darter.Invalid)
	must(t, commit(content[:256], nil))
	must(t, Check(task, content))
	_, err = task.Writer(0)
	wantKind(t, err, darter.Conflict)
}

func ranges(t *testing.T, s store.Store) {
	content := Bytes(1, 1000)
	task := create(t, s, Meta(1, 1000, 256))
	must(t, Put(task, 0, content))
	must(t, Put(task, 1, content))
	must(t, Put(task, 3, content))
	read := func(off, n int64) ([]byte, error) {
		b := make([]byte, n)
		got, err := task.ReadAt(b, off)
		return b[:got], err
	}
	for _, c := range []struct {
		off, n, got int64
		kind        darter.Kind
		eof         bool
	}{
		{off: 0, n: 512, got: 512}, {off: 200, n: 100, got: 100}, {off: 255, n: 2, got: 2},
		{off: 500, n: 100, got: 12, kind: darter.NotFound}, {off: 512, n: 1, kind: darter.NotFound},
		{off: 900, n: 100, got: 100}, {off: 900, n: 101, got: 100, eof: true}, {off: 1000, n: 1, eof: true}, {off: 1 << 40, n: 1, eof: true},
		{off: 0, n: 0},
	} {
		got, err := read(c.off, c.n)
		if int64(len(got)) != c.got || c.got > 0 && !bytes.Equal(got, content[c.off:c.off+c.got]) {
			t.Errorf("read %d+%d: %d bytes, want %d", c.off, c.n, len(got), c.got)
		}
		switch {
		case c.eof && !errors.Is(err, io.EOF):
			t.Errorf("read %d+%d: %v, want EOF", c.off, c.n, err)
		case c.kind != 0:
			wantKind(t, err, c.kind)
		case !c.eof && err != nil:
			t.Errorf("read %d+%d: %v", c.off, c.n, err)
		}
	}
}

func finish(t *testing.T, s store.Store) {
	content := Bytes(1, 1000)
	task := create(t, s, Meta(1, 1000, 256))
	wantKind(t, task.Finish(""), darter.NotFound)
	must(t, PutAll(task, content))
	must(t, task.Finish(""))
	must(t, task.Finish(""))
	i := task.Info()
	if i.State != store.Complete || i.Finished.IsZero() {
		t.Errorf("info %+v", i)
	}
	must(t, Check(task, content))
}

func finishDigest(t *testing.T, s store.Store) {
	content := Bytes(1, 1000)
	good, err := store.Sum("sha256:", bytes.NewReader(content))
	must(t, err)
	wrong := darter.Digest("sha256:" + strings.Repeat("0", 64))
	m := Meta(1, 1000, 256)
	m.Digest = wrong
	task := create(t, s, m)
	must(t, PutAll(task, content))
	err = task.Finish("")
	wantKind(t, err, darter.Corrupt)
	if err != nil && (!strings.Contains(err.Error(), string(good)) || !strings.Contains(err.Error(), string(wrong))) {
		t.Errorf("%v names not both digests", err)
	}
	if task.State() != store.Partial {
		t.Error("complete in spite of a wrong digest")
	}
	must(t, task.Finish(good)) // the one given goes before the one in Meta
	wantKind(t, task.Finish(wrong), darter.Corrupt)
	crc := darter.Digest(darter.CRCText(crc32.ChecksumIEEE(content)))
	must(t, task.Finish(crc))
	if task.State() != store.Complete {
		t.Error("not complete")
	}
}

func empty(t *testing.T, s store.Store) {
	task := create(t, s, store.Meta{ID: ID(1)})
	if _, err := task.ReadAt(make([]byte, 1), 0); !errors.Is(err, io.EOF) {
		t.Errorf("read: %v", err)
	}
	must(t, task.Finish("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"))
	path := filepath.Join(t.TempDir(), "out")
	must(t, task.CopyTo(path))
	if b, err := os.ReadFile(path); err != nil || len(b) != 0 {
		t.Errorf("%q, %v", b, err)
	}
}

func drop(t *testing.T, s store.Store) {
	content := Bytes(1, 1000)
	task := create(t, s, Meta(1, 1000, 256))
	must(t, PutAll(task, content))
	must(t, task.Sync()) // there is nothing to save: it changes nothing
	if task.State() != store.Partial {
		t.Error("complete without Finish")
	}
	must(t, task.Finish(""))
	must(t, task.Sync())
	must(t, task.Sync())
	if task.State() != store.Complete {
		t.Error("partial after Sync")
	}
	must(t, task.Drop(darter.Pieces(1, 2)))
	wantPieces(t, task, darter.Pieces(0, 3))
	if i := task.Info(); i.State != store.Partial || i.Held != 1000-512 || !i.Finished.IsZero() || s.Usage().Held != 1000-512 {
		t.Errorf("info %+v, usage %+v", i, s.Usage())
	}
	_, err := task.OpenPiece(1)
	wantKind(t, err, darter.NotFound)
	wantKind(t, task.Finish(""), darter.NotFound)
	must(t, PutAll(task, content))
	must(t, task.Finish(""))
	must(t, Check(task, content))
}
