package manager

import (
	"context"
	"errors"
	"slices"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/manager/affinity"
	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/catalog"
	catalogrest "github.com/darter-p2p/darter/internal/manager/catalog/rest"
	"github.com/darter-p2p/darter/internal/manager/fleet"
)

// See implements fleetrpc.Book.
func (b book) See(ctx context.Context, scheduler string, cluster uint64, hosts []darter.HostStatus) error {
	id, err := b.cluster(ctx, cluster)
	if err != nil {
		return err
	}
	var all []catalog.Sighting
	for _, h := range hosts {
		s, err := b.sighted(ctx, id, h)
		if err != nil {
			return err
		}
		if s.Host != "" {
			all = append(all, s)
		}
	}
	return b.c.Sight(ctx, scheduler, all)
}

// sighted is a scheduler's word on one host. Of a host that is gone the scheduler knows only the name: the rest is as
// the manager knows it, and one that it never knew is no news.
func (b book) sighted(ctx context.Context, cluster string, h darter.HostStatus) (catalog.Sighting, error) {
	s, err := sighting(cluster, h.Host)
	if err != nil {
		return s, err
	}
	s.Verdict, s.Detail = catalog.Verdict(h.Verdict.String()), h.Reason
	if !h.Gone {
		return s, nil
	}
	known, err := b.c.Host(ctx, string(h.Host.ID))
	if darter.KindOf(err) == darter.NotFound {
		return catalog.Sighting{}, nil
	}
	s.Cluster, s.Hostname, s.IP, s.Kind, s.Body = known.Cluster, known.Hostname, known.IP, known.Kind, known.Body
	s.Epoch = max(s.Epoch, known.Epoch)
	return s, err
}

// Vouch implements fleetrpc.Book.
func (b book) Vouch(ctx context.Context, scheduler string) error { return b.c.Vouch(ctx, scheduler) }

// Seen implements fleetrpc.Book.
func (b book) Seen(ctx context.Context, scheduler string) ([]darter.HostID, error) {
	ids, err := b.c.SeenBy(ctx, scheduler)
	out := make([]darter.HostID, len(ids))
	for i, id := range ids {
		out[i] = darter.HostID(id)
	}
	return out, err
}

// commands gives orders to schedulers.
type commands struct{ r *Rooms }

// Drain implements catalogrest.Orders.
func (c commands) Drain(ctx context.Context, h catalog.Host, on bool, reason string) error {
	verb := fleet.Drain
	if !on {
		verb = fleet.Undrain
	}
	return c.give(ctx, fleet.Order{Verb: verb, Whom: h.ID, Reason: reason})
}

// Forget implements catalogrest.Orders.
func (c commands) Forget(ctx context.Context, h catalog.Host, force bool, reason string) error {
	return c.give(ctx, fleet.Order{Verb: fleet.Forget, Whom: h.ID, Force: force, Reason: reason})
}

func (c commands) give(ctx context.Context, o fleet.Order) error {
	there, err := c.r.Jobs.Workers(ctx, 0)
	if err != nil {
		return err
	}
	if len(there) == 0 {
		return &darter.Error{Kind: darter.Unavailable, Op: string(o.Verb) + " " + o.Whom, Err: errors.New("no scheduler is attached to a manager"), Hint: "start one with --manager, and try again"}
	}
	o.Actor = auth.From(ctx).Actor().ID
	_, err = c.r.Fleet.Give(ctx, o)
	return err
}

// matcher explains where daemons go.
type matcher struct{ m *Manager }

// Match implements catalogrest.Matcher.
func (x matcher) Match(ctx context.Context, a catalogrest.Asker) ([]catalogrest.Match, error) {
	if err := x.m.server.Renew(ctx); err != nil { // what was changed a moment ago counts
		return nil, err
	}
	clusters, err := book{x.m.rooms.Catalog}.clusters(ctx)
	if err != nil {
		return nil, err
	}
	var out []catalogrest.Match
	for _, s := range x.m.server.Match(affinity.Asker{IP: a.IP, Hostname: a.Hostname, IDC: a.IDC, Location: a.Location}, false) {
		i := slices.IndexFunc(clusters, func(c catalog.Cluster) bool { return uint64(c.CompatID) == s.Cluster })
		if i < 0 {
			continue // deleted a moment ago
		}
		match := catalogrest.Match{Cluster: clusters[i].ID, Name: s.Name, Score: s.Total}
		for _, p := range []struct {
			name string
			affinity.Part
		}{{"network", s.Network}, {"hostname", s.Hostname}, {"idc", s.IDC}, {"location", s.Location}, {"default", s.Default}} {
			match.Parts = append(match.Parts, catalogrest.MatchPart{Name: p.name, Weight: p.Weight, Score: p.Score, Why: p.Why})
		}
		out = append(out, match)
	}
	return out, nil
}
