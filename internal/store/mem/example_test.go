package mem_test

import (
	"fmt"
	"io"
	"strings"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
	"github.com/darter-p2p/darter/internal/store/mem"
)

func ExampleNew() {
	s := mem.New(mem.DefaultConfig())
	id := darter.TaskID(strings.Repeat("d", 64))
	task, _ := s.Create(store.Meta{ID: id, Layout: darter.Layout{Length: 4, PieceLength: 4}})
	w, _ := task.Writer(0)
	_, _ = io.WriteString(w, "fish")
	_, err := w.Commit(nil, darter.Piece{})
	fmt.Println(err, task.Pieces(), s.Usage().Held)
	// Output: <nil> 0 4
}
