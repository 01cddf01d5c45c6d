package manager

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/manager/catalog"
	"github.com/darter-p2p/darter/internal/manager/rpc"
)

// memberKinds are the kinds as the catalog and as the API name them.
var memberKinds = [...]catalog.MemberKind{rpc.SchedulerKind: catalog.SchedulerMember, rpc.SeedKind: catalog.SeedMember}

// member writes a catalog's member as lists have it.
func member(m catalog.Member, cluster uint64) rpc.Member {
	kind := rpc.SchedulerKind
	if m.Kind == catalog.SeedMember {
		kind = rpc.SeedKind
	}
	return rpc.Member{Kind: kind, ID: uint64(m.CompatID), Cluster: cluster, Hostname: m.Hostname, IP: m.IP, Port: uint16(m.Port), DownloadPort: uint16(m.DownloadPort),
		IDC: m.IDC, Location: m.Location, Features: m.Features, Active: m.State == catalog.MemberActive, Draining: m.Draining}
}

// Picture implements rpc.Book.
func (b book) Picture(ctx context.Context) (*rpc.Picture, error) {
	clusters, err := b.clusters(ctx)
	if err != nil {
		return nil, err
	}
	out := &rpc.Picture{}
	numbers := make(map[string]uint64, len(clusters))
	for _, c := range clusters {
		numbers[c.ID] = uint64(c.CompatID)
		out.Clusters = append(out.Clusters, rpc.Cluster{ID: uint64(c.CompatID), Name: c.Name, Bio: c.Bio, Default: c.Default, IDC: c.Scopes.IDC,
			Location: c.Scopes.Location, Networks: c.Scopes.CIDRs, Hostnames: c.Scopes.Hostnames, Scheduler: c.Scheduler, Client: c.Client})
	}
	for _, kind := range memberKinds {
		members, err := b.members(ctx, kind)
		if err != nil {
			return nil, err
		}
		for _, m := range members {
			out.Members = append(out.Members, member(m, numbers[m.Cluster]))
		}
	}
	slices.SortStableFunc(out.Members, compareMembers)
	out.Applications, err = b.applications(ctx)
	return out, err
}

func compareMembers(a, b rpc.Member) int {
	if a.Cluster != b.Cluster {
		return int(int64(a.Cluster) - int64(b.Cluster))
	}
	return int(int64(a.ID) - int64(b.ID))
}

func (b book) applications(ctx context.Context) (out []rpc.Application, err error) {
	for after := ""; ; {
		page, err := b.c.Applications(ctx, after, pageSize)
		if err != nil {
			return nil, err
		}
		for _, a := range page {
			out = append(out, rpc.Application{ID: uint64(a.CompatID), Name: a.Name, URL: a.URL, Bio: a.Bio, Priority: a.Priority})
			after = a.ID
		}
		if len(page) < pageSize {
			return out, nil
		}
	}
}

// cluster finds the id behind a number.
func (b book) cluster(ctx context.Context, number uint64) (string, error) {
	all, err := b.clusters(ctx)
	for _, c := range all {
		if uint64(c.CompatID) == number {
			return c.ID, nil
		}
	}
	if err != nil {
		return "", err
	}
	return "", &darter.Error{Kind: darter.NotFound, Op: "find cluster", Err: fmt.Errorf("there is no cluster with the number %d", number), Hint: "make it first, or name one that is there"}
}

// Announce implements rpc.Book.
func (b book) Announce(ctx context.Context, m rpc.Member) (rpc.Member, error) {
	number := max(m.Cluster, 1)
	cluster, err := b.cluster(ctx, number)
	if err != nil {
		return m, err
	}
	known, err := b.c.Announce(ctx, catalog.Member{Kind: memberKinds[m.Kind], Cluster: cluster, Hostname: m.Hostname, IP: m.IP, Port: int(m.Port),
		DownloadPort: int(m.DownloadPort), IDC: m.IDC, Location: m.Location, Features: m.Features})
	if err != nil {
		return m, err
	}
	return member(known, number), nil
}

// KeepAlive implements rpc.Book.
func (b book) KeepAlive(ctx context.Context, k rpc.Key) error {
	cluster, err := b.cluster(ctx, k.Cluster)
	if err != nil {
		return err
	}
	return b.c.KeepAlive(ctx, memberKinds[k.Kind], cluster, k.Hostname, k.IP)
}

// Remove implements rpc.Book: the member says itself that it goes, so it is silent from now on, and then forgotten.
func (b book) Remove(ctx context.Context, k rpc.Key) error {
	cluster, err := b.cluster(ctx, k.Cluster)
	if err != nil {
		return err
	}
	return b.c.Leave(ctx, memberKinds[k.Kind], cluster, k.Hostname, k.IP, catalog.Edit{Actor: darter.System("members"), Reason: "it said that it goes"})
}

// announceFixed writes down the schedulers that the configuration names.
func (m *Manager) announceFixed(ctx context.Context) error {
	if err := m.touchFixed(ctx); err != nil {
		return err
	}
	return m.server.Renew(ctx)
}

// forgetEvery is how often members that were silent for long are looked for.
const forgetEvery = time.Minute

// keepMembers keeps configured schedulers alive, marks who fell silent, and forgets who was so for long. Every manager
// does, and a member is told of once: by whoever changes its row.
func (m *Manager) keepMembers(ctx context.Context) error {
	tick := time.NewTicker(max(m.cfg.TTL/4, 100*time.Millisecond))
	defer tick.Stop()
	var forgot time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			err := m.touchFixed(ctx)
			_, silence := m.rooms.Catalog.Silence(ctx, m.cfg.TTL)
			if err = errors.Join(err, silence); err == nil && now.Sub(forgot) >= forgetEvery {
				forgot = now
				err = m.forgetMembers(ctx, now)
			}
			if err != nil && ctx.Err() == nil {
				m.cfg.Log.Warn("members could not be looked after; the next turn tries again", "error", err)
			}
		}
	}
}

// touchFixed keeps configured schedulers alive. One that is known keeps what it said of itself.
func (m *Manager) touchFixed(ctx context.Context) error {
	b := book{m.rooms.Catalog}
	for _, s := range m.cfg.Schedulers {
		err := b.KeepAlive(ctx, s.Key())
		if darter.KindOf(err) == darter.NotFound {
			_, err = b.Announce(ctx, s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// forgetMembers removes members that were silent for longer than the setting bears.
func (m *Manager) forgetMembers(ctx context.Context, now time.Time) error {
	rules := lifecycle(m.rooms.Catalog)
	b := book{m.rooms.Catalog}
	most := [...]time.Duration{rpc.SchedulerKind: time.Duration(rules.SchedulerRemoveAfter), rpc.SeedKind: time.Duration(rules.SeedRemoveAfter)}
	for i, kind := range memberKinds {
		members, err := b.members(ctx, kind)
		if err != nil {
			return err
		}
		for _, x := range members {
			if x.State != catalog.MemberInactive || now.Sub(x.Seen) < most[i] {
				continue
			}
			err := m.rooms.Catalog.RemoveMember(ctx, x.ID, catalog.Edit{Actor: darter.System("members"), Reason: "silent since " + x.Seen.Format(time.RFC3339)})
			if k := darter.KindOf(err); err != nil && k != darter.NotFound && k != darter.Conflict { // another manager was quicker, or it is back
				return err
			}
		}
	}
	return nil
}

// memberEvent logs what happens to members, and tells of schedulers.
func (c *Config) memberEvent(next func(catalog.Member), what string, lost bool, tell func(Scheduler)) func(catalog.Member) {
	return func(m catalog.Member) {
		say := c.Log.Info
		if lost {
			say = c.Log.Warn
		}
		say(strings.ReplaceAll(string(m.Kind), "_", " ")+" "+what, "hostname", m.Hostname, "ip", m.IP, "port", m.Port, "cluster", m.Cluster)
		if m.Kind == catalog.SchedulerMember && tell != nil {
			tell(member(m, 0))
		}
		if next != nil {
			next(m)
		}
	}
}
