package pick

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/darter-p2p/darter"
)

var update = flag.Bool("update", false, "rewrite what follows ---- in the transcripts")

// TestTranscripts replays testdata/*.txt: blocks of commands, each followed by ---- and what the
// picker decided. `go test -update` rewrites the decisions.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(text) {
				t.Errorf("decisions differ; run go test -update and read the difference.\ngot:\n%s\nwant:\n%s", got, text)
			}
		})
	}
}

func replay(t *testing.T, text string) string {
	s := &script{t: t, now: time.Unix(0, 0), asks: map[string]Ask{}}
	var out strings.Builder
	skipping := false
	for _, line := range strings.SplitAfter(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "----":
			out.WriteString("----\n")
			out.WriteString(s.drain())
			out.WriteString("\n")
			skipping = true
		case skipping && trimmed != "":
		case skipping:
			skipping = false
		default:
			out.WriteString(line)
			if trimmed != "" && !strings.HasPrefix(trimmed, "#") {
				s.do(trimmed)
			}
		}
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}

type script struct {
	t    *testing.T
	p    *Picker
	now  time.Time
	asks map[string]Ask // "piece@from"
	log  strings.Builder
}

func (s *script) drain() string {
	defer s.log.Reset()
	if s.log.Len() == 0 {
		return "nothing\n"
	}
	return s.log.String()
}

func (s *script) set(text string) darter.PieceSet {
	set, err := darter.ParsePieceSet(text, 1<<16)
	if err != nil {
		s.t.Fatal(err)
	}
	return set
}

func (s *script) do(line string) {
	f := strings.Fields(line)
	arg := func(i int) string {
		if i >= len(f) {
			s.t.Fatalf("%q: too few words", line)
		}
		return f[i]
	}
	switch f[0] {
	case "pieces": // pieces N [key=value ...]
		n, _ := strconv.Atoi(arg(1))
		s.p = New(s.config(f[2:]), darter.Layout{Length: int64(n) * 4 << 20, PieceLength: 4 << 20}, 1)
		s.p.Want(s.p.layout.Covering(nil))
	case "want":
		s.p.Want(s.set(arg(1)))
	case "have":
		s.p.Have(s.set(arg(1)))
	case "join", "seed":
		s.p.Join(darter.PeerID(arg(1)), f[0] == "seed")
		for n := range s.set(arg(2)).All() {
			s.p.Holds(darter.PeerID(arg(1)), n)
		}
	case "has":
		for n := range s.set(arg(2)).All() {
			s.p.Holds(darter.PeerID(arg(1)), n)
		}
	case "receives":
		for n := range s.set(arg(2)).All() {
			s.p.Receives(darter.PeerID(arg(1)), n)
		}
	case "gone":
		s.p.Gone(darter.PeerID(arg(1)))
	case "lost":
		s.p.Lost(darter.PeerID(arg(1)), s.now)
	case "grant":
		s.p.Grant(s.set(arg(1)))
	case "scatter":
		s.p.Scatter()
	case "urgent":
		n, _ := strconv.ParseInt(arg(1), 10, 64)
		s.p.Urgent(n)
	case "got", "fail", "missing", "end", "bytes", "outbid":
		s.report(f[0], arg(1), f[2:])
	case "wait": // wait NAME TIMES: the ask is withdrawn from its parent's queue and made again, so often
		times, _ := strconv.Atoi(arg(2))
		for range times {
			s.now = s.now.Add(s.p.cfg.Queue)
			s.p.Next(s.now)
			s.report("end", arg(1), nil)
			s.now = s.now.Add(s.p.cfg.Penalty)
			for _, a := range s.p.Next(s.now).Start {
				s.asks[label(a)] = a
			}
		}
	case "run":
		d, err := time.ParseDuration(arg(1))
		if err != nil {
			s.t.Fatal(err)
		}
		s.now = s.now.Add(d)
	case "next":
		s.next()
	default:
		s.t.Fatalf("unknown command %q", line)
	}
}

func (s *script) config(pairs []string) Config {
	c := DefaultConfig()
	for _, pair := range pairs {
		k, v, _ := strings.Cut(pair, "=")
		n, _ := strconv.Atoi(v)
		switch k {
		case "window":
			c.Window = n
		case "total":
			c.Total = n
		case "streams":
			c.SourceStreams = n
		case "first":
			c.FirstStreams = n
		case "run":
			c.SourceRun = n
		default:
			s.t.Fatalf("unknown setting %q", pair)
		}
	}
	return c
}

// report tells the picker about an ask in flight, named piece@from (from "source" for the source).
func (s *script) report(what, name string, rest []string) {
	a, ok := s.asks[name]
	if !ok {
		s.t.Fatalf("no ask %s in flight: %v", name, s.asks)
	}
	switch what {
	case "got": // got NAME [PIECE]: without a piece the ask's own, and the ask is over
		if len(rest) > 0 {
			n, _ := strconv.Atoi(rest[0])
			s.p.Got(a.ID, uint32(n), s.now)
			return
		}
		s.p.Got(a.ID, a.Piece, s.now)
		s.p.Ended(a.ID, false, false, s.now)
	case "fail":
		s.p.Ended(a.ID, true, false, s.now)
	case "missing":
		s.p.Ended(a.ID, false, true, s.now)
	case "end":
		s.p.Ended(a.ID, false, false, s.now)
	case "outbid":
		s.p.Outbid(a.ID)
	case "bytes":
		n, _ := strconv.ParseInt(rest[0], 10, 64)
		s.p.Progress(a.ID, n, s.now)
		return
	}
	delete(s.asks, name)
}

func label(a Ask) string {
	if a.Source() {
		return fmt.Sprintf("%d@source", a.Piece)
	}
	return fmt.Sprintf("%d@%s", a.Piece, a.From)
}

func (s *script) next() {
	d := s.p.Next(s.now)
	at := s.now.Sub(time.Unix(0, 0)).Truncate(time.Millisecond)
	for _, c := range d.Cancel {
		why := ""
		if c.Stall {
			why = ", stalled"
		}
		fmt.Fprintf(&s.log, "%6s cancel %s%s\n", at, label(c.Ask), why)
	}
	for _, a := range d.Start {
		s.asks[label(a)] = a
		note := ""
		if a.Hedge {
			note = " as a hedge"
		}
		if a.Relay {
			note += " as it comes"
		}
		if a.Sole {
			note += ", nobody else has it"
		}
		if a.Run > 1 {
			note = fmt.Sprintf(" and %d more", a.Run-1)
		}
		fmt.Fprintf(&s.log, "%6s ask %s%s\n", at, label(a), note)
	}
}
