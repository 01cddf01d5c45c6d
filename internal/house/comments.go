package house

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

var licence = regexp.MustCompile(`(?i)licensed under|spdx-license|copyright \(?c?\)? ?\d|all rights reserved`)

// limit is how a comment says what the room leaves to others.
var limit = regexp.MustCompile(`deliberate|\b(does|do|is|are) not\b|\b(knows?|decides?) no`)

// packageComments asks for a doc.go that says what the room is for, draws it, and says what it promises
// and what it deliberately does not do. Programs and the rig only need the first.
func packageComments(t *Tree) []Fault {
	var out []Fault
	rooms := t.rooms()
	for _, room := range slices.Sorted(maps.Keys(rooms)) {
		comment, where := "", ""
		for _, f := range rooms[room] {
			if f.AST.Doc == nil {
				continue
			}
			text := f.AST.Doc.Text()
			if licence.MatchString(text) {
				out = append(out, Fault{Where: f.Path, What: title(room) + " has a licence in its comment",
					Why: "the licence is in LICENSE; the comment is for people who read code", Remedy: "delete it"})
			}
			if where != "" {
				out = append(out, Fault{Where: f.Path, What: title(room) + " has two package comments",
					Why: "a reader finds one of them", Remedy: "keep the one in doc.go"})
			}
			comment, where = text, f.Name
		}
		l, _ := place(room)
		program := strings.HasPrefix(room, "cmd/") || l == rig
		out = append(out, judge(room, where, comment, program)...)
	}
	return out
}

func judge(room, where, comment string, program bool) []Fault {
	fault := func(what, remedy string) []Fault {
		return []Fault{{Where: title(room), What: title(room) + " " + what,
			Why:    "who opens a folder wants to know in half a minute what it is for and what it is not for",
			Remedy: remedy}}
	}
	switch lower := strings.ToLower(comment); {
	case strings.TrimSpace(comment) == "":
		return fault("has no package comment", "write doc.go: one sentence, a diagram, what it promises, what it deliberately does not do")
	case program:
		return nil
	case where != "doc.go":
		return fault("has its package comment in "+where, "move it to doc.go")
	case !strings.Contains(comment, "\n\t"):
		return fault("draws nothing in its package comment", "add an indented diagram of what goes in, what comes out and who calls")
	case !strings.Contains(lower, "promise"):
		return fault("promises nothing in its package comment", "say \"It promises that …\": what a caller may rely upon")
	case !limit.MatchString(lower):
		return fault("sets itself no limit in its package comment", "say \"It deliberately …\": what it leaves to others")
	}
	return nil
}
