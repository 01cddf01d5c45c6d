package compat

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/darter-p2p/darter/internal/rest"
)

// clusterView is a cluster as the old interface shows it.
type clusterView struct {
	ID          int64           `json:"id"`
	Name        string          `json:"name"`
	Bio         string          `json:"bio"`
	Scopes      scopesView      `json:"scopes"`
	SchedulerID int64           `json:"scheduler_cluster_id"`
	SeedID      int64           `json:"seed_peer_cluster_id"`
	Scheduler   json.RawMessage `json:"scheduler_cluster_config"`
	Client      json.RawMessage `json:"peer_cluster_config"`
	Seed        json.RawMessage `json:"seed_peer_cluster_config"`
	IsDefault   bool            `json:"is_default"`
	CreatedAt   time.Time       `json:"created_at"`
	UpdatedAt   time.Time       `json:"updated_at"`
}

type scopesView struct {
	IDC       string   `json:"idc"`
	Location  string   `json:"location"`
	CIDRs     []string `json:"cidrs"`
	Hostnames []string `json:"hostnames"`
}

func (c *Cluster) view() clusterView {
	object := func(raw json.RawMessage) json.RawMessage {
		if len(raw) == 0 {
			return json.RawMessage("{}")
		}
		return raw
	}
	list := func(all []string) []string { return append([]string{}, all...) }
	return clusterView{ID: c.Number, Name: c.Name, Bio: c.Bio, SchedulerID: c.Number, SeedID: c.Number, Scheduler: object(c.Scheduler), Client: object(c.Client),
		Seed: json.RawMessage("{}"), IsDefault: c.Default, CreatedAt: c.Created.UTC(), UpdatedAt: c.Updated.UTC(),
		Scopes: scopesView{IDC: c.IDC, Location: c.Location, CIDRs: list(c.CIDRs), Hostnames: list(c.Hostnames)}}
}

// clusterBody is what POST and PATCH take. Members that are not there leave things as they are.
type clusterBody struct {
	Name      *string         `json:"name"`
	Bio       *string         `json:"bio"`
	Scopes    *scopesView     `json:"scopes"`
	Scheduler json.RawMessage `json:"scheduler_cluster_config"`
	Client    json.RawMessage `json:"peer_cluster_config"`
	IsDefault *bool           `json:"is_default"`
}

func (b *clusterBody) apply(c *Cluster) {
	set := func(to, from *string) {
		if from != nil {
			*to = *from
		}
	}
	set(&c.Name, b.Name)
	set(&c.Bio, b.Bio)
	if b.IsDefault != nil {
		c.Default = *b.IsDefault
	}
	if s := b.Scopes; s != nil {
		c.IDC, c.Location, c.CIDRs, c.Hostnames = s.IDC, s.Location, s.CIDRs, s.Hostnames
	}
	if some(b.Scheduler) {
		c.Scheduler = b.Scheduler
	}
	if some(b.Client) {
		c.Client = b.Client
	}
}

func shown(c Cluster, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return c.view(), nil
}

func (d *desk) createCluster(ctx context.Context, q *ask) (any, error) {
	var b clusterBody
	if err := q.read(&b); err != nil {
		return nil, err
	}
	if b.Name == nil || strings.TrimSpace(*b.Name) == "" {
		return nil, rest.Refusal(http.StatusUnprocessableEntity, rest.Invalid, "a cluster needs a name")
	}
	var c Cluster
	b.apply(&c)
	return shown(d.Clusters.Create(ctx, c))
}

func (d *desk) listClusters(ctx context.Context, q *ask) (any, error) {
	all, err := d.Clusters.All(ctx)
	if err != nil {
		return nil, err
	}
	out := []clusterView{}
	for i := range all {
		if name := q.URL.Query().Get("name"); name == "" || all[i].Name == name {
			out = append(out, all[i].view())
		}
	}
	page, size := q.page()
	q.link(page, size, int64(len(out)))
	from := min((page-1)*size, len(out))
	return out[from:min(from+size, len(out))], nil
}

func (d *desk) getCluster(ctx context.Context, q *ask) (any, error) {
	n, err := q.number()
	if err != nil {
		return nil, err
	}
	return shown(d.Clusters.Get(ctx, n))
}

func (d *desk) patchCluster(ctx context.Context, q *ask) (any, error) {
	n, err := q.number()
	if err != nil {
		return nil, err
	}
	var b clusterBody
	if err := q.read(&b); err != nil {
		return nil, err
	}
	return shown(d.Clusters.Change(ctx, n, b.apply))
}

func (d *desk) deleteCluster(ctx context.Context, q *ask) (any, error) {
	n, err := q.number()
	if err != nil {
		return nil, err
	}
	return nil, d.Clusters.Delete(ctx, n)
}

// signedIn is what the old interface answers with a token.
type signedIn struct {
	Token  string    `json:"token"`
	Expire time.Time `json:"expire"`
}

func (d *desk) signIn(ctx context.Context, q *ask) (any, error) {
	var b struct {
		Name     string `json:"name"`
		Password string `json:"password"`
	}
	if err := q.read(&b); err != nil {
		return nil, err
	}
	token, expires, err := d.People.SignIn(ctx, b.Name, b.Password)
	return signedIn{token, expires.UTC()}, err
}

func (d *desk) refresh(ctx context.Context, _ *ask) (any, error) {
	token, expires, err := d.People.Refresh(ctx)
	return signedIn{token, expires.UTC()}, err
}

func (d *desk) signOut(ctx context.Context, _ *ask) (any, error) { return nil, d.People.SignOut(ctx) }
