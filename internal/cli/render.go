package cli

import (
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/darter-p2p/darter/internal/cli/sheet"
)

// formatFlag adds -o table|json|yaml to a command.
func formatFlag(c *cobra.Command) *string { return sheet.Flag(c.Flags()) }

// table is rows for people.
type table struct {
	head []string
	rows [][]string
}

// render writes v in the format asked for; as a table it is t.
func render(w io.Writer, format string, v any, t table) error {
	if err := checkFormat(format); err != nil {
		return err
	}
	return sheet.Render(w, format, v, sheet.Table{Head: t.head, Rows: t.rows})
}

// checkFormat refuses a wrong -o before anything is asked of anybody.
func checkFormat(format string) error {
	if err := sheet.Check(format); err != nil {
		return Usage(err)
	}
	return nil
}

// ago is a time for people: how long it is past.
func ago(t, now time.Time) string { return sheet.Ago(t, now) }

func yesNo(b bool) string { return sheet.YesNo(b) }
