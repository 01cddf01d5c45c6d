package manager

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/darter-p2p/darter/internal/cli/sheet"
)

// ticker shows how something goes on: one line that moves on a terminal, else a line for each news.
type ticker struct {
	out   io.Writer
	width func() int // 0: no terminal
	last  string
}

func (a *App) ticker() *ticker {
	t := &ticker{out: a.Err, width: func() int { return 0 }}
	if f, ok := a.Err.(*os.File); ok && a.getenv("TERM") != "dumb" {
		t.width = func() int { return columns(f) }
	}
	return t
}

// columns returns the width of a terminal, 0 when f is none.
func columns(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	if size.Col == 0 {
		return 80
	}
	return int(size.Col)
}

// show replaces the line.
func (t *ticker) show(line string) {
	line = strings.ReplaceAll(sheet.Printable(line), "\n", " ")
	if line == t.last {
		return
	}
	t.last = line
	width := t.width()
	if width == 0 {
		fmt.Fprintln(t.out, line)
		return
	}
	for utf8.RuneCountInString(line) >= width {
		_, size := utf8.DecodeLastRuneInString(line)
		line = line[:len(line)-size]
	}
	io.WriteString(t.out, "\r"+line+"\x1b[K")
}

// end clears a line that moved, so that what follows stands alone.
func (t *ticker) end() {
	if t.last != "" && t.width() != 0 {
		io.WriteString(t.out, "\r\x1b[K")
	}
	t.last = ""
}

// percent is a part of a whole.
func percent(part, whole int64) string {
	if whole <= 0 {
		return "-"
	}
	return fmt.Sprintf("%d%%", 100*part/whole)
}
