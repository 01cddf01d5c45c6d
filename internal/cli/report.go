package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/cli/sheet"
)

// Failure is an error as JSON, on stderr or inside the object of one file of a list.
type Failure struct {
	Code    int    `json:"code"` // exit code
	Name    string `json:"name"`
	Message string `json:"message"`
	Cause   string `json:"cause,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// failureOf takes an error apart: what failed, why, and what to do.
func failureOf(err error) Failure {
	exit := ExitOf(err)
	f := Failure{Code: int(exit), Name: exit.String(), Message: err.Error(), Hint: hintFor(exit, err)}
	if e, ok := errors.AsType[*darter.Error](err); ok && e.Op != "" && e.Err != nil {
		f.Message, f.Cause = e.Op+" failed", deepest(e.Err).Error()
	}
	return f
}

// deepest follows single wrapping downwards while the text only gains a prefix on the way up: the
// last one is what a person can act on.
func deepest(err error) error {
	for {
		e, ok := err.(*darter.Error)
		if !ok || e.Err == nil {
			return err
		}
		err = e.Err
	}
}

func hintFor(exit Exit, err error) string {
	if hint := darter.HintOf(err); hint != "" {
		return hint
	}
	switch exit {
	case ExitNetwork:
		return "check the address and the network, then run the same command again"
	case ExitDenied:
		return "give credentials with -H @FILE (one \"Key: value\" per line)"
	case ExitTLS:
		return "name the authority's certificate with --cacert FILE"
	case ExitNotFound:
		return "check the URL"
	case ExitMismatch:
		return "check --digest, or whether the content changed at its source; run the same command again"
	case ExitNoSpace:
		return "free some space, then run the same command again: what has arrived is kept"
	case ExitTimeout:
		return "run the same command again: what has arrived is kept; --timeout allows more time"
	case ExitRateLimited:
		return "wait, then run the same command again"
	}
	return ""
}

// PrintError writes an error for people: what, cause, fix, one line each.
func PrintError(w io.Writer, err error) {
	f := failureOf(err)
	fmt.Fprintf(w, "error[%s]: %s\n", f.Name, indent(f.Message))
	if f.Cause != "" {
		fmt.Fprintf(w, "  cause: %s\n", indent(f.Cause))
	}
	if f.Hint != "" {
		fmt.Fprintf(w, "  fix:   %s\n", indent(f.Hint))
	}
}

// PrintJSONError writes an error for programs, as one line.
func PrintJSONError(w io.Writer, err error) {
	data, jerr := json.Marshal(struct {
		Error Failure `json:"error"`
	}{failureOf(err)})
	if jerr != nil {
		PrintError(w, err)
		return
	}
	fmt.Fprintf(w, "%s\n", data)
}

func indent(text string) string {
	return strings.ReplaceAll(printable(strings.TrimRight(text, "\n")), "\n", "\n         ")
}

// printable replaces control characters: text of a source or a peer must not steer the terminal.
func printable(text string) string { return sheet.Printable(text) }

// printed is an error that was shown already.
type printed struct{ error }

func (p printed) Unwrap() error { return p.error }

// Printed marks err as shown, so that the wiring only takes its exit code.
func Printed(err error) error { return printed{err} }

// WasPrinted reports whether err was shown already.
func WasPrinted(err error) bool {
	_, ok := errors.AsType[printed](err)
	return ok
}

func writeJSONLine(w io.Writer, v any) error { return sheet.JSONLine(w, v) }

func writeJSON(w io.Writer, v any) error { return sheet.JSON(w, v) }
