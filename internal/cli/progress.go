package cli

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/cli/sheet"
)

// style is how a progress line is drawn.
type style struct {
	width   int  // columns of the terminal
	colour  bool // ANSI colours are understood and wanted
	unicode bool // the locale shows more than ASCII
}

// line draws one progress line of at most width-1 columns. What matters least goes first when the
// terminal is narrow: the name, then the bar, the bytes, the sources.
func (s style) line(v view) string {
	name, percent, bytes, rate, eta, sources := v.parts()
	room := max(s.width-1, 20)
	for _, parts := range [][]string{
		{name, "\x00", percent, bytes, rate, eta, sources},
		{"\x00", percent, bytes, rate, eta, sources},
		{percent, bytes, rate, eta, sources},
		{percent, rate, eta, sources},
		{percent, bytes, rate},
		{percent, rate},
		{percent},
	} {
		if text, ok := s.fit(v, parts, room); ok {
			return text
		}
	}
	return ""
}

const leastBar, mostBar = 10, 40

// fit joins the parts with two blanks; the part "\x00" is the bar, which takes the room that is left.
func (s style) fit(v view, parts []string, room int) (string, bool) {
	used, bar := 0, false
	kept := make([]string, 0, len(parts))
	for _, p := range parts {
		if p == "" {
			continue
		}
		kept = append(kept, p)
		if p == "\x00" {
			bar = true
			continue
		}
		used += utf8.RuneCountInString(p)
	}
	used += 2 * (len(kept) - 1)
	if used > room || bar && room-used < leastBar {
		return "", false
	}
	text := strings.Join(kept, "  ")
	if bar {
		text = strings.Replace(text, "\x00", s.bar(v, min(room-used, mostBar)), 1)
	}
	return text, true
}

func (s style) bar(v view, width int) string {
	full, rest := "#", "-"
	if s.unicode {
		full, rest = "━", "─"
	}
	done, known := v.fraction()
	n := int(done * float64(width))
	if !known { // a mark that wanders, since nobody knows how far it is
		at := int(v.elapsed/(200*time.Millisecond)) % width
		return strings.Repeat(rest, at) + full + strings.Repeat(rest, width-at-1)
	}
	if s.colour {
		return "\x1b[36m" + strings.Repeat(full, n) + "\x1b[2;39m" + strings.Repeat(rest, width-n) + "\x1b[0m"
	}
	return strings.Repeat(full, n) + strings.Repeat(rest, width-n)
}

func (v view) parts() (name, percent, bytes, rate, eta, sources string) {
	name = shorten(printable(v.name), 28)
	if v.files > 1 {
		name = fmt.Sprintf("%d/%d files", v.ended, v.files)
	}
	bytes = sizeText(v.bytes())
	if done, known := v.fraction(); known {
		percent = fmt.Sprintf("%3d%%", int(done*100))
		bytes = fmt.Sprintf("%s of %s", bytes, sizeText(v.total))
	}
	rate = rateText(v.rate)
	if left, known := v.left(); known {
		eta = "ETA " + clock(left)
	}
	if percent == "" {
		percent = bytes
		bytes = ""
	}
	return name, percent, bytes, rate, eta, sourcesText(v.bySource)
}

// shorten cuts the middle out of a long name: its end tells what it is.
func shorten(s string, most int) string {
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most/2-1]) + ".." + string(r[len(r)-most/2+1:])
}

// sourcesText says where the bytes came from, in whole percent that add up to 100.
func sourcesText(by [3]int64) string {
	all := by[0] + by[1] + by[2]
	if all <= 0 {
		return ""
	}
	var share [3]int
	left, most := 100, 0
	for i, n := range by {
		share[i] = int(math.Floor(100 * float64(n) / float64(all)))
		left -= share[i]
		if n > by[most] {
			most = i
		}
	}
	share[most] += left // rounding must not invent a visit to the origin
	return fmt.Sprintf("origin %d%% peers %d%% cache %d%%", share[darter.FromSource], share[darter.FromPeer], share[darter.FromCache])
}

func sizeText(n int64) string { return sheet.Size(n) }

func rateText(r float64) string { return sizeText(int64(r)) + "/s" }

func clock(d time.Duration) string { return sheet.Clock(d) }

// screen owns the bottom line of a terminal. Each change is one write, so nothing flickers.
type screen struct {
	out  io.Writer
	size func() int // columns now
	style
	shown bool
}

func (s *screen) draw(v view) {
	s.width = s.size()
	io.WriteString(s.out, "\r"+s.line(v)+"\x1b[K")
	s.shown = true
}

func (s *screen) clear() {
	if s.shown {
		io.WriteString(s.out, "\r\x1b[K")
		s.shown = false
	}
}

// plainLine is the progress of one moment for a log.
func plainLine(v view) string {
	name, percent, bytes, rate, eta, sources := v.parts()
	var kept []string
	for _, p := range []string{name, strings.TrimSpace(percent), bytes, rate, eta, sources} {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, "  ")
}
