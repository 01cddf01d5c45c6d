package house

import (
	"path"
	"strings"
)

// layer is a row of the import table.
type layer string

const (
	nouns     layer = "the nouns"
	core      layer = "a pure core"
	shelf     layer = "a shelf"
	mechanism layer = "a mechanism"
	part      layer = "a part of a role"
	role      layer = "a role"
	wiring    layer = "wiring"
	rig       layer = "the rig"
	unknown   layer = "unknown"
)

// layout says where each room stands. Longer names win; a name covers what lies below it.
var layout = map[string]layer{
	"":                              nouns,
	"internal/gc":                   core,
	"internal/liveness":             core,
	"internal/scheduler/swarm":      core,
	"internal/scheduler/rank":       core,
	"internal/daemon/fetch/pick":    core,
	"internal/manager/jobs/machine": core,
	"internal/manager/affinity":     core,
	"internal/retry":                shelf,
	"internal/throttle":             shelf,
	"internal/httprange":            shelf,
	"internal/atomicfile":           shelf,
	"internal/invariant":            shelf,
	"internal/identity":             shelf,
	"internal/ring":                 shelf,
	"internal/inventory":            shelf,
	"internal/unixsocket":           shelf,
	"internal/target":               shelf,
	"internal/schedule":             shelf,
	"internal/egress":               shelf,
	"internal/privatefile":          shelf,
	"internal/store":                mechanism,
	"internal/vortex":               mechanism,
	"internal/source":               mechanism,
	"internal/database":             mechanism,
	"internal/secretbox":            mechanism,
	"internal/pki":                  mechanism,
	"internal/rest":                 mechanism,
	"api/wire":                      mechanism,
	"internal/gc/collector":         part,
	"internal/cli":                  part,
	"internal/manager":              role,
	"internal/scheduler":            role,
	"internal/daemon":               role,
	"internal/config":               wiring,
	"internal/telemetry":            wiring,
	"cmd":                           wiring,
	"internal/sim":                  rig,
	"internal/house":                rig,
	"test":                          rig,
	"bench":                         rig,
}

// place returns a room's layer and the entry of layout that covers it.
func place(room string) (layer, string) {
	if strings.HasSuffix(path.Base(room), "test") {
		return rig, room
	}
	for at := room; ; at = path.Dir(at) {
		if at == "." {
			break
		}
		l, known := layout[at]
		if known && l == role && at != room { // one folder below a role
			rest := strings.TrimPrefix(room, at+"/")
			first, _, _ := strings.Cut(rest, "/")
			return part, at + "/" + first
		}
		if known {
			return l, at
		}
		if at == "" {
			break
		}
	}
	return unknown, room
}

// reach says which layers a layer may import besides itself.
var reach = map[layer][]layer{
	nouns:     {},
	core:      {nouns},
	shelf:     {nouns},
	mechanism: {nouns, shelf},
	part:      {nouns, core, shelf, mechanism},
	role:      {nouns, core, shelf, mechanism},
	wiring:    {nouns, core, shelf, mechanism, part, role, wiring},
}

func imports(t *Tree) []Fault {
	var out []Fault
	for _, f := range t.Files {
		from, _ := place(f.Room)
		if from == unknown {
			out = append(out, Fault{Where: f.Path, What: f.Room + " is not in the import table",
				Why:    "a room without a layer may import anything, and soon everything imports everything",
				Remedy: "give it a line in internal/house/imports.go and in ARCHITECTURE.md, or move it into a room that has one"})
			continue
		}
		if f.Test || from == rig {
			continue
		}
		for _, spec := range f.AST.Imports {
			target, ours := strings.CutPrefix(importPath(spec), Module)
			target = strings.TrimPrefix(target, "/")
			if !ours || mayImport(f.Room, target) {
				continue
			}
			to, _ := place(target)
			out = append(out, Fault{Where: f.at(spec), What: title(f.Room) + " imports " + title(target),
				Why:    "a room that is " + string(from) + " does not know one that is " + string(to) + " (ARCHITECTURE.md, what may import what)",
				Remedy: remedy(from, to)})
		}
	}
	return out
}

func mayImport(room, target string) bool {
	from, fromArea := place(room)
	to, toArea := place(target)
	switch {
	case strings.HasPrefix(target, "api/gen"):
		return true // rule "api types"
	case to == rig:
		return false // code never needs the rig, tests are not asked
	case fromArea == toArea:
		return true
	case from == core:
		return to == nouns || to == core || target == "internal/invariant"
	case from == role && to == part:
		return strings.HasPrefix(target, room+"/") || target == "internal/gc/collector"
	}
	for _, l := range reach[from] {
		if l == to {
			return true
		}
	}
	return false
}

func remedy(from, to layer) string {
	switch {
	case to == rig:
		return "move what is needed out of the rig, or the import into a test"
	case from == part && to == part:
		return "state what you need as an interface of one to four methods in your own room; the role passes the other part in"
	case from == role && to == role:
		return "roles meet only over the API, also inside one process: call it through a client"
	case from == core || from == nouns:
		return "take the value as an argument: a core is told, it does not ask"
	}
	return "take the value as an argument or a Config field, and let the layer above do the import"
}

func title(room string) string {
	if room == "" {
		return "darter"
	}
	return room
}

// apiTypes keeps generated messages at the border.
func apiTypes(f *File) []Fault {
	where, _ := place(f.Room)
	if f.Test || where == rig || f.Room == "api/wire" || path.Base(f.Room) == "rpc" {
		return nil
	}
	var out []Fault
	for _, spec := range f.AST.Imports {
		target := importPath(spec)
		switch {
		case strings.HasPrefix(target, "d7y.io/api"), strings.HasPrefix(target, Module+"/api/gen"):
			out = append(out, Fault{Where: f.at(spec), What: title(f.Room) + " imports " + target,
				Why:    "a second place that reads messages is a second meaning of them",
				Remedy: "translate in api/wire and take nouns; only folders named rpc and api/wire import generated types"})
		case (target == "google.golang.org/grpc/codes" || target == "google.golang.org/grpc/status") && path.Base(f.Room) != "rest":
			out = append(out, Fault{Where: f.at(spec), What: title(f.Room) + " imports " + target,
				Why:    "only rest and rpc know status codes; everybody else has darter.Kind",
				Remedy: "return a darter.Error, and call wire.Status at the border"})
		}
	}
	return out
}

// forbidden are imports that nothing in the tree needs, with what to take instead.
var forbidden = map[string]string{
	"io/ioutil":                         "take os and io",
	"github.com/pkg/errors":             "take fmt.Errorf with %w",
	"github.com/golang/mock/gomock":     "test with the real thing in memory",
	"go.uber.org/mock/gomock":           "test with the real thing in memory",
	"github.com/stretchr/testify/mock":  "test with the real thing in memory",
	"github.com/stretchr/testify/suite": "write plain test functions",
	"github.com/vektra/mockery":         "test with the real thing in memory",
}

func forbiddenImports(f *File) []Fault {
	where, _ := place(f.Room)
	var out []Fault
	for _, spec := range f.AST.Imports {
		target := importPath(spec)
		if instead, bad := forbidden[target]; bad {
			out = append(out, Fault{Where: f.at(spec), What: title(f.Room) + " imports " + target,
				Why: "it makes tests of who is called, or code of yesterday", Remedy: instead})
		}
		quiet := where == shelf || where == mechanism || where == part
		if target == "log/slog" && quiet && !f.Test {
			out = append(out, Fault{Where: f.at(spec), What: title(f.Room) + " imports log/slog",
				Why:    "rooms do not log: one thing that happens is one event, and one log line and one metric are made of it in one place",
				Remedy: "add a field to the room's Events and call it; the role turns it into a line"})
		}
	}
	return out
}
