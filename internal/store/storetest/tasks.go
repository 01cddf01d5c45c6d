package storetest

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

func remove(t *testing.T, s store.Store) {
	content := Bytes(1, 1000)
	task := create(t, s, Meta(1, 1000, 256))
	must(t, Put(task, 0, content))
	w, err := task.Writer(1)
	must(t, err)
	_, err = w.Write(content[256:300])
	must(t, err)
	r, err := task.OpenPiece(0)
	must(t, err)
	must(t, s.Remove(ID(1)))
	fresh := create(t, s, Meta(1, 1000, 256)) // the same name, another task
	must(t, Put(fresh, 0, Bytes(2, 1000)))
	got, err := io.ReadAll(r.Body)
	if err != nil || !bytes.Equal(got, content[:256]) {
		t.Errorf("an open reader lost its bytes: %v", err)
	}
	must(t, r.Close())
	_, err = w.Write(content[300:512])
	wantKind(t, err, darter.NotFound)
	_, err = w.Commit(nil, darter.Piece{})
	if err == nil {
		t.Error("a removed task took a piece")
	}
	if !task.Removed() || fresh.Removed() {
		t.Error("the wrong task is removed")
	}
	_, err = task.OpenPiece(0)
	wantKind(t, err, darter.NotFound)
	_, err = task.ReadAt(make([]byte, 1), 0)
	wantKind(t, err, darter.NotFound)
	_, err = task.Writer(2)
	wantKind(t, err, darter.NotFound)
	wantKind(t, task.Finish(""), darter.NotFound)
	wantKind(t, task.Sync(), darter.NotFound)
	wantKind(t, task.Drop(darter.Pieces(0)), darter.NotFound)
	must(t, Check(fresh, Bytes(2, 1000)))
	if u := s.Usage(); u.Tasks != 1 || u.Held != 256 {
		t.Errorf("usage %+v", u)
	}
}

func changed(t *testing.T, s store.Store) {
	content := Bytes(1, 1000)
	task := create(t, s, Meta(1, 1000, 256))
	step := func(what string, do func() error) {
		t.Helper()
		ch := task.Changed()
		select {
		case <-ch:
			t.Fatalf("before %s: the channel is closed already", what)
		default:
		}
		must(t, do())
		select {
		case <-ch:
		default:
			t.Errorf("%s does not wake", what)
		}
	}
	step("commit", func() error { return Put(task, 2, content) })
	must(t, PutAll(task, content))
	step("finish", func() error { return task.Finish("") })
	step("drop", func() error { return task.Drop(darter.Pieces(1)) })
	step("remove", func() error { return s.Remove(ID(1)) })
	<-task.Changed() // of a removed task, it does not block
	<-task.Changed()
}

func listUsage(t *testing.T, s store.Store) {
	for _, n := range []int{3, 1, 2} {
		must(t, Put(create(t, s, Meta(n, 1000, 256)), 0, Bytes(1, 1000)))
	}
	list := s.List()
	if len(list) != 3 {
		t.Fatalf("%d tasks", len(list))
	}
	for i, info := range list {
		if info.ID != ID(i+1) || info.Held != 256 || !info.Pieces.Equal(darter.Pieces(0)) || info.State != store.Partial {
			t.Errorf("info %+v", info)
		}
	}
	if u := s.Usage(); u.Tasks != 3 || u.Held != 768 {
		t.Errorf("usage %+v", u)
	}
}

func complete(t *testing.T, s store.Store, content []byte) store.Task {
	t.Helper()
	task := create(t, s, Meta(1, int64(len(content)), 256))
	path := filepath.Join(t.TempDir(), "early")
	wantKind(t, task.CopyTo(path), darter.Conflict)
	must(t, PutAll(task, content))
	must(t, task.Finish(""))
	return task
}

func copyOut(t *testing.T, s store.Store) {
	content := Bytes(1, 1000)
	task := complete(t, s, content)
	path := filepath.Join(t.TempDir(), "out")
	must(t, task.CopyTo(path))
	if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, content) {
		t.Errorf("other bytes, %v", err)
	}
	must(t, os.WriteFile(path, []byte("mine"), 0o600))
	wantKind(t, task.CopyTo(path), darter.Conflict)
	if b, _ := os.ReadFile(path); string(b) != "mine" {
		t.Error("an existing file was touched")
	}
	if err := task.CopyTo(filepath.Join(t.TempDir(), "no", "such", "folder")); err == nil {
		t.Error("copied into a folder that is not there")
	}
}

func linkOut(t *testing.T, s store.Store) {
	content := Bytes(1, 1000)
	task := complete(t, s, content)
	path := filepath.Join(t.TempDir(), "out")
	err := task.Link(path)
	if darter.KindOf(err) == darter.Unavailable && err != nil {
		t.Skipf("this store cannot link: %v", err)
	}
	must(t, err)
	if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, content) {
		t.Errorf("other bytes, %v", err)
	}
	wantKind(t, task.Link(path), darter.Conflict)
	must(t, s.Remove(ID(1)))
	if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, content) {
		t.Errorf("the second name lost its bytes with the first: %v", err)
	}
}
