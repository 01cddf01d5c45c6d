package records

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/darter-p2p/darter/internal/gc/retention"
)

// Table describes rows that can be reclaimed. All names and conditions are written by programmers, never
// taken from a request.
//
// For speed it wants an index on (Group, State, Time, Key), of those columns that it has, one on each
// child's Column, and no foreign keys from the children: they go in the same transaction anyway, and a
// check per row costs more than the row.
type Table struct {
	Kind     string   // of the policy
	Name     string   // of the table
	Key      string   // column of text, unique
	Time     string   // column of microseconds: when a row became final; 0 is not yet
	Group    string   // column that keep_last and rules tell apart; may be empty
	Owner    string   // column of the owner; may be empty
	State    string   // column of the state; empty when rows are final from the beginning
	Final    []string // states that never change again; required with State
	Pinned   string   // column of microseconds: until then the row stays; may be empty
	Children []Child  // in the order in which they are to go
	Vetoes   []Veto
}

// Child is a table whose rows go with those of the table.
type Child struct {
	Name   string
	Column string // refers to the table's Key
}

// Veto keeps rows that something still refers to.
type Veto struct {
	Reason string // referenced, …
	Keys   string // a SELECT of the keys that stay, none of them NULL
}

func (t *Table) validate() error {
	bad := func(what string) error { return fmt.Errorf("records: table %q: %s", t.Name, what) }
	switch {
	case t.Kind == "" || t.Name == "" || t.Key == "" || t.Time == "":
		return bad("Kind, Name, Key and Time are required")
	case (t.State == "") != (len(t.Final) == 0):
		return bad("State and Final go together")
	}
	for _, name := range []string{t.Name, t.Key, t.Time, t.Group, t.Owner, t.State, t.Pinned} {
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_0123456789") != "" {
			return bad(fmt.Sprintf("%q is no plain name", name))
		}
	}
	for _, c := range t.Children {
		if c.Name == "" || c.Column == "" {
			return bad("a child lacks its name or column")
		}
	}
	for _, v := range t.Vetoes {
		if v.Reason == "" || v.Keys == "" {
			return bad("a veto lacks its reason or keys")
		}
	}
	return nil
}

// own returns our own tables. Runs stay as evidence: the last success and failure of each policy, and
// whatever removed much, go with nothing.
func ownTables() []Table {
	last := func(state string) string {
		return `SELECT id FROM gc_runs r WHERE state = '` + state + `' AND finished_at = (SELECT max(finished_at) FROM gc_runs s WHERE s.kind = r.kind AND s.state = '` + state + `')`
	}
	return []Table{{
		Kind: retention.RunRecord, Name: "gc_runs", Key: "id", Time: "finished_at", Group: "kind", State: "state",
		Final:    []string{"succeeded", "partial", "failed", "cancelled", "lost", "needs_confirmation"},
		Children: []Child{{"gc_run_batches", "run_id"}},
		Vetoes: []Veto{{"last_success", last("succeeded")}, {"last_failure", last("failed")},
			{"large", "SELECT id FROM gc_runs WHERE deleted > 100000"},
			{"referenced", "SELECT resumes FROM gc_runs WHERE resumes <> '' AND state IN ('queued', 'running', 'paused', 'cancelling')"}},
	}, {
		Kind: retention.RunDetail, Name: "gc_run_batches", Key: "id", Time: "at",
		Vetoes: []Veto{{"running", "SELECT b.id FROM gc_run_batches b JOIN gc_runs r ON r.id = b.run_id WHERE r.state IN ('queued', 'running', 'paused', 'cancelling')"}},
	}, {
		Kind: retention.PlanRecord, Name: "gc_plans", Key: "id", Time: "made_at",
		Vetoes: []Veto{{"referenced", "SELECT plan_id FROM gc_runs WHERE plan_id <> ''"}},
	}}
}

var errNoTable = errors.New("there is no table of this kind")

// planLife is how long a plan may be carried out.
const planLife = 15 * time.Minute
