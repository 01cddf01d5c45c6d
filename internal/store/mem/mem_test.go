package mem_test

import (
	"testing"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
	"github.com/darter-p2p/darter/internal/store/mem"
	"github.com/darter-p2p/darter/internal/store/storetest"
)

func TestSuite(t *testing.T) {
	storetest.Run(t, func(*testing.T) store.Store { return mem.New(mem.DefaultConfig()) })
}

func TestFullStoreRefusesAPieceAndTakesTheNextAfterRoomWasMade(t *testing.T) {
	s := mem.New(mem.Config{Limit: 300})
	content := storetest.Bytes(1, 1000)
	task, err := s.Create(storetest.Meta(1, 1000, 256))
	if err != nil {
		t.Fatal(err)
	}
	if err := storetest.Put(task, 0, content); err != nil {
		t.Fatal(err)
	}
	if err := storetest.Put(task, 1, content); darter.KindOf(err) != darter.NoSpace {
		t.Fatalf("got %v, want no space", err)
	}
	if err := task.Drop(darter.Pieces(0)); err != nil {
		t.Fatal(err)
	}
	if err := storetest.Put(task, 1, content); err != nil {
		t.Fatal(err)
	}
}
