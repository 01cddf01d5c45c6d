package house

import (
	"fmt"
	"maps"
	"slices"
)

// Fault is one place where the tree breaks a rule.
type Fault struct {
	Rule   string
	Where  string // path:line, for people
	What   string // what is at fault, the same when lines move: exceptions name it
	Why    string // the reason of the rule
	Remedy string // how to mend it
}

func (f Fault) String() string {
	return fmt.Sprintf("%s: %s [%s]\n\twhy:  %s\n\tmend: %s", f.Where, f.What, f.Rule, f.Why, f.Remedy)
}

// Rule is one rule over the whole tree.
type Rule struct {
	Name  string
	Check func(*Tree) []Fault
}

// Rules returns every rule of the house.
func Rules() []Rule {
	return []Rule{
		{"imports", imports},
		{"api types", perFile(apiTypes)},
		{"forbidden imports", perFile(forbiddenImports)},
		{"pure cores", perFile(pureCores)},
		{"package comment", packageComments},
		{"names", names},
		{"documented", perFile(documented)},
		{"goroutines", perFile(goroutines)},
		{"background", perFile(background)},
		{"init", perFile(inits)},
		{"sleep", sleeps},
		{"panic", perFile(panics)},
		{"default logger", perFile(defaultLogger)},
		{"variables", variables},
		{"sizes", sizes},
		{"lives", lives},
		{"links", links},
		{"private words", privateWords},
	}
}

func perFile(check func(*File) []Fault) func(*Tree) []Fault {
	return func(t *Tree) []Fault {
		var out []Fault
		for _, f := range t.Files {
			out = append(out, check(f)...)
		}
		return out
	}
}

// exceptions are the faults that we live with: "rule: what" and why.
var exceptions = map[string]string{
	"variables: internal/invariant.process":   "a violation is news about the process; cores have no place to carry a counter",
	"sizes: darter exports":                   "the vocabulary itself: every name is a word of the glossary or a value of one",
	"sizes: darter lines":                     "jobs, policies, plans, runs and audit events are words that several rooms and the command line share",
	"sizes: internal/scheduler/swarm exports": "the closed sets of events and effects are the language of the core: one type per word",
}

// Check runs every rule. An exception that excuses nothing is a fault of its own.
func Check(t *Tree) []Fault { return check(t, exceptions) }

func check(t *Tree, excused map[string]string) []Fault {
	var out []Fault
	used := make(map[string]bool)
	for _, r := range Rules() {
		for _, f := range r.Check(t) {
			f.Rule = r.Name
			key := f.Rule + ": " + f.What
			if excused[key] != "" {
				used[key] = true
				continue
			}
			out = append(out, f)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(excused)) {
		if !used[key] {
			out = append(out, Fault{Rule: "exceptions", Where: "internal/house/rules.go", What: key,
				Why:    "an exception that nothing needs hides the next fault",
				Remedy: "take it off the list"})
		}
	}
	return out
}
