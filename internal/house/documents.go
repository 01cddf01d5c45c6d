package house

import (
	"fmt"
	"go/ast"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// step is a line of a life: "`room.Function` - what is true afterwards", after any list mark.
var step = regexp.MustCompile("^[-*0-9. ]*`([a-z][a-z0-9/]*)\\.([A-Za-z]\\w*(?:\\.[A-Za-z]\\w*)?)`(.*)$")

// lives checks docs/lives: each step names a function that exists, and says what is true afterwards.
func lives(t *Tree) []Fault {
	known := t.functions()
	var out []Fault
	for _, name := range slices.Sorted(maps.Keys(t.Texts)) {
		if path.Dir(name) != "docs/lives" || path.Ext(name) != ".md" {
			continue
		}
		steps := 0
		for i, line := range strings.Split(t.Texts[name], "\n") {
			m := step.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			steps++
			where := fmt.Sprintf("%s:%d", name, i+1)
			if !known[m[1]+"."+m[2]] {
				out = append(out, Fault{Where: where, What: m[1] + "." + m[2] + " does not exist",
					Why:    "a life that names what is not there leads a reader astray",
					Remedy: "name the function that does this step now, as room.Function or room.Type.Method"})
			}
			if said, ok := strings.CutPrefix(m[3], " - "); !ok || strings.TrimSpace(said) == "" {
				out = append(out, Fault{Where: where, What: m[1] + "." + m[2] + " is not followed by \" - what is true afterwards\"",
					Why: "the name says what is called, not what for", Remedy: "say what is true once the function has returned"})
			}
		}
		if steps == 0 {
			out = append(out, Fault{Where: name, What: name + " has no steps",
				Why: "a life is its steps", Remedy: "write one line per step: `room.Function` - what is true afterwards"})
		}
	}
	return out
}

// functions returns every function and method of the code, and every method that an interface asks
// for, under each name that a life may use: "fetch.Engine.Open", "daemon/fetch.Engine.Open".
func (t *Tree) functions() map[string]bool {
	out := make(map[string]bool)
	add := func(room, name string) {
		parts := strings.Split(room, "/")
		for i := range parts {
			out[strings.Join(parts[i:], "/")+"."+name] = true
		}
		if room == "" {
			out["darter."+name] = true
		}
	}
	for _, f := range t.Files {
		if f.Test {
			continue
		}
		for _, d := range f.AST.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				add(f.Room, functionName(fn))
			}
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if iface, ok := spec.Type.(*ast.InterfaceType); ok {
				for _, m := range iface.Methods.List {
					for _, name := range m.Names {
						add(f.Room, spec.Name.Name+"."+name.Name)
					}
				}
			}
			return true
		})
	}
	return out
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// links checks that what a document links to inside the tree is there.
func links(t *Tree) []Fault {
	folders := make(map[string]bool)
	for name := range t.Texts {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			folders[dir] = true
		}
	}
	var out []Fault
	for _, name := range slices.Sorted(maps.Keys(t.Texts)) {
		if path.Ext(name) != ".md" {
			continue
		}
		for i, line := range strings.Split(t.Texts[name], "\n") {
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				target, _, _ := strings.Cut(m[1], "#")
				if target == "" || strings.Contains(target, ":") {
					continue
				}
				at := path.Join(path.Dir(name), target)
				if _, ok := t.Texts[at]; !ok && !folders[at] {
					out = append(out, Fault{Where: fmt.Sprintf("%s:%d", name, i+1), What: name + " links to " + m[1],
						Why: "a link that leads nowhere costs every reader a search", Remedy: "link to what is there, or write it"})
				}
			}
		}
	}
	return out
}

// private are words about the workshop, not the product. They are put together here so that this file
// does not hold them.
var private = []*regexp.Regexp{
	regexp.MustCompile(`(^|[^A-Za-z0-9_.\-/])/wo` + `rk/`),
	regexp.MustCompile(`shared/des` + `ign`),
	regexp.MustCompile(`(?i)\biss` + `ues? #?\d`),
	regexp.MustCompile(`(^|[ (])#` + `\d{1,4}\b`),
	regexp.MustCompile(`\b(proxy|sum)\.gol` + `ang\.org`),
	regexp.MustCompile(`registry\.(npm` + `js\.org|yarn` + `pkg\.com)`),
	regexp.MustCompile(`\b(py` + `pi\.org|pythonhost` + `ed\.org)`),
	regexp.MustCompile(`\b(deb|security)\.deb` + `ian\.org`),
}

// prose are the endings of files that people write.
var prose = map[string]bool{".go": true, ".md": true, ".yaml": true, ".yml": true, ".mod": true, ".proto": true, ".sh": true, ".txt": true,
	".ts": true, ".tsx": true, ".toml": true, "": true}

func privateWords(t *Tree) []Fault {
	var out []Fault
	for _, name := range slices.Sorted(maps.Keys(t.Texts)) {
		if !prose[path.Ext(name)] || strings.Contains(name, "testdata/") {
			continue
		}
		for i, line := range strings.Split(t.Texts[name], "\n") {
			for _, word := range private {
				if m := word.FindString(line); m != "" {
					out = append(out, Fault{Where: fmt.Sprintf("%s:%d", name, i+1), What: name + " says " + strings.TrimSpace(m),
						Why:    "who clones the tree has neither our folders nor our tracker, and chooses the mirrors",
						Remedy: "say the fact itself instead of where we keep it"})
				}
			}
		}
	}
	return out
}
