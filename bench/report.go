package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// record is one run: one JSON line.
type record struct {
	ID      string             `json:"id"`
	Variant string             `json:"variant"`
	Run     int                `json:"run"`
	Time    time.Time          `json:"time"`
	Commit  string             `json:"commit,omitempty"`
	Go      string             `json:"go"`
	CPUs    int                `json:"cpus"`
	Bytes   int64              `json:"bytes,omitempty"` // size of the file
	Load1   float64            `json:"load1"`           // load average before the run
	Busy    float64            `json:"busy"`            // share of all CPUs in use in the second before the run
	Values  map[string]float64 `json:"values"`
}

// target is what a figure should not exceed.
type target struct {
	id, variant, metric string
	limit               float64
}

func targets() []target {
	return []target{
		{"B1", "darter", "last/bound", 1.5},
		{"B7", "seed", "origin copies", 1},
		{"B7", "seed killed", "copies less a piece", 1},
		{"B11", "darter 1KiB cold", "p50 ms", 20},
		{"B11", "darter 1KiB cold", "p99 ms", 50},
		{"B14", "darter", "seed/nginx", 1.5},
		{"B14", "darter", "child/curl", 1.5},
		{"B16", "daemon", "rss MiB", 40},
		{"B16", "up", "ready ms", 1000},
		{"L1", "killed", "p99 s", 5},
		{"L1", "frozen", "p99 s", 5},
		{"L2", "idle, lease", "max s", 60},
		{"L2", "plain, 60 s", "max over 2 intervals s", 1},
		{"L2", "plain, 300 s", "max over 2 intervals s", 1},
		{"L3", "1 % loss", "false offline", 1},
		{"L4", "swarm", "hidden s", 2},
		{"L4", "swarm", "bad offers", 0},
		{"L4", "swarm", "pause ms", 5},
		{"L4", "roster, most of all", "pause ms", 5},
		{"L4", "roster, most of all", "guard after it s", 5},
		{"L4", "roster, most of all", "forgotten s", 60},
		{"L4", "roster, most of all", "forgotten before it was allowed", 0},
		{"L4", "roster, a tenth of all", "pause ms", 5},
		{"L4", "roster, a tenth of all", "guard after it s", 5},
		{"L4", "roster, a tenth of all", "forgotten s", 60},
		{"L4", "roster, a tenth of all", "forgotten before it was allowed", 0},
		{"L5", "leaves", "cpu s", 1},
		{"L5", "all leave", "cpu s", 1},
		{"L6", "renewals", "core share", 0.05},
		{"L6", "renewals", "tick p99 ms", 2},
		{"L6", "renewals", "B/host", 1024},
		{"M1", "sqlite, plan-and-run", "run s", 15},
		{"M1", "postgres, plan-and-run", "run s", 10},
		{"M1", "sqlite, paced", "run s", 120},
		{"M1", "postgres, paced", "run s", 120},
		{"M1", "sqlite, plan-and-run", "plan s", 2},
		{"M1", "postgres, plan-and-run", "plan s", 2},
		{"M1", "sqlite, plan-and-run", "peak RSS MiB", 80},
		{"M1", "postgres, plan-and-run", "peak RSS MiB", 80},
		{"M1", "sqlite, plan-and-run", "RSS growth MiB", 32},
		{"M1", "postgres, plan-and-run", "RSS growth MiB", 32},
		{"M1", "sqlite, paced", "create p99 rise %", 20},
		{"M1", "sqlite, paced", "list p99 rise %", 20},
		{"M1", "postgres, paced", "create p99 rise %", 20},
		{"M1", "postgres, paced", "list p99 rise %", 20},
		{"M1", "sqlite, batch-loop", "our time / its", 0.6},
		{"M1", "postgres, batch-loop", "our time / its", 0.6},
		{"M1", "sqlite, batch-loop", "our peak / its", 0.75},
		{"M1", "postgres, batch-loop", "our peak / its", 0.75},
		{"M1", "sqlite, cancel", "cancel s", 0.5},
		{"M1", "postgres, cancel", "cancel s", 0.5},
		{"M3", "postgres, 3 managers", "lost", 0},
		{"M3", "postgres, 3 managers", "propagation p99 below s", 5},
		{"M4", "sqlite, 10,000 jobs", "create to visible p99 ms", 100},
		{"M4", "sqlite, 10,000 jobs", "first page p50 ms", 100},
		{"M4", "sqlite, 10,000 jobs", "rss MiB", 80},
		{"L7", "idle location", "B/location", 200},
	}
}

// noisy is the share of busy CPU before a run above which its CPU figures are not trusted.
const noisy = 0.10

// book collects records.
type book struct {
	file    *os.File
	records []record
	commit  string
}

func openBook(dir string) (*book, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(filepath.Join(dir, time.Now().UTC().Format("20060102T150405Z")+".jsonl"))
	if err != nil {
		return nil, err
	}
	commit, err := exec.Command("git", "rev-parse", "--short", "HEAD").Output()
	if err != nil {
		commit = nil // not a clone: the record simply has no commit
	}
	return &book{file: f, commit: strings.TrimSpace(string(commit))}, nil
}

func (b *book) close() { _ = b.file.Close() }

// add writes a record and prints it in one line.
func (b *book) add(r record) error {
	r.Time, r.Go, r.CPUs, r.Commit = time.Now().UTC(), runtime.Version(), runtime.NumCPU(), b.commit
	b.records = append(b.records, r)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r.Values)) {
		fmt.Fprintf(&text, "  %s=%.4g", name, r.Values[name])
	}
	fmt.Printf("   %s %d:%s  busy=%.2f\n", r.Variant, r.Run, text.String(), r.Busy)
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = b.file.Write(append(line, '\n'))
	return err
}

// row is one line of the table.
type row struct {
	id, variant, metric string
	values              []float64
	busy                float64
}

func (b *book) rows() []row {
	var rows []row
	at := map[[3]string]int{}
	for _, r := range b.records {
		for _, metric := range slices.Sorted(maps.Keys(r.Values)) {
			key := [3]string{r.ID, r.Variant, metric}
			i, known := at[key]
			if !known {
				i = len(rows)
				at[key] = i
				rows = append(rows, row{id: r.ID, variant: r.Variant, metric: metric})
			}
			rows[i].values = append(rows[i].values, r.Values[metric])
			rows[i].busy = max(rows[i].busy, r.Busy)
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(a.id+a.variant, b.id+b.variant) })
	return rows
}

// table prints every figure with its median, and what the targets say of it.
func (b *book) table(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "\nid\tvariant\tfigure\tmedian\tmin\tmax\truns\ttarget\t")
	for _, r := range b.rows() {
		text := ""
		for _, g := range targets() {
			if g.id == r.id && g.variant == r.variant && g.metric == r.metric {
				text = fmt.Sprintf("<= %.4g %s", g.limit, verdict(median(r.values), g.limit, r.busy))
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.4g\t%.4g\t%.4g\t%d\t%s\t\n", r.id, r.variant, r.metric,
			median(r.values), slices.Min(r.values), slices.Max(r.values), len(r.values), text)
	}
	_ = t.Flush() // standard output; nothing could be done about it
	fmt.Fprintf(w, "\nJSON lines: %s\n", b.file.Name())
}

func verdict(value, limit, busy float64) string {
	switch {
	case value <= limit*1.000001: // a ratio of exactly 1.00 must not fail by rounding
		return "ok"
	case busy > noisy:
		return "MISSED (machine was busy)"
	}
	return "MISSED"
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile returns the smallest value that at least the share q does not exceed; for an even number
// the median is the mean of the middle two.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	if q == 0.5 && len(s)%2 == 0 {
		return (s[len(s)/2-1] + s[len(s)/2]) / 2
	}
	i := int(q*float64(len(s))+0.999999) - 1
	return s[min(max(i, 0), len(s)-1)]
}
