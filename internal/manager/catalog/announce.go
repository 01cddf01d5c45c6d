package catalog

import (
	"context"
	"fmt"
	"strconv"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
)

// Announcer takes news in the transaction of what happened.
type Announcer interface {
	Announce(ctx context.Context, tx *database.Tx, e darter.Event) error
}

// tellVersion announces that somebody wrote a version, or brought one into force.
func (c *Catalog) tellVersion(ctx context.Context, tx *database.Tx, d *Document, a darter.AuditEvent) error {
	if c.cfg.News == nil {
		return nil
	}
	resource, cluster := d.Class+"/"+d.Name, ""
	switch d.Class { // as the API knows them
	case GCPolicy:
		resource = "gc/policies/" + d.Name
	case Setting:
		resource = "settings/" + d.Name
	case ClusterClass:
		resource, cluster = "clusters/"+d.Name, d.Name
	}
	data := map[string]string{"version": strconv.FormatInt(d.Number, 10), "hash": d.Hash, "in_force": strconv.FormatBool(d.InForce), "changes": strconv.Itoa(len(d.Diff))}
	if d.RolledBackFrom > 0 {
		data["rolled_back_from"] = strconv.FormatInt(d.RolledBackFrom, 10)
	}
	return c.cfg.News.Announce(ctx, tx, darter.Event{Type: a.Action, Resource: resource, Cluster: cluster, Actor: a.Actor, Reason: a.Reason, Request: a.Request, Data: data,
		Text: fmt.Sprintf("%s, version %d by %s", a.Action, d.Number, a.Actor.Name)})
}

// tellHost announces that the schedulers think otherwise of a host.
func (c *Catalog) tellHost(ctx context.Context, tx *database.Tx, e *HostEvent, row *hostRow) error {
	if c.cfg.News == nil {
		return nil
	}
	return c.cfg.News.Announce(ctx, tx, darter.Event{Type: "host." + string(e.Verdict), Resource: "hosts/" + e.Host, Cluster: row.ClusterID,
		Data: map[string]string{"before": string(e.Before), "verdict": string(e.Verdict), "epoch": strconv.FormatInt(e.Epoch, 10), "reporter": e.Reporter, "hostname": row.Hostname},
		Text: fmt.Sprintf("host %s is %s; %s", row.Hostname, e.Verdict, e.Detail)})
}
