package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Module is the import path of the tree's root.
const Module = "github.com/darter-p2p/darter"

// Tree is the module as text: every file by its path, and the Go files parsed.
type Tree struct {
	Texts map[string]string // path from the module's root, with slashes, to content
	Files []*File           // Go files, ordered by path, without generated ones
	fset  *token.FileSet
}

// File is one Go file.
type File struct {
	Path string // internal/store/disk/disk.go
	Room string // folder: internal/store/disk; "" is the root
	Name string // disk.go
	Test bool   // _test.go
	AST  *ast.File

	fset    *token.FileSet
	imports map[string]string // local name to import path
}

// skipped are folders that hold nothing of ours.
var skipped = map[string]bool{".git": true, "bin": true, "dist": true, "node_modules": true, ".cache": true}

// maxText is the largest file that is looked into; larger ones are data.
const maxText = 2 << 20

// Load reads the module whose root is dir. Folders with a go.mod of their own are read as text only.
func Load(dir string) (*Tree, error) {
	sources := make(map[string]string)
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if skipped[d.Name()] {
				return fs.SkipDir
			}
			return nil
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Size() > maxText {
			return err
		}
		text, err := os.ReadFile(name)
		sources[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the module at %s: %w", dir, err)
	}
	return Parse(sources)
}

// Parse makes a tree of file contents by path.
func Parse(sources map[string]string) (*Tree, error) {
	t := &Tree{Texts: sources, fset: token.NewFileSet()}
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		if !strings.HasSuffix(name, ".go") || strings.Contains(name, "testdata/") || t.foreign(name) {
			continue
		}
		f, err := parser.ParseFile(t.fset, name, sources[name], parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", name, err)
		}
		if ast.IsGenerated(f) {
			continue
		}
		t.Files = append(t.Files, newFile(t.fset, name, f))
	}
	return t, nil
}

// foreign reports whether a file belongs to another module inside the tree.
func (t *Tree) foreign(name string) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, ok := t.Texts[dir+"/go.mod"]; ok {
			return true
		}
	}
	return false
}

func newFile(fset *token.FileSet, name string, f *ast.File) *File {
	room := path.Dir(name)
	if room == "." {
		room = ""
	}
	file := &File{Path: name, Room: room, Name: path.Base(name), Test: strings.HasSuffix(name, "_test.go"),
		AST: f, fset: fset, imports: make(map[string]string)}
	for _, spec := range f.Imports {
		target := importPath(spec)
		local := path.Base(target)
		if v := strings.TrimPrefix(local, "v"); v != local && strings.Trim(v, "0123456789") == "" {
			local = path.Base(path.Dir(target)) // …/v2
		}
		if spec.Name != nil {
			local = spec.Name.Name
		}
		file.imports[local] = target
	}
	return file
}

func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return p
}

// at returns "path:line" of a node.
func (f *File) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", f.Path, f.fset.Position(n.Pos()).Line)
}

// lines returns how many lines a node spans.
func (f *File) lines(n ast.Node) int {
	return f.fset.Position(n.End()).Line - f.fset.Position(n.Pos()).Line + 1
}

// used returns "import/path.Name" when e is a name of an imported package, else "".
func (f *File) used(e ast.Expr) string {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	x, ok := sel.X.(*ast.Ident)
	if !ok || f.imports[x.Name] == "" {
		return ""
	}
	return f.imports[x.Name] + "." + sel.Sel.Name
}

// rooms returns the code files of each room; tests are left out.
func (t *Tree) rooms() map[string][]*File {
	out := make(map[string][]*File)
	for _, f := range t.Files {
		if !f.Test {
			out[f.Room] = append(out[f.Room], f)
		}
	}
	return out
}
