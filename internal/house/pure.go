package house

import (
	"go/ast"
	"strings"
)

// impure are the standard packages that nouns and cores may not import, with what lies below them.
var impure = map[string]bool{"os": true, "net": true, "context": true, "sync": true, "log": true, "syscall": true,
	"crypto/rand": true, "testing": true, "runtime": true, "unsafe": true, "embed": true, "flag": true}

// clocks are the functions of time that know what time it is.
var clocks = map[string]bool{"time.Now": true, "time.Since": true, "time.Until": true, "time.Sleep": true, "time.After": true,
	"time.AfterFunc": true, "time.Tick": true, "time.NewTimer": true, "time.NewTicker": true}

// seeded are the functions of math/rand that take a seed; the others draw from the process.
var seeded = map[string]bool{"New": true, "NewSource": true, "NewPCG": true, "NewChaCha8": true, "NewZipf": true,
	"Rand": true, "Source": true, "PCG": true, "ChaCha8": true, "Zipf": true}

func pureCores(f *File) []Fault {
	l, _ := place(f.Room)
	if f.Test || l != core && l != nouns {
		return nil
	}
	const why = "a core that knows no clock, network, disk, lock or goroutine gives the same answer to the same story, in a test and at three in the morning"
	var out []Fault
	for _, spec := range f.AST.Imports {
		target := importPath(spec)
		if target == "net/netip" {
			continue
		}
		top, _, _ := strings.Cut(target, "/")
		external := strings.Contains(top, ".") && !strings.HasPrefix(target, Module)
		if impure[top] || impure[target] || external {
			out = append(out, Fault{Where: f.at(spec), What: title(f.Room) + " imports " + target, Why: why,
				Remedy: "take the value as an argument or return an effect; the shell around the core acts"})
		}
	}
	ast.Inspect(f.AST, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			out = append(out, Fault{Where: f.at(n), What: title(f.Room) + " starts a goroutine", Why: why,
				Remedy: "return an effect; the shell around the core runs it"})
		case *ast.SelectorExpr:
			name := f.used(n)
			if clocks[name] {
				out = append(out, Fault{Where: f.at(n), What: title(f.Room) + " uses " + name, Why: why,
					Remedy: "take now time.Time as an argument"})
			}
			if pkg, fn, _ := strings.Cut(strings.TrimPrefix(name, "math/rand/v2"), "."); name != "" &&
				(pkg == "" || pkg == "math/rand") && !seeded[fn] && strings.HasPrefix(name, "math/rand") {
				out = append(out, Fault{Where: f.at(n), What: title(f.Room) + " uses " + name, Why: why,
					Remedy: "take a *rand.Rand made from a seed"})
			}
		}
		return true
	})
	return out
}
