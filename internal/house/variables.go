package house

import (
	"errors"
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"
)

// makers are functions whose result nothing can change afterwards.
var makers = map[string]bool{"errors.New": true, "fmt.Errorf": true, "regexp.MustCompile": true, "strings.NewReplacer": true,
	"hash/crc32.MakeTable": true, "hash/crc64.MakeTable": true, "text/template.Must": true, "html/template.Must": true,
	"reflect.TypeFor": true, "time.Date": true, "time.Unix": true, "unique.Make": true, "sync.OnceValue": true, "sync.OnceValues": true,
	"github.com/prometheus/client_golang/prometheus.NewDesc": true,
	"net/netip.MustParseAddr":                                true, "net/netip.MustParsePrefix": true, "net/netip.MustParseAddrPort": true, "net/netip.AddrFrom4": true}

const whyVariables = "what every package can change, every test can break; a second instance in the same process (darter up) shares it"

// variables allows tables, patterns and error values at package level, as long as nothing writes to them.
func variables(t *Tree) []Fault {
	var out []Fault
	rooms := t.rooms()
	for _, room := range slices.Sorted(maps.Keys(rooms)) {
		for _, f := range rooms[room] {
			out = append(out, declared(f)...)
		}
		out = append(out, written(t, rooms[room])...)
	}
	return out
}

func declared(f *File) []Fault {
	var out []Fault
	for _, d := range f.AST.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			for i, name := range v.Names {
				if name.Name == "_" || embedded(g, v) || i < len(v.Values) && f.constant(v.Values[i]) {
					continue
				}
				out = append(out, Fault{Where: f.at(name), What: title(f.Room) + "." + name.Name, Why: whyVariables,
					Remedy: "make it a constant or a table that nothing writes to, or a field of what New returns"})
			}
		}
	}
	return out
}

func embedded(g *ast.GenDecl, v *ast.ValueSpec) bool {
	for _, doc := range []*ast.CommentGroup{g.Doc, v.Doc} {
		if doc == nil {
			continue
		}
		for _, c := range doc.List {
			if strings.HasPrefix(c.Text, "//go:embed") {
				return true
			}
		}
	}
	return false
}

// constant reports whether an initial value is of the kinds that are fine at package level.
func (f *File) constant(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit, *ast.Ident, *ast.FuncLit:
		return true
	case *ast.CompositeLit: // a pool forgets what it likes, so nobody can see its state; locks and counters are state
		pkg, _, _ := strings.Cut(f.used(e.Type), ".")
		return pkg != "sync" && pkg != "sync/atomic" || f.used(e.Type) == "sync.Pool"
	case *ast.SelectorExpr:
		return f.used(e) != ""
	case *ast.ParenExpr:
		return f.constant(e.X)
	case *ast.BinaryExpr:
		return f.constant(e.X) && f.constant(e.Y)
	case *ast.UnaryExpr:
		lit, ok := e.X.(*ast.CompositeLit)
		if e.Op == token.AND {
			return ok && strings.HasSuffix(typeName(lit.Type), "Error")
		}
		return f.constant(e.X)
	case *ast.CallExpr:
		switch fun := e.Fun.(type) {
		case *ast.ArrayType: // []byte("…")
			return true
		case *ast.Ident:
			return strings.HasPrefix(fun.Name, "must")
		default:
			return makers[f.used(fun)]
		}
	}
	return false
}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// written finds what changes a package variable of the room. Names are resolved by the type checker
// without looking at other packages: what it cannot know there does not matter here.
func written(t *Tree, files []*File) []Fault {
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object)}
	conf := types.Config{Error: func(error) {}, Importer: nowhere{}, FakeImportC: true}
	asts := make([]*ast.File, 0, len(files))
	for _, f := range files {
		asts = append(asts, f.AST)
	}
	pkg, _ := conf.Check(files[0].Room, t.fset, asts, info) // with errors: imports are missing on purpose
	if pkg == nil {
		return nil
	}
	var out []Fault
	for _, f := range files {
		ast.Inspect(f.AST, func(n ast.Node) bool {
			for _, e := range targets(n) {
				id := root(e)
				if id == nil {
					continue
				}
				if v, ok := info.Uses[id].(*types.Var); ok && v.Parent() == pkg.Scope() {
					out = append(out, Fault{Where: f.at(n), What: title(f.Room) + "." + id.Name + " is written to", Why: whyVariables,
						Remedy: "keep what changes in a struct that New returns; a test that wants another value passes it in"})
				}
			}
			return true
		})
	}
	return out
}

// nowhere imports nothing.
type nowhere struct{}

func (nowhere) Import(string) (*types.Package, error) { return nil, errors.New("not looked at") }

// targets returns what a statement or call writes to.
func targets(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			return n.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.RangeStmt:
		if n.Tok == token.ASSIGN {
			return []ast.Expr{n.Key, n.Value}
		}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			return []ast.Expr{n.X}
		}
	case *ast.CallExpr:
		if id, ok := n.Fun.(*ast.Ident); ok && len(n.Args) > 0 && (id.Name == "delete" || id.Name == "clear" || id.Name == "copy") {
			return n.Args[:1]
		}
	}
	return nil
}

// root returns the variable at the bottom of x[i].f.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		default:
			return nil
		}
	}
}
