package manager

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/catalog"
	"github.com/darter-p2p/darter/internal/manager/compat"
	jobsrest "github.com/darter-p2p/darter/internal/manager/jobs/rest"
	"github.com/darter-p2p/darter/internal/manager/notify"
	notifyrest "github.com/darter-p2p/darter/internal/manager/notify/rest"
	recordsrest "github.com/darter-p2p/darter/internal/manager/records/rest"
	"github.com/darter-p2p/darter/internal/rest"
)

// openNews builds the journal of events. It audits with the catalog, which tells it news.
func (r *Rooms) openNews(_ context.Context, cfg *Config) (err error) {
	r.News, err = notify.New(notify.Config{DB: r.DB, Sealer: r.Box, Audit: r.Catalog, Client: r.Egress.Client(10 * time.Second), Check: r.Egress.CheckURL, Events: cfg.Events.Notify})
	return err
}

// herald is the journal for rooms that are built before it.
type herald struct{ r *Rooms }

// Announce implements the Announcers of rooms.
func (h herald) Announce(ctx context.Context, tx *database.Tx, e darter.Event) error {
	return h.r.News.Announce(ctx, tx, e)
}

// work adds the operations on jobs, clean-up, events and notifications, and the old interface.
func (r *Rooms) work(api *rest.API) {
	submit := jobsrest.Register(api, jobsrest.Rooms{DB: r.DB, Engine: r.Jobs, Audit: r.Catalog, Clusters: book{r.Catalog}.names,
		Check: func(ctx context.Context, text string) error {
			u, err := url.Parse(text)
			if err != nil { // whose text may hold a secret
				return &darter.Error{Kind: darter.Invalid, Op: "check URL", Err: errors.New("it is no URL")}
			}
			return r.Egress.CheckURL(ctx, u)
		}})
	recordsrest.Register(api, recordsrest.Rooms{Records: r.Records, Papers: papers{r.Catalog}})
	notifyrest.Register(api, notifyrest.Rooms{Notifier: r.News})
	compat.Register(api, compat.Rooms{Jobs: oldJobs{r, submit}, Clusters: oldClusters{r}, People: oldPeople{r}})
}

// papers are the catalog's documents as retention policies.
type papers struct{ c *catalog.Catalog }

func paper(d catalog.Document, err error) (recordsrest.Paper, error) {
	if err != nil {
		return recordsrest.Paper{}, err
	}
	return recordsrest.Paper{Version: d.Version, Body: json.RawMessage(d.Body), InForce: d.InForce, ETag: d.ETag()}, nil
}

// etag is what the catalog takes for a policy that nobody has written: nothing.
func (papers) etag(given string) string {
	if given == "0" {
		return ""
	}
	return given
}

// InForce implements recordsrest.Papers.
func (p papers) InForce(ctx context.Context, kind string) (recordsrest.Paper, error) {
	return paper(p.c.Document(ctx, catalog.GCPolicy, kind))
}

// Version implements recordsrest.Papers.
func (p papers) Version(ctx context.Context, kind string, version int64) (recordsrest.Paper, error) {
	return paper(p.c.Version(ctx, catalog.GCPolicy, kind, version))
}

// Versions implements recordsrest.Papers.
func (p papers) Versions(ctx context.Context, kind string, before int64, limit int) ([]recordsrest.Paper, error) {
	all, err := p.c.Versions(ctx, catalog.GCPolicy, kind, before, limit)
	out := make([]recordsrest.Paper, len(all))
	for i, d := range all {
		out[i], _ = paper(d, nil)
	}
	return out, err
}

// Write implements recordsrest.Papers.
func (p papers) Write(ctx context.Context, c recordsrest.Change, body []byte, draft, force bool) (recordsrest.Paper, error) {
	save := p.c.Put
	if draft {
		save = p.c.Draft
	}
	d, err := save(ctx, catalog.Edit{Class: catalog.GCPolicy, Name: c.Kind, Body: body, IfMatch: p.etag(c.IfMatch), Actor: c.Actor, Reason: c.Reason, Request: c.Request, Force: force})
	return paper(d, late(c.IfMatch, err))
}

// Choose implements recordsrest.Papers.
func (p papers) Choose(ctx context.Context, c recordsrest.Change, version int64, back bool) (recordsrest.Paper, error) {
	choose := p.c.Publish
	if back {
		choose = p.c.Rollback
	}
	d, err := choose(ctx, catalog.Choice{Class: catalog.GCPolicy, Name: c.Kind, Version: version, IfMatch: p.etag(c.IfMatch), Actor: c.Actor, Reason: c.Reason, Request: c.Request})
	return paper(d, late(c.IfMatch, err))
}

// late is what it means that somebody has written the policy since it was seen to be unwritten.
func late(etag string, err error) error {
	if etag == "0" && darter.KindOf(err) == darter.Conflict {
		return &darter.Error{Kind: darter.Conflict, Op: "edit policy", Hint: "read it again, and make the change on what it says now", Err: catalog.ErrStale}
	}
	return err
}

// Diff implements recordsrest.Papers.
func (papers) Diff(before, after []byte) ([]darter.Change, error) { return catalog.Diff(before, after) }
