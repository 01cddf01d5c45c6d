package rest

import (
	"context"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Operation describes what Add adds.
type Operation struct {
	Method  string
	Path    string // /v1/jobs/{id}:cancel; a verb follows the last segment
	ID      string // of the operation, unique: cancel-job
	Tag     string // the group of operations in the document
	Summary string // half a line
	Doc     string // what a caller has to know, in Markdown
	Access  Access
	Status  int      // of success; default 200, or 204 when there is no body
	Secret  []string // members of the answer that are shown once: a repeated request does not find them

	Unrepeatable bool // takes no Idempotency-Key: signing in, or what changes nothing
	NoDryRun     bool // takes no dry_run: its effect is not in the database, or it has none
}

func (o *Operation) changes() bool { return o.Method != http.MethodGet && o.Method != http.MethodHead }
func (o *Operation) repeatable() bool {
	return o.Method == http.MethodPost && !o.Unrepeatable
}
func (o *Operation) dry() bool { return o.changes() && !o.NoDryRun }

// Add adds an operation. Input and output are structs as huma reads them: fields tagged path, query or header, and
// Body. An error of handle becomes a problem. Mistakes in the declaration come out of Finish, at the start of the process.
func Add[I, O any](a *API, op Operation, handle func(ctx context.Context, in *I) (*O, error)) {
	a.faults = append(a.faults, checkInput(reflect.TypeFor[I]()))
	huma.Register(a.huma, a.declare(op), func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, a.problem(ctx, err)
		}
		return out, nil
	})
}

// declare leaves the operation's rules for HandleFunc and returns what huma wants to know.
func (a *API) declare(op Operation) huma.Operation {
	pattern := op.Method + " " + op.Path
	a.access[pattern], a.ops[pattern] = op.Access, &op
	most := op.Access.Body
	if most == 0 {
		most = defaultBody
	}
	out := huma.Operation{Method: op.Method, Path: op.Path, OperationID: op.ID, Summary: op.Summary, Description: op.Doc, DefaultStatus: op.Status,
		MaxBodyBytes: most, Tags: []string{op.Tag}, Responses: a.refusals(), Extensions: map[string]any{"x-access": op.Access.String()}}
	if op.Access.Public == "" {
		out.Security = []map[string][]string{{"token": {}}, {"session": {}}}
	} else {
		out.Security = []map[string][]string{}
	}
	if op.repeatable() {
		out.Parameters = append(out.Parameters, &huma.Param{Name: idempotencyKey, In: "header", Schema: &huma.Schema{Type: huma.TypeString, MinLength: new(1), MaxLength: new(maxKey)},
			Description: "Names this request. Sent again with the same key within a day, it changes nothing and is answered as the first time, with `" + replayed + ": true`."})
	}
	if op.dry() {
		out.Parameters = append(out.Parameters, &huma.Param{Name: dryRun, In: "query", Schema: &huma.Schema{Type: huma.TypeBoolean},
			Description: "Say what would come of it, and leave everything as it is."})
	}
	return out
}

// refusals documents problems for every operation.
func (a *API) refusals() map[string]*huma.Response {
	schema := a.problemSchema()
	content := map[string]*huma.MediaType{problemJSON: {Schema: schema}}
	return map[string]*huma.Response{
		"4XX": {Description: "Refused: the problem says why, in `code`.", Content: content},
		"5XX": {Description: "Failed: nothing was changed, unless the problem says so.", Content: content},
	}
}

// String says who may, in the words of the document.
func (a Access) String() string {
	switch {
	case a.Public != "":
		return "everybody"
	case a.SignedIn:
		return "every user and service account"
	case len(a.Nodes) > 0:
		return "nodes: " + strings.Join(a.Nodes, ", ")
	case a.Cluster != "":
		return a.Permission + " in {" + a.Cluster + "}"
	case a.Somewhere:
		return a.Permission + " somewhere"
	case a.Permission != "":
		return a.Permission
	}
	return "nobody"
}

const defaultBody = 1 << 20

func pathOf(pattern string) string {
	_, path, found := strings.Cut(pattern, " ")
	if !found {
		return pattern
	}
	return path
}
