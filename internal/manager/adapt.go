package manager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/catalog"
	"github.com/darter-p2p/darter/internal/manager/jobs"
	"github.com/darter-p2p/darter/internal/manager/records"
	"github.com/darter-p2p/darter/internal/secretbox"
)

// pageSize is what lists are read by.
const pageSize = 500

// book is the catalog as other rooms need it: clusters go by the numbers that Dragonfly's API knows.
type book struct{ c *catalog.Catalog }

// clusters returns all clusters.
func (b book) clusters(ctx context.Context) (out []catalog.Cluster, err error) {
	for after := ""; ; after = out[len(out)-1].ID {
		page, err := b.c.Clusters(ctx, after, pageSize)
		if err != nil {
			return nil, err
		}
		if out = append(out, page...); len(page) < pageSize {
			return out, nil
		}
	}
}

// members returns all members of a kind.
func (b book) members(ctx context.Context, kind catalog.MemberKind) (out []catalog.Member, err error) {
	for after := ""; ; after = out[len(out)-1].ID {
		page, err := b.c.Members(ctx, catalog.MemberFilter{Kind: kind, After: after, Limit: pageSize})
		if err != nil {
			return nil, err
		}
		if out = append(out, page...); len(page) < pageSize {
			return out, nil
		}
	}
}

// ClusterIDs implements jobs.Clusters.
func (b book) ClusterIDs(ctx context.Context) ([]uint64, error) {
	all, err := b.clusters(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]uint64, len(all))
	for i, c := range all {
		out[i] = uint64(c.CompatID)
	}
	slices.Sort(out)
	return out, nil
}

// names returns the id of each cluster by its number.
func (b book) names(ctx context.Context) (map[uint64]string, error) {
	all, err := b.clusters(ctx)
	out := make(map[uint64]string, len(all))
	for _, c := range all {
		out[uint64(c.CompatID)] = c.ID
	}
	return out, err
}

// controlFeature is what our own schedulers announce beside Dragonfly's features: they fetch their work themselves.
const controlFeature = "darter.control"

// PlainSchedulers returns the active schedulers that have to be driven from here, by cluster.
func (b book) PlainSchedulers(ctx context.Context) (map[uint64][]netip.AddrPort, error) {
	clusters, err := b.clusters(ctx)
	if err != nil {
		return nil, err
	}
	members, err := b.members(ctx, catalog.SchedulerMember)
	if err != nil {
		return nil, err
	}
	numbers := make(map[string]uint64, len(clusters))
	for _, c := range clusters {
		numbers[c.ID] = uint64(c.CompatID)
	}
	out := make(map[uint64][]netip.AddrPort)
	for _, m := range members {
		n := numbers[m.Cluster]
		if n != 0 && m.State == catalog.MemberActive && !m.Draining && !slices.Contains(m.Features, controlFeature) {
			out[n] = append(out[n], netip.AddrPortFrom(m.IP, uint16(m.Port)))
		}
	}
	return out, nil
}

// bridgeSuffix marks the leases that this manager holds for plain schedulers.
const bridgeSuffix = "/bridge"

// plainReporter names what the hosts of a cluster of plain schedulers are known from, whichever manager asked.
func plainReporter(cluster uint64, owner string) string {
	if strings.HasSuffix(owner, bridgeSuffix) {
		return fmt.Sprintf("plain/%d", cluster)
	}
	return owner
}

// SyncHosts implements jobs.Hosts.
func (b book) SyncHosts(ctx context.Context, tx *database.Tx, cluster uint64, scheduler string, hosts []darter.Host) error {
	var id string
	err := tx.QueryRowContext(ctx, "SELECT id FROM clusters WHERE compat_id = ?", cluster).Scan(&id)
	if err != nil {
		return fmt.Errorf("find cluster %d: %w", cluster, err)
	}
	for part := range slices.Chunk(hosts, 1000) {
		seen := make([]catalog.Sighting, len(part))
		for i, h := range part {
			if seen[i], err = sighting(id, h); err != nil {
				return err
			}
			seen[i].Verdict, seen[i].Detail = catalog.Alive, "listed by its scheduler"
		}
		if _, err := b.c.SightIn(ctx, tx, plainReporter(cluster, scheduler), seen); err != nil {
			return err
		}
	}
	return nil
}

// OnlySeeds implements jobs.Hosts.
func (b book) OnlySeeds(ctx context.Context, tx *database.Tx, cluster uint64) (bool, error) {
	return b.c.OnlySeeds(ctx, tx, cluster)
}

// hostBody is what the manager keeps of what a host says of itself.
type hostBody struct {
	Name         string `json:"name,omitempty"`
	Port         uint16 `json:"port"`
	DownloadPort uint16 `json:"download_port,omitempty"`
	ProxyPort    uint16 `json:"proxy_port,omitempty"`
	IDC          string `json:"idc,omitempty"`
	Location     string `json:"location,omitempty"`
	OS           string `json:"os,omitempty"`
	Platform     string `json:"platform,omitempty"`
	Kernel       string `json:"kernel,omitempty"`
	Version      string `json:"version,omitempty"`
	Commit       string `json:"commit,omitempty"`
	Native       bool   `json:"native,omitempty"`
	NoSharing    bool   `json:"no_sharing,omitempty"`
}

// sighting is a host in the catalog's words, without a verdict.
func sighting(cluster string, h darter.Host) (catalog.Sighting, error) {
	body, err := json.Marshal(hostBody{Name: h.Name, Port: h.Port, DownloadPort: h.DownloadPort, ProxyPort: h.ProxyPort, IDC: h.IDC, Location: h.Location,
		OS: h.OS, Platform: h.Platform, Kernel: h.Kernel, Version: h.Version, Commit: h.Commit, Native: h.Native, NoSharing: h.NoSharing})
	out := catalog.Sighting{Host: string(h.ID), Cluster: cluster, Hostname: h.Hostname, Kind: h.Kind.String(), Body: body, Epoch: int64(h.Epoch)}
	if h.IP.IsValid() {
		out.IP = h.IP.String()
	}
	return out, err
}

// RecordJob implements jobs.Auditor. Who asks over REST is known better than by the name that a job goes by.
func (b book) RecordJob(ctx context.Context, tx *database.Tx, actor, verb string, id darter.JobID) error {
	c := auth.From(ctx)
	e := darter.AuditEvent{Actor: c.Actor(), Action: verb, Resource: "jobs/" + string(id), Result: darter.AuditDone, Request: c.Request, Reason: jobs.Reason(ctx)}
	if c.Kind == auth.Anonymous { // a schedule
		e.Actor = darter.Actor{Kind: "system", ID: "jobs", Name: actor}
	}
	return b.c.Record(ctx, tx, e)
}

// sealer is the key file as jobs need it.
type sealer struct{ box *secretbox.Box }

// Seal implements jobs.Sealer.
func (s sealer) Seal(label string, plain []byte) ([]byte, error) { return s.box.Seal(plain, label) }

// Open implements jobs.Sealer.
func (s sealer) Open(label string, sealed []byte) ([]byte, error) { return s.box.Open(sealed, label) }

// cleaner runs retention policies for jobs.
type cleaner struct{ records func() *records.Reclaimer }

// CleanRecords implements jobs.Records: it starts a run, or takes up the one that it started before a crash, and waits.
func (c cleaner) CleanRecords(ctx context.Context, job darter.JobID, policy string) (uint64, error) {
	r := c.records()
	actor := darter.System("jobs/" + string(job))
	run, err := c.begun(ctx, r, policy, actor.ID)
	if err == nil && run.ID == "" {
		run, err = r.Start(ctx, records.StartRequest{Kind: policy, Trigger: darter.ByAPI, Actor: actor, Reason: "asked for by job " + string(job)})
	}
	if err != nil {
		return 0, err
	}
	return c.follow(ctx, r, run)
}

// begun looks for a run that this job started.
func (cleaner) begun(ctx context.Context, r *records.Reclaimer, policy, actor string) (darter.Run, error) {
	recent, err := r.Runs(ctx, records.RunFilter{Kind: policy, Limit: 100})
	for _, run := range recent { // the newest first: of a chain, the one that goes on
		if run.Requester.ID == actor {
			return run, nil
		}
	}
	return darter.Run{}, err
}

// follow waits until a run is over, and goes on with the one that took over a lost one.
func (c cleaner) follow(ctx context.Context, r *records.Reclaimer, run darter.Run) (rows uint64, err error) {
	for {
		for now, err := range r.Watch(ctx, run.ID) {
			if err != nil {
				return rows, err
			}
			run = now
		}
		rows += uint64(run.Deleted)
		switch run.State {
		case darter.RunSucceeded, darter.RunPartial:
			return rows, nil
		case darter.RunLost:
			next, err := c.heir(ctx, r, run)
			if err != nil {
				return rows, err
			}
			run = next
		default:
			return rows, &darter.Error{Kind: darter.Conflict, Op: "clean records", Hint: "darter gc show " + run.ID + " tells more",
				Err: fmt.Errorf("run %s ended as %s: %s", run.ID, run.State, run.Message)}
		}
	}
}

// heir finds the run that goes on from a lost one. It was made in the transaction that marked the other lost.
func (cleaner) heir(ctx context.Context, r *records.Reclaimer, lost darter.Run) (darter.Run, error) {
	recent, err := r.Runs(ctx, records.RunFilter{Kind: lost.Policy, Limit: 100})
	for _, run := range recent {
		if run.Resumes == lost.ID {
			return run, nil
		}
	}
	return darter.Run{}, errors.Join(err, &darter.Error{Kind: darter.Unavailable, Op: "clean records", Err: fmt.Errorf("run %s was lost, and no other took over", lost.ID)})
}

var _ interface {
	jobs.Clusters
	jobs.Hosts
	jobs.Auditor
} = book{}
