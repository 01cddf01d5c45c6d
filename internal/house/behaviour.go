package house

import (
	"go/ast"
	"strings"
)

func goroutines(f *File) []Fault {
	if f.Test || f.Name == "run.go" {
		return nil
	}
	var out []Fault
	ast.Inspect(f.AST, func(n ast.Node) bool {
		if g, ok := n.(*ast.GoStmt); ok {
			out = append(out, Fault{Where: f.at(g), What: f.Path + " starts a goroutine",
				Why:    "whoever writes go must know when it ends; in one file per room that can be reviewed",
				Remedy: "move the statement and what waits for its end into run.go of this room"})
		}
		return true
	})
	return out
}

func background(f *File) []Fault {
	if l, _ := place(f.Room); f.Test || l == rig || strings.HasPrefix(f.Room, "cmd/") {
		return nil
	}
	var out []Fault
	ast.Inspect(f.AST, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if name := f.used(sel); name == "context.Background" || name == "context.TODO" {
			out = append(out, Fault{Where: f.at(sel), What: f.Path + " uses " + name,
				Why:    "work under a context of its own outlives whoever asked for it",
				Remedy: "take ctx as the first argument; for work that must outlive a request, the context of Run or context.WithoutCancel"})
		}
		return true
	})
	return out
}

func inits(f *File) []Fault {
	var out []Fault
	for _, d := range f.AST.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			out = append(out, Fault{Where: f.at(fn), What: f.Path + " has an init function",
				Why:    "registration by import makes the program depend on what happens to be linked",
				Remedy: "call it by name from the constructor or from wiring"})
		}
	}
	return out
}

// sleeps allows time.Sleep where time is virtual: inside synctest.Test, and in the helpers of a test
// package that has bubbles.
func sleeps(t *Tree) []Fault {
	bubbles := make(map[string]bool)
	for _, f := range t.Files {
		for _, target := range f.imports {
			if target == "testing/synctest" {
				bubbles[f.Room] = true
			}
		}
	}
	var out []Fault
	for _, f := range t.Files {
		for _, d := range f.AST.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if ok && f.Test && bubbles[f.Room] && !strings.HasPrefix(fn.Name.Name, "Test") {
				continue
			}
			out = append(out, f.sleeping(d)...)
		}
	}
	return out
}

func (f *File) sleeping(d ast.Decl) []Fault {
	var out []Fault
	ast.Inspect(d, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && f.used(call.Fun) == "testing/synctest.Test" {
			return false
		}
		if sel, ok := n.(*ast.SelectorExpr); ok && f.used(sel) == "time.Sleep" {
			out = append(out, Fault{Where: f.at(sel), What: f.Path + " sleeps",
				Why:    "a sleep is too short on a slow machine and too long on a fast one",
				Remedy: "wait for what should happen (a channel, a context, a timer with both); in tests, inside synctest.Test"})
		}
		return true
	})
	return out
}

func panics(f *File) []Fault {
	if l, _ := place(f.Room); f.Test || l == rig || f.Room == "internal/invariant" {
		return nil
	}
	var out []Fault
	for _, d := range f.AST.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if ok && strings.HasPrefix(strings.ToLower(fn.Name.Name), "must") {
			continue
		}
		ast.Inspect(d, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if id, ok := call.Fun.(*ast.Ident); ok && id.Name == "panic" {
				out = append(out, Fault{Where: f.at(call), What: f.Path + " panics",
					Why:    "a daemon that dies of one bad download takes all the others with it",
					Remedy: "return an error; for what can never be, call invariant.Check and take the safe path"})
			}
			return true
		})
	}
	return out
}

// defaultLogger refuses what writes to the process's logger; log.New stays, since net/http wants one.
func defaultLogger(f *File) []Fault {
	if f.Test {
		return nil
	}
	var out []Fault
	ast.Inspect(f.AST, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		name := f.used(sel)
		old := strings.HasPrefix(name, "log.") && name != "log.New" && name != "log.Logger"
		process := name == "log/slog.SetDefault" || name == "log/slog.Default" || name == "log/slog.Info" || name == "log/slog.Warn" ||
			name == "log/slog.Error" || name == "log/slog.Debug"
		if old || process {
			out = append(out, Fault{Where: f.at(sel), What: f.Path + " uses " + name,
				Why:    "the process's logger belongs to whoever runs the process, and two roles share it",
				Remedy: "report through Events; a role takes a *slog.Logger in its Config"})
		}
		return true
	})
	return out
}
