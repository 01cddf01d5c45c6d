package rest

import (
	"context"
	"strconv"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/manager/catalog"
	"github.com/darter-p2p/darter/internal/rest"
)

// Revision is one version of a document.
type Revision struct {
	Version        int64         `json:"version"`
	Hash           string        `json:"hash"`
	InForce        bool          `json:"in_force"`
	Body           rest.Document `json:"body"`
	Author         Actor         `json:"author"`
	Reason         string        `json:"reason,omitempty"`
	Created        time.Time     `json:"created"`
	Activated      *time.Time    `json:"activated,omitempty" doc:"when it last came into force"`
	RolledBackFrom int64         `json:"rolled_back_from,omitempty" doc:"the version that it repeats"`
	Diff           []Difference  `json:"diff" doc:"against what was in force before it"`
}

// Actor is who did something.
type Actor struct {
	Kind    string `json:"kind"`
	ID      string `json:"id"`
	Name    string `json:"name,omitempty"`
	Method  string `json:"method,omitempty"`
	Token   string `json:"token,omitempty" doc:"id of the token"`
	Address string `json:"address,omitempty"`
}

// Difference is one place in which two versions differ.
type Difference struct {
	Path   string `json:"path" example:"rules/2/after"`
	Before string `json:"before,omitempty" doc:"JSON"`
	After  string `json:"after,omitempty" doc:"JSON"`
}

func differences(all []darter.Change) []Difference {
	out := make([]Difference, len(all))
	for i, c := range all {
		out[i] = Difference(c)
	}
	return out
}

func revision(d catalog.Document) Revision {
	out := Revision{Version: d.Number, Hash: d.Hash, InForce: d.InForce, Body: rest.Document(d.Body), Author: Actor(d.Author), Reason: d.Reason, Created: d.Created.UTC(),
		RolledBackFrom: d.RolledBackFrom, Diff: differences(d.Diff)}
	if !d.Activated.IsZero() {
		at := d.Activated.UTC()
		out.Activated = &at
	}
	return out
}

type revisionOut struct {
	ETag string `header:"ETag"`
	Body Revision
}

func revisionAnswer(d catalog.Document, err error) (*revisionOut, error) {
	if err != nil {
		return nil, err
	}
	return &revisionOut{ETag: rest.Quoted(d.ETag()), Body: revision(d)}, nil
}

// diffOut is how two versions differ.
type diffOut struct {
	Body struct {
		From int64        `json:"from" doc:"0: nothing"`
		To   int64        `json:"to"`
		Diff []Difference `json:"diff"`
	}
}

// Numbered names a version.
type Numbered struct {
	Version int64 `path:"version" minimum:"1"`
}

func (n Numbered) version() int64 { return n.Version }

// Compared names the version that another one is compared with.
type Compared struct {
	Against int64 `query:"against" minimum:"0" doc:"another version; default the one before"`
}

func (c Compared) against() int64 { return c.Against }

// Paged is a page of a document's history.
type Paged struct{ rest.Page }

func (p Paged) page() rest.Page { return p.Page }

// What the inputs of a document's history have in common.
type (
	lists interface {
		document() string
		page() rest.Page
	}
	reads interface {
		document() string
		version() int64
	}
	compares interface {
		reads
		against() int64
	}
)

// history adds what every versioned document has: its revisions, one of them, and how two differ.
func history[L lists, R reads, C compares](s *shelf, path, id, tag, class string, access rest.Access) {
	rest.Add(s.api, rest.Operation{Method: "GET", Path: path + "/revisions", ID: "list-" + id + "-revisions", Tag: tag, Summary: "List revisions, the newest first", Access: access},
		func(ctx context.Context, in *L) (*rest.Listed[Revision], error) {
			return rest.List(ctx, s.api, (*in).page(), func(after string, limit int) ([]Revision, error) {
				before, err := strconv.ParseInt("0"+after, 10, 64)
				if err != nil {
					return nil, err
				}
				all, err := s.Catalog.Versions(ctx, class, (*in).document(), before, limit)
				out := make([]Revision, len(all))
				for i, d := range all {
					out[i] = revision(d)
				}
				return out, err
			}, func(r Revision) string { return strconv.FormatInt(r.Version, 10) })
		})
	rest.Add(s.api, rest.Operation{Method: "GET", Path: path + "/revisions/{version}", ID: "get-" + id + "-revision", Tag: tag, Summary: "Get a revision", Access: access},
		func(ctx context.Context, in *R) (*revisionOut, error) {
			return revisionAnswer(s.Catalog.Version(ctx, class, (*in).document(), (*in).version()))
		})
	rest.Add(s.api, rest.Operation{Method: "GET", Path: path + "/revisions/{version}:diff", ID: "diff-" + id, Tag: tag, Summary: "Compare two revisions", Access: access},
		func(ctx context.Context, in *C) (*diffOut, error) {
			return s.diff(ctx, class, (*in).document(), (*in).version(), (*in).against())
		})
}

func (s *shelf) diff(ctx context.Context, class, name string, to, from int64) (*diffOut, error) {
	b, err := s.Catalog.Version(ctx, class, name, to)
	if err != nil {
		return nil, err
	}
	if from == 0 {
		from = to - 1
	}
	a := catalog.Document{Body: []byte("{}")}
	if from > 0 {
		if a, err = s.Catalog.Version(ctx, class, name, from); err != nil {
			return nil, err
		}
	}
	all, err := catalog.Diff(a.Body, b.Body)
	out := &diffOut{}
	out.Body.From, out.Body.To, out.Body.Diff = from, to, differences(all)
	return out, err
}
