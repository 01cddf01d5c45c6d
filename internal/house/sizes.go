package house

import (
	"fmt"
	"go/ast"
	"maps"
	"slices"
	"strings"
)

// Limits that the house enforces; what to aim at is in STYLE.md.
const (
	maxFileLines     = 500
	maxTestLines     = 1000
	maxFunctionLines = 70
	maxExports       = 40
	maxRootLines     = 800
	maxContributing  = 150
)

const whySizes = "what does not fit on a page is not read, and what is not read is not reviewed"

func sizes(t *Tree) []Fault {
	var out []Fault
	rooms := t.rooms()
	for _, room := range slices.Sorted(maps.Keys(rooms)) {
		if l, _ := place(room); l == rig {
			continue
		}
		exports, lines := 0, 0
		for _, f := range rooms[room] {
			exports += exported(f)
			lines += t.lineCount(f.Path)
			out = append(out, fileSize(t, f)...)
		}
		if exports > maxExports {
			out = append(out, Fault{Where: title(room), What: title(room) + " exports",
				Why:    fmt.Sprintf("%d exported names, more than %d: a room that offers so much is several rooms", exports, maxExports),
				Remedy: "take back what only this room uses, or split by noun"})
		}
		if room == "" && lines > maxRootLines {
			out = append(out, Fault{Where: "package darter", What: "darter lines",
				Why:    fmt.Sprintf("%d lines, more than %d: root packages swell", lines, maxRootLines),
				Remedy: "keep nouns that two rooms share; move the rest to the room that uses it"})
		}
	}
	out = append(out, testSizes(t)...)
	if n := t.lineCount("CONTRIBUTING.md"); n > maxContributing {
		out = append(out, Fault{Where: "CONTRIBUTING.md", What: "CONTRIBUTING.md lines",
			Why:    fmt.Sprintf("%d lines, more than %d: a newcomer reads one page", n, maxContributing),
			Remedy: "move a guide into docs/guides and link it"})
	}
	return out
}

// testSizes only keeps tests and the rig from becoming endless: tables and stories are long.
func testSizes(t *Tree) []Fault {
	var out []Fault
	for _, f := range t.Files {
		if l, _ := place(f.Room); !f.Test && l != rig {
			continue
		}
		if n := t.lineCount(f.Path); n > maxTestLines {
			out = append(out, Fault{Where: f.Path, What: f.Path, Why: fmt.Sprintf("%d lines, more than %d: %s", n, maxTestLines, whySizes),
				Remedy: "one file per story"})
		}
	}
	return out
}

func (t *Tree) lineCount(path string) int { return strings.Count(t.Texts[path], "\n") }

func fileSize(t *Tree, f *File) []Fault {
	var out []Fault
	if n := t.lineCount(f.Path); n > maxFileLines {
		out = append(out, Fault{Where: f.Path, What: f.Path, Why: fmt.Sprintf("%d lines, more than %d: %s", n, maxFileLines, whySizes),
			Remedy: "one file per noun or verb"})
	}
	for _, d := range f.AST.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || f.lines(fn) <= maxFunctionLines {
			continue
		}
		out = append(out, Fault{Where: f.at(fn), What: title(f.Room) + "." + functionName(fn),
			Why:    fmt.Sprintf("%d lines, more than %d: %s", f.lines(fn), maxFunctionLines, whySizes),
			Remedy: "give the steps names: one function says what happens, others how"})
	}
	return out
}

// functionName returns "Name" or "Type.Name".
func functionName(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return fn.Name.Name
	}
	e := fn.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.Name + "." + fn.Name.Name
		default:
			return fn.Name.Name
		}
	}
}

// exported counts a file's exported types, functions, and groups of constants or variables: the values
// of one enumeration are one thing to learn.
func exported(f *File) int {
	count := 0
	for _, d := range f.AST.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.IsExported() {
				count++
			}
		case *ast.GenDecl:
			group := false
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() {
						count++
					}
				case *ast.ValueSpec:
					group = group || s.Names[0].IsExported()
				}
			}
			if group {
				count++
			}
		}
	}
	return count
}
