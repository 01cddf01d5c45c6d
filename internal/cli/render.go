package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

// formatFlag adds -o table|json|yaml to a command.
func formatFlag(c *cobra.Command) *string {
	return c.Flags().StringP("output", "o", "table", "table, json or yaml")
}

// table is rows for people.
type table struct {
	head []string
	rows [][]string
}

// render writes v in the format asked for; as a table it is t.
func render(w io.Writer, format string, v any, t table) error {
	switch format {
	case "table":
		return t.write(w)
	case "json":
		return writeJSON(w, v)
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
	return Usage(fmt.Errorf("-o %q is none of table, json, yaml", format))
}

// checkFormat refuses a wrong -o before anything is asked of anybody.
func checkFormat(format string) error {
	if format == "table" || format == "json" || format == "yaml" {
		return nil
	}
	return Usage(fmt.Errorf("-o %q is none of table, json, yaml", format))
}

func (t table) write(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(t.head) > 0 {
		fmt.Fprintln(tw, strings.Join(t.head, "\t"))
	}
	for _, row := range t.rows {
		for i, cell := range row {
			if row[i] = printable(cell); cell == "" {
				row[i] = "-"
			}
		}
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	return tw.Flush()
}

// ago is a time for people: how long it is past.
func ago(t, now time.Time) string {
	if t.IsZero() || t.Unix() == 0 {
		return "-"
	}
	return clock(max(0, now.Sub(t))) + " ago"
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
