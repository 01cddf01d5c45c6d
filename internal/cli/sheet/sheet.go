package sheet

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/goccy/go-yaml"
	"github.com/spf13/pflag"
)

// Flag adds -o table|json|yaml.
func Flag(flags *pflag.FlagSet) *string {
	return flags.StringP("output", "o", "table", "table, json or yaml")
}

// Check refuses a wrong -o.
func Check(format string) error {
	if format == "table" || format == "json" || format == "yaml" {
		return nil
	}
	return fmt.Errorf("-o %q is none of table, json, yaml", format)
}

// Table is rows for people.
type Table struct {
	Head []string
	Rows [][]string
}

// Add appends a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

// Render writes v in the format asked for; as a table it is t.
func Render(w io.Writer, format string, v any, t Table) error {
	switch format {
	case "table":
		return t.Write(w)
	case "json":
		return JSON(w, v)
	case "yaml":
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		text, err := yaml.JSONToYAML(data)
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	}
	return Check(format)
}

// Write writes columns.
func (t Table) Write(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(t.Head) > 0 {
		fmt.Fprintln(tw, strings.Join(t.Head, "\t"))
	}
	for _, row := range t.Rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			if cells[i] = cellText(cell); cell == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(tw, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	}
	return tw.Flush()
}

// cellText keeps a cell in its column: a line end or a tab in it would begin another.
func cellText(cell string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		return r
	}, Printable(cell))
}

// Printable replaces control characters: text of a source or a peer must not steer the terminal.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || (r >= 0x20 && r != 0x7f && (r < 0x80 || r > 0x9f)) {
			return r
		}
		return '\uFFFD'
	}, text)
}

// JSON writes v for programs, indented.
func JSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// JSONLine writes v as one line.
func JSONLine(w io.Writer, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(data, '\n'))
	return err
}
