package disk

import (
	"errors"
	"testing"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
	"github.com/darter-p2p/darter/internal/store/storetest"
)

// hookFS does something just before the next file is opened.
type hookFS struct {
	files
	before func()
}

func (h *hookFS) Open(path string, flag int) (file, error) {
	if do := h.before; do != nil {
		h.before = nil
		do()
	}
	return h.files.Open(path, flag)
}

func TestAnOldTaskNeverReachesTheFilesOfANewOneOfItsName(t *testing.T) {
	content, other := storetest.Bytes(1, 1000), storetest.Bytes(2, 1000)
	for name, act := range map[string]func(store.Task) error{
		"read":   func(old store.Task) error { _, err := old.ReadAt(make([]byte, 9), 0); return err },
		"open":   func(old store.Task) error { _, err := old.OpenPiece(0); return err },
		"write":  func(old store.Task) error { return storetest.Put(old, 1, content) },
		"finish": func(old store.Task) error { return old.Finish("crc32:1") },
		"sync":   func(old store.Task) error { return errors.Join(old.Finish(""), old.Sync()) },
		"drop":   func(old store.Task) error { return old.Drop(darter.Pieces(0)) },
	} {
		t.Run(name, func(t *testing.T) {
			fs := &hookFS{files: osFiles{}}
			c := config(t.TempDir())
			c.IdleFiles = 0
			s, err := openOn(c, fs)
			must(t, err)
			defer s.Close()
			old, err := s.Create(storetest.Meta(1, 1000, 256))
			must(t, err)
			must(t, storetest.Put(old, 0, content))
			if name == "finish" || name == "sync" {
				must(t, storetest.PutAll(old, content))
			}
			fs.before = func() {
				must(t, s.Remove(storetest.ID(1)))
				fresh, err := s.Create(storetest.Meta(1, 1000, 256))
				must(t, err)
				must(t, storetest.PutAll(fresh, other))
			}
			if err := act(old); darter.KindOf(err) != darter.NotFound || err == nil {
				t.Errorf("got %v, want not found", err)
			}
			fresh, err := s.Open(storetest.ID(1))
			must(t, err)
			must(t, storetest.Check(fresh, other))
			if fresh.Pieces().Len() != 4 {
				t.Errorf("holds %s", fresh.Pieces())
			}
		})
	}
}
