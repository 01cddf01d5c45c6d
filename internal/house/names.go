package house

import (
	"go/ast"
	"go/token"
	"path"
	"strings"
)

// bannedPackages say nothing about what is inside.
var bannedPackages = map[string]bool{"util": true, "utils": true, "common": true, "helper": true, "helpers": true, "types": true,
	"models": true, "base": true, "shared": true, "misc": true, "core": true, "lib": true, "pkg": true}

// bannedFiles name a layer or a kind of declaration, not a thing. The role manager may be a file's subject.
var bannedFiles = map[string]bool{"service.go": true, "impl.go": true, "interface.go": true, "interfaces.go": true, "constants.go": true,
	"consts.go": true, "handlers.go": true, "manager.go": true, "utils.go": true, "util.go": true, "helpers.go": true, "common.go": true, "types.go": true}

// bannedEndings make a type's name longer and not clearer.
var bannedEndings = []string{"Impl", "Info", "Data", "Manager", "Helper", "Util"}

func names(t *Tree) []Fault {
	var out []Fault
	seen := make(map[string]bool)
	for _, f := range t.Files {
		name := strings.TrimSuffix(f.AST.Name.Name, "_test")
		if folder := path.Base(f.Room); !seen[f.Room+" "+name] {
			seen[f.Room+" "+name] = true
			out = append(out, packageName(f, name, folder)...)
		}
		role := f.Name == "manager.go" && (f.Room == "internal/manager" || path.Base(f.Room) == "rpc" || strings.HasPrefix(f.Room, "cmd/"))
		if bannedFiles[f.Name] && !role {
			out = append(out, Fault{Where: f.Path, What: f.Path + " is named after a layer",
				Why:    "a file's name should say which noun or verb is inside",
				Remedy: "split it by what is inside: lease.go, ingest.go, evict.go"})
		}
		if !f.Test {
			out = append(out, typeNames(f)...)
		}
	}
	return out
}

func packageName(f *File, name, folder string) []Fault {
	var out []Fault
	if bannedPackages[name] || bannedPackages[folder] || strings.HasSuffix(name, "util") || strings.HasSuffix(name, "utils") {
		out = append(out, Fault{Where: f.Path, What: "package " + name + " in " + title(f.Room) + " has a banned name",
			Why:    "a package that is called so collects everything that nobody found a place for",
			Remedy: "name it after the one thing or agent inside, in the singular; if there are several, split it"})
	}
	if f.Room != "" && name != "main" && name != folder {
		out = append(out, Fault{Where: f.Path, What: "package " + name + " lies in folder " + title(f.Room),
			Why: "two names for one room", Remedy: "name the folder and the package the same"})
	}
	return out
}

func typeNames(f *File) []Fault {
	var out []Fault
	for _, d := range f.AST.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.TYPE {
			continue
		}
		for _, s := range g.Specs {
			name := s.(*ast.TypeSpec).Name.Name
			for _, end := range bannedEndings {
				if strings.HasSuffix(name, end) && name != end {
					out = append(out, Fault{Where: f.at(s), What: title(f.Room) + "." + name + " ends in " + end,
						Why:    "the ending says nothing: everything is data and information, and something manages it",
						Remedy: "say what it is: a thing that keeps hosts is a Roster, one that frees disk a Collector"})
				}
			}
		}
	}
	return out
}

// documented asks for a comment on exported types, functions, constants and variables. Methods often
// implement an interface that has the comment.
func documented(f *File) []Fault {
	if f.Test || f.AST.Name.Name == "main" {
		return nil
	}
	var out []Fault
	report := func(n ast.Node, name string) {
		out = append(out, Fault{Where: f.at(n), What: title(f.Room) + "." + name + " has no comment",
			Why:    "an exported name is a promise to other rooms, and the promise is in the comment",
			Remedy: "say why it is there and what may be relied upon, starting with its name"})
	}
	for _, d := range f.AST.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.IsExported() && d.Doc == nil {
				report(d, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if name := undocumented(d, s); name != "" {
					report(s, name)
				}
			}
		}
	}
	return out
}

func undocumented(g *ast.GenDecl, s ast.Spec) string {
	switch s := s.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc == nil && s.Comment == nil && g.Doc == nil {
			return s.Name.Name
		}
	case *ast.ValueSpec:
		if s.Names[0].IsExported() && s.Doc == nil && s.Comment == nil && g.Doc == nil {
			return s.Names[0].Name
		}
	}
	return ""
}
