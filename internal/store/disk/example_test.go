package disk_test

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
	"github.com/darter-p2p/darter/internal/store/disk"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	cfg := disk.DefaultConfig()
	cfg.Dir = dir
	s, err := disk.Open(cfg)
	if err != nil {
		fmt.Println(err, darter.HintOf(err))
		return
	}
	defer s.Close()

	content := "a darter is a fast fish"
	id := darter.TaskID(strings.Repeat("d", 64))
	task, _ := s.Create(store.Meta{ID: id, Layout: darter.Layout{Length: int64(len(content)), PieceLength: 10}})
	for n := range task.Meta().Layout.Count() {
		span := task.Meta().Layout.Span(n)
		w, _ := task.Writer(n)
		_, _ = io.WriteString(w, content[span.Offset:span.End()])
		_, _ = w.Commit(nil, darter.Piece{Traffic: darter.FromSource})
		w.Abort()
		fmt.Println(task.Pieces(), task.State())
	}
	fmt.Println(task.Finish(""), task.State(), task.Sync())
	text, _ := io.ReadAll(io.NewSectionReader(task, 2, 6))
	fmt.Printf("%s\n", text)
	// Output:
	// 0 partial
	// 0-1 partial
	// 0-2 partial
	// <nil> complete <nil>
	// darter
}
