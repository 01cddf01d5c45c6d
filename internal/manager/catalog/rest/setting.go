package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/manager/catalog"
	"github.com/darter-p2p/darter/internal/rest"
)

// unset is the ETag of a setting that nobody has written: its defaults hold.
const unset = "0"

// Setting is a document that says how the manager behaves.
type Setting struct {
	Name    string        `json:"name"`
	Version int64         `json:"version" doc:"0: nobody has written it, and its defaults hold"`
	Body    rest.Document `json:"body"`
	Author  *Actor        `json:"author,omitempty"`
	Reason  string        `json:"reason,omitempty"`
}

type settingOut struct {
	ETag string `header:"ETag"`
	Body Setting
}

func settingAnswer(d catalog.Document, err error) (*settingOut, error) {
	if err != nil {
		return nil, err
	}
	out := &settingOut{ETag: rest.Quoted(unset), Body: Setting{Name: d.Name, Version: d.Number, Body: rest.Document(d.Body), Reason: d.Reason}}
	if d.Number > 0 {
		author := Actor(d.Author)
		out.ETag, out.Body.Author = rest.Quoted(d.ETag()), &author
	}
	return out, nil
}

// SettingID is the path of one setting.
type SettingID struct {
	Name string `path:"name" maxLength:"64"`
}

func (s SettingID) document() string { return s.Name }

type settingRevisions struct {
	SettingID
	Paged
}

type settingRevision struct {
	SettingID
	Numbered
}

type settingDiff struct {
	SettingID
	Numbered
	Compared
}

// Drafted asks for a version that is not in force yet.
type Drafted struct {
	Draft bool `query:"draft" doc:"keep it as a draft, to be published later"`
}

func (s *shelf) settings() {
	const one = "/v1/settings/{name}"
	read, write := rest.Need("setting.read"), rest.Need("setting.write")
	op := func(method, path, id, summary string, access rest.Access) rest.Operation {
		return rest.Operation{Method: method, Path: path, ID: id, Tag: "settings", Summary: summary, Access: access}
	}
	rest.Add(s.api, op("GET", "/v1/settings", "list-settings", "List settings", read), func(ctx context.Context, _ *none) (*rest.Listed[Setting], error) {
		out := &rest.Listed[Setting]{Body: rest.Items[Setting]{Items: []Setting{}}}
		for _, name := range s.Catalog.Settings() {
			one, err := settingAnswer(s.setting(ctx, name))
			if err != nil {
				return nil, err
			}
			out.Body.Items = append(out.Body.Items, one.Body)
		}
		return out, nil
	})
	rest.Add(s.api, op("GET", one, "get-setting", "Get a setting, or its defaults", read), func(ctx context.Context, in *SettingID) (*settingOut, error) {
		return settingAnswer(s.setting(ctx, in.Name))
	})
	put := op("PUT", one, "put-setting", "Replace a setting", write)
	put.Doc = "It is in force in every manager within seconds."
	rest.Add(s.api, put, func(ctx context.Context, in *struct {
		SettingID
		Change
		Drafted
		Body rest.Document
	}) (*settingOut, error) {
		return s.set(ctx, in.Name, in.Change, in.Draft, func(catalog.Document) ([]byte, error) { return in.Body, nil })
	})
	rest.Add(s.api, op("PATCH", one, "patch-setting", "Change a setting", write), func(ctx context.Context, in *struct {
		SettingID
		Change
		Drafted
		Body rest.Document `contentType:"application/merge-patch+json"`
	}) (*settingOut, error) {
		return s.set(ctx, in.Name, in.Change, in.Draft, func(old catalog.Document) ([]byte, error) { return rest.MergePatch(old.Body, in.Body) })
	})
	for _, way := range []struct {
		verb, summary string
		choose        func(context.Context, catalog.Choice) (catalog.Document, error)
	}{{"publish", "Bring a draft into force", s.Catalog.Publish}, {"rollback", "Bring what an earlier revision said into force again", s.Catalog.Rollback}} {
		rest.Add(s.api, op("POST", one+":"+way.verb, way.verb+"-setting", way.summary, write), func(ctx context.Context, in *struct {
			SettingID
			Change
			Body rollbackBody
		}) (*settingOut, error) {
			e, err := s.edit(ctx, in.Change)
			if err != nil {
				return nil, err
			}
			if err := s.known(in.Name); err != nil {
				return nil, err
			}
			d, err := way.choose(ctx, catalog.Choice{Class: catalog.Setting, Name: in.Name, Version: in.Body.Version, IfMatch: written(e.IfMatch), Actor: e.Actor, Reason: e.Reason, Request: e.Request})
			return settingAnswer(d, late(e.IfMatch, err))
		})
	}
	history[settingRevisions, settingRevision, settingDiff](s, one, "setting", "settings", catalog.Setting, read)
}

func (s *shelf) known(name string) error {
	if slices.Contains(s.Catalog.Settings(), name) {
		return nil
	}
	return &darter.Error{Kind: darter.NotFound, Op: "read setting " + name, Err: errors.New("there is no such setting")}
}

// setting returns what is in force, or the defaults as version 0.
func (s *shelf) setting(ctx context.Context, name string) (catalog.Document, error) {
	if err := s.known(name); err != nil {
		return catalog.Document{}, err
	}
	d, err := s.Catalog.Document(ctx, catalog.Setting, name)
	if darter.KindOf(err) != darter.NotFound {
		return d, err
	}
	body, err := s.Catalog.Check(catalog.Edit{Class: catalog.Setting, Name: name, Body: []byte("{}")})
	return catalog.Document{Class: catalog.Setting, Name: name, Body: body}, err
}

func (s *shelf) set(ctx context.Context, name string, c Change, draft bool, make func(catalog.Document) ([]byte, error)) (*settingOut, error) {
	e, err := s.edit(ctx, c)
	if err != nil {
		return nil, err
	}
	old, err := s.setting(ctx, name)
	if err != nil {
		return nil, err
	}
	if e.Body, err = make(old); err != nil {
		return nil, err
	}
	if !json.Valid(e.Body) {
		return nil, rest.Refusal(http.StatusBadRequest, rest.Invalid, "the body is not JSON")
	}
	given := e.IfMatch
	if e.IfMatch = written(given); given == "*" && old.Number > 0 {
		e.IfMatch = old.ETag()
	}
	e.Class, e.Name = catalog.Setting, name
	save := s.Catalog.Put
	if draft {
		save = s.Catalog.Draft
	}
	d, err := save(ctx, e)
	return settingAnswer(d, late(given, err))
}

// written turns the ETag of a setting that nobody has written into what the catalog takes for that.
func written(etag string) string {
	if etag == unset {
		return ""
	}
	return etag
}

// late is what it means that somebody has written it since.
func late(etag string, err error) error {
	if etag == unset && errors.Is(err, catalog.ErrNoMatch) {
		return &darter.Error{Kind: darter.Conflict, Op: "edit setting", Hint: "read it again, and make the change on what it says now", Err: catalog.ErrStale}
	}
	return err
}
