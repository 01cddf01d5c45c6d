package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/darter-p2p/darter/internal/manager/catalog"
	"github.com/darter-p2p/darter/internal/rest"
)

// ApplicationSpec is what is said of an application.
type ApplicationSpec struct {
	Name     string        `json:"name" minLength:"1" maxLength:"100"`
	URL      string        `json:"url,omitempty" maxLength:"2000"`
	Bio      string        `json:"bio,omitempty" maxLength:"1000"`
	Priority rest.Document `json:"priority,omitempty" doc:"as Dragonfly's daemons read it"`
}

// Application is a tenant of the cluster.
type Application struct {
	ID       string `json:"id"`
	CompatID int64  `json:"compat_id" doc:"its number for Dragonfly's tools"`
	ApplicationSpec
	Owner   string    `json:"owner" doc:"id of the user who made it"`
	Version int64     `json:"version"`
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

func application(a catalog.Application) Application {
	return Application{ID: a.ID, CompatID: a.CompatID, Owner: a.Owner, Version: a.Version, Created: a.Created.UTC(), Updated: a.Updated.UTC(),
		ApplicationSpec: ApplicationSpec{Name: a.Name, URL: a.URL, Bio: a.Bio, Priority: rest.Document(a.Priority)}}
}

func (s ApplicationSpec) fill(id, owner string) catalog.Application {
	return catalog.Application{ID: id, Owner: owner, Name: s.Name, URL: s.URL, Bio: s.Bio, Priority: json.RawMessage(s.Priority)}
}

type applicationOut struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag"`
	Body     Application
}

func applicationAnswer(a catalog.Application, err error) (*applicationOut, error) {
	if err != nil {
		return nil, err
	}
	return &applicationOut{Location: "/v1/applications/" + a.ID, ETag: rest.Quoted(a.ETag()), Body: application(a)}, nil
}

// ApplicationID is the path of one application. Inputs that are embedded are exported: huma passes over others.
type ApplicationID struct {
	ID string `path:"id" maxLength:"64"`
}

func (s *shelf) applications() {
	const path, one = "/v1/applications", "/v1/applications/{id}"
	op := func(method, path, id, summary, permission string) rest.Operation {
		return rest.Operation{Method: method, Path: path, ID: id, Tag: "applications", Summary: summary, Access: rest.Need(permission)}
	}
	rest.Add(s.api, op("GET", path, "list-applications", "List applications", "application.read"), func(ctx context.Context, in *rest.Page) (*rest.Listed[Application], error) {
		return rest.List(ctx, s.api, *in, func(after string, limit int) ([]Application, error) {
			all, err := s.Catalog.Applications(ctx, after, limit)
			out := make([]Application, len(all))
			for i, a := range all {
				out[i] = application(a)
			}
			return out, err
		}, func(a Application) string { return a.ID })
	})
	create := op("POST", path, "create-application", "Create an application", "application.write")
	create.Status = http.StatusCreated
	rest.Add(s.api, create, func(ctx context.Context, in *struct {
		Because
		Body ApplicationSpec
	}) (*applicationOut, error) {
		c := s.api.Caller(ctx)
		return applicationAnswer(s.Catalog.SaveApplication(ctx, in.Body.fill("", c.Actor.ID), catalog.Edit{Actor: c.Actor, Request: c.Request, Reason: in.Reason}))
	})
	rest.Add(s.api, op("GET", one, "get-application", "Get an application, by its id or its name", "application.read"), func(ctx context.Context, in *ApplicationID) (*applicationOut, error) {
		return applicationAnswer(s.Catalog.Application(ctx, in.ID))
	})
	rest.Add(s.api, op("PUT", one, "put-application", "Replace what is said of an application", "application.write"), func(ctx context.Context, in *struct {
		ApplicationID
		Change
		Body ApplicationSpec
	}) (*applicationOut, error) {
		return s.saveApplication(ctx, in.ID, in.Change, func(catalog.Application) (ApplicationSpec, error) { return in.Body, nil })
	})
	rest.Add(s.api, op("PATCH", one, "patch-application", "Change what is said of an application", "application.write"), func(ctx context.Context, in *struct {
		ApplicationID
		Change
		Body rest.Document `contentType:"application/merge-patch+json"`
	}) (*applicationOut, error) {
		return s.saveApplication(ctx, in.ID, in.Change, func(old catalog.Application) (spec ApplicationSpec, err error) {
			return spec, patch(application(old).ApplicationSpec, in.Body, &spec)
		})
	})
	rest.Add(s.api, op("DELETE", one, "delete-application", "Delete an application", "application.write"), func(ctx context.Context, in *struct {
		ApplicationID
		Change
	}) (*none, error) {
		e, err := s.edit(ctx, in.Change)
		if err != nil {
			return nil, err
		}
		return nil, s.Catalog.DeleteApplication(ctx, in.ID, e)
	})
}

// saveApplication replaces an application by what change makes of it.
func (s *shelf) saveApplication(ctx context.Context, id string, c Change, change func(catalog.Application) (ApplicationSpec, error)) (*applicationOut, error) {
	e, err := s.edit(ctx, c)
	if err != nil {
		return nil, err
	}
	old, err := s.Catalog.Application(ctx, id)
	if err != nil {
		return nil, err
	}
	spec, err := change(old)
	if err != nil {
		return nil, err
	}
	if e.IfMatch == "*" {
		e.IfMatch = old.ETag()
	}
	return applicationAnswer(s.Catalog.SaveApplication(ctx, spec.fill(old.ID, old.Owner), e))
}
