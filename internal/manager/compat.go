package manager

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/database"
	"github.com/darter-p2p/darter/internal/identity"
	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/manager/auth/account"
	"github.com/darter-p2p/darter/internal/manager/catalog"
	"github.com/darter-p2p/darter/internal/manager/compat"
	"github.com/darter-p2p/darter/internal/manager/jobs"
	"github.com/darter-p2p/darter/internal/manager/jobs/machine"
	jobsrest "github.com/darter-p2p/darter/internal/manager/jobs/rest"
	"github.com/darter-p2p/darter/internal/manager/records"
	"github.com/darter-p2p/darter/internal/rest"
)

// oldJobs are the jobs as the old interface needs them.
type oldJobs struct {
	*Rooms
	submit jobsrest.Submit
}

// Create implements compat.Jobs.
func (o oldJobs) Create(ctx context.Context, w compat.Order) (compat.Job, error) {
	t := &jobsrest.Targets{Scope: string(w.Targets.Scope), Count: w.Targets.Count, Percentage: w.Targets.Percent}
	for _, ip := range w.Targets.IPs {
		t.IPs = append(t.IPs, ip.String())
	}
	made, err := o.submit(ctx, &jobsrest.Wish{Kind: string(w.Kind), URLs: w.URLs, TaskID: w.TaskID, Headers: w.Headers, Tag: w.Tag, Application: w.Application, Filtered: w.Filtered,
		PieceLength: w.PieceLength, DigestAsID: w.DigestAsID, Platforms: w.Platforms, Targets: t, Clusters: w.Clusters, TasksAtOnce: w.TasksAtOnce, HostsAtOnce: w.HostsAtOnce,
		Timeout: rest.Duration(w.Timeout), Records: w.Records, Bio: w.Bio})
	if err != nil {
		return compat.Job{}, err
	}
	return o.Get(ctx, made.CompatID)
}

func oldJob(j jobs.Job, err error) (compat.Job, error) {
	s := &j.Spec
	if slices.Equal(s.FilteredQuery, identity.DefaultFilteredQuery()) {
		s.FilteredQuery = nil // the usual ones, which nobody asked for
	}
	return compat.Job{Number: j.CompatID, ID: j.ID, State: j.State, Owner: j.Owner, Failure: j.Failure, Text: j.Text, Created: j.Created, Updated: j.Updated, Finished: j.Finished,
		Order: compat.Order{Kind: j.Kind, URLs: s.URLs, TaskID: string(s.TaskID), Tag: s.Tag, Application: s.Application, Filtered: s.FilteredQuery, PieceLength: s.PieceLength,
			Platforms: s.Platforms, DigestAsID: &s.DigestAsID, Targets: s.Targets, Clusters: s.Clusters, TasksAtOnce: s.TasksAtOnce, HostsAtOnce: s.HostsAtOnce,
			Timeout: s.Timeout, Records: s.Records, Bio: j.Bio}}, err
}

// Get implements compat.Jobs.
func (o oldJobs) Get(ctx context.Context, number int64) (compat.Job, error) {
	return oldJob(o.Jobs.GetCompat(ctx, number))
}

// List implements compat.Jobs.
func (o oldJobs) List(ctx context.Context, kinds []darter.JobKind, states []darter.JobState, offset, limit int) ([]compat.Job, int64, error) {
	f := jobs.Filter{Kinds: kinds, States: states}
	total, err := o.Jobs.Count(ctx, f)
	if err != nil {
		return nil, 0, err
	}
	var out []compat.Job
	for f.Offset = offset; len(out) < limit; f.Offset += f.Limit {
		f.Limit = min(limit-len(out), pageSize)
		page, err := o.Jobs.List(ctx, f)
		if err != nil {
			return nil, 0, err
		}
		for _, j := range page {
			one, _ := oldJob(j, nil) // which fails with what is given as an error only
			out = append(out, one)
		}
		if len(page) < f.Limit {
			break
		}
	}
	return out, total, nil
}

// Results implements compat.Jobs.
func (o oldJobs) Results(ctx context.Context, j compat.Job, limit int) ([]compat.Result, error) {
	steps, err := o.Jobs.Steps(ctx, j.ID)
	if err != nil {
		return nil, err
	}
	words, err := o.words(ctx, j.ID)
	if err != nil {
		return nil, err
	}
	var out []compat.Result
	for i := range steps {
		s := &steps[i]
		if s.Kind != machine.Dispatch {
			continue
		}
		at := slices.IndexFunc(out, func(r compat.Result) bool { return r.Cluster == s.Cluster })
		if at < 0 {
			at, out = len(out), append(out, compat.Result{Cluster: s.Cluster, Good: []compat.Place{}, Bad: []compat.Place{}})
		}
		if err := o.places(ctx, j, s, words, &out[at], limit); err != nil {
			return nil, err
		}
	}
	return out, nil
}

type pair struct{ step, item, host uint32 }

// words are what failures said, as far as they were kept.
func (o oldJobs) words(ctx context.Context, id darter.JobID) (map[pair]string, error) {
	out := make(map[pair]string)
	for last := (*jobs.TargetFailure)(nil); len(out) < maxWords; {
		page, err := o.Jobs.Failures(ctx, id, last, pageSize)
		if err != nil {
			return nil, err
		}
		for i, f := range page {
			out[pair{f.Step, f.Item, f.Host}] = string(f.Class) + ": " + f.Text
			last = &page[i]
		}
		if len(page) < pageSize {
			break
		}
	}
	return out, nil
}

const maxWords = 5000

// places adds what became of one step's contents.
func (o oldJobs) places(ctx context.Context, j compat.Job, s *machine.Step, words map[pair]string, into *compat.Result, limit int) error {
	hosts, err := o.Jobs.Targets(ctx, j.ID, s.Number)
	if err != nil {
		return err
	}
	add := func(to *[]compat.Place, it *jobs.Item, n uint32, text string) {
		p := compat.Place{URL: it.URL, Task: string(it.Task), Text: text}
		if int(n) < len(hosts) {
			h := hosts[n]
			p.Host, p.Hostname, p.IP, p.Kind = string(h.ID), h.Hostname, h.IP.String(), h.Kind
		}
		if len(*to) < limit {
			*to = append(*to, p)
		}
	}
	const nobody = ^uint32(0)
	for from := uint32(0); len(into.Good) < limit || len(into.Bad) < limit; {
		page, err := o.Jobs.Items(ctx, j.ID, s.Number, from, pageSize)
		if err != nil || len(page) == 0 {
			return err
		}
		for i := range page {
			it := &page[i]
			from = it.Number + 1
			done := it.Done
			if j.Kind == darter.LocateTask {
				done = it.Held
			}
			for _, n := range done {
				add(&into.Good, it, n, "")
			}
			one := j.Targets.Scope == darter.OneSeed && len(it.Done) > 0 // any one was enough
			for _, n := range it.Failed {
				if !one {
					add(&into.Bad, it, n, words[pair{s.Number, it.Number, n}])
				}
			}
			if len(it.Done) == 0 && len(it.Failed) == 0 { // nobody ever said anything of it
				add(&into.Bad, it, nobody, silence(s, j))
			}
		}
	}
	return nil
}

// silence says why nothing became of a content.
func silence(s *machine.Step, j compat.Job) string {
	switch {
	case s.Text != "":
		return string(s.Failure) + ": " + s.Text
	case j.Text != "":
		return j.Text
	}
	return "no host had a part in it"
}

// Cancel implements compat.Jobs.
func (o oldJobs) Cancel(ctx context.Context, number int64) (compat.Job, error) {
	j, err := o.Get(ctx, number)
	if err != nil || j.State.Terminal() || j.State == darter.JobCanceling {
		return j, err
	}
	err = o.DB.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		return o.Jobs.Cancel(jobs.Because(ctx, "deleted by the old interface"), tx, o.caller(ctx), j.ID)
	})
	if errors.Is(err, machine.ErrTerminal) || errors.Is(err, machine.ErrNotNow) {
		err = nil // it ended by itself meanwhile, or is on its way to
	}
	return j, err
}

func (oldJobs) caller(ctx context.Context) string { return auth.From(ctx).Name }

// Describe implements compat.Jobs.
func (o oldJobs) Describe(ctx context.Context, number int64, bio string) (compat.Job, error) {
	j, err := o.Get(ctx, number)
	if err != nil {
		return j, err
	}
	err = o.DB.Write(ctx, func(ctx context.Context, tx *database.Tx) error {
		return o.Jobs.Describe(ctx, tx, o.caller(ctx), j.ID, bio)
	})
	if err != nil {
		return j, err
	}
	return o.Get(ctx, number)
}

// Wait implements compat.Jobs.
func (o oldJobs) Wait(ctx context.Context, number int64) (compat.Job, error) {
	j, err := o.Get(ctx, number)
	if err != nil {
		return j, err
	}
	return oldJob(o.Jobs.Wait(ctx, j.ID))
}

// Purged implements compat.Jobs.
func (o oldJobs) Purged(ctx context.Context, j compat.Job) (rows int64, kept time.Duration, err error) {
	policy, err := o.Catalog.PolicyInForce(ctx, j.Records)
	if err != nil {
		return 0, 0, err
	}
	kept, _ = policy.Spec.After("", "")
	recent, err := o.Records.Runs(ctx, records.RunFilter{Kind: j.Records, Limit: pageSize})
	for _, run := range recent { // one, and those that went on from it
		if run.Requester.ID == "jobs/"+string(j.ID) {
			rows += run.Deleted
		}
	}
	return rows, kept, err
}

// oldClusters are the catalog's clusters as the old interface needs them.
type oldClusters struct{ *Rooms }

func oldCluster(c catalog.Cluster, err error) (compat.Cluster, error) {
	return compat.Cluster{Number: c.CompatID, Name: c.Name, Bio: c.Bio, Default: c.Default, IDC: c.Scopes.IDC, Location: c.Scopes.Location, CIDRs: c.Scopes.CIDRs,
		Hostnames: c.Scopes.Hostnames, Scheduler: c.Scheduler, Client: c.Client, Created: c.Created, Updated: c.Updated}, err
}

func spec(c compat.Cluster) catalog.ClusterSpec {
	return catalog.ClusterSpec{Name: c.Name, Bio: c.Bio, Default: c.Default, Scheduler: json.RawMessage(c.Scheduler), Client: json.RawMessage(c.Client),
		Scopes: catalog.Scopes{IDC: c.IDC, Location: c.Location, CIDRs: c.CIDRs, Hostnames: c.Hostnames}}
}

// All implements compat.Clusters.
func (o oldClusters) All(ctx context.Context) ([]compat.Cluster, error) {
	all, err := book{o.Catalog}.clusters(ctx)
	var out []compat.Cluster
	for _, c := range all {
		if auth.From(ctx).May("cluster.read", c.ID) == nil {
			one, _ := oldCluster(c, nil) // which fails with what is given as an error only
			out = append(out, one)
		}
	}
	slices.SortFunc(out, func(a, b compat.Cluster) int { return int(a.Number - b.Number) })
	return out, err
}

// one finds a cluster by its number that the caller may use.
func (o oldClusters) one(ctx context.Context, number int64, permission auth.Permission) (catalog.Cluster, error) {
	all, err := book{o.Catalog}.clusters(ctx)
	if err != nil {
		return catalog.Cluster{}, err
	}
	at := slices.IndexFunc(all, func(c catalog.Cluster) bool { return c.CompatID == number })
	if at < 0 || auth.From(ctx).May("cluster.read", all[at].ID) != nil {
		return catalog.Cluster{}, &darter.Error{Kind: darter.NotFound, Op: "find cluster", Err: errors.New("there is no such cluster")}
	}
	return all[at], auth.From(ctx).May(permission, all[at].ID)
}

// Get implements compat.Clusters.
func (o oldClusters) Get(ctx context.Context, number int64) (compat.Cluster, error) {
	return oldCluster(o.one(ctx, number, "cluster.read"))
}

func (oldClusters) edit(ctx context.Context) catalog.Edit {
	c := auth.From(ctx)
	return catalog.Edit{Actor: c.Actor(), Request: c.Request, Reason: "by the old interface"}
}

// Create implements compat.Clusters.
func (o oldClusters) Create(ctx context.Context, c compat.Cluster) (compat.Cluster, error) {
	if err := auth.From(ctx).May("cluster.write", ""); err != nil {
		return c, err
	}
	return oldCluster(o.Catalog.CreateCluster(ctx, spec(c), o.edit(ctx)))
}

// Change implements compat.Clusters.
func (o oldClusters) Change(ctx context.Context, number int64, change func(*compat.Cluster)) (compat.Cluster, error) {
	found, err := o.one(ctx, number, "cluster.write")
	if err != nil {
		return compat.Cluster{}, err
	}
	now, err := o.Catalog.Cluster(ctx, found.ID) // with the ETag: who else changes it meanwhile is not overwritten
	if err != nil {
		return compat.Cluster{}, err
	}
	c, _ := oldCluster(now, nil) // which fails with what is given as an error only
	change(&c)
	e := o.edit(ctx)
	e.IfMatch = now.ETag
	return oldCluster(o.Catalog.UpdateCluster(ctx, now.ID, spec(c), e))
}

// Delete implements compat.Clusters.
func (o oldClusters) Delete(ctx context.Context, number int64) error {
	found, err := o.one(ctx, number, "cluster.write")
	if err != nil {
		return err
	}
	e := o.edit(ctx)
	e.IfMatch = "*"
	return o.Catalog.DeleteCluster(ctx, found.ID, e)
}

// oldPeople signs people in for the old interface: with tokens, since scripts send what they got as Bearer.
type oldPeople struct{ *Rooms }

const (
	oldTokenName = "signed in by the old interface"
	oldTokenLife = 24 * time.Hour
	oldTokens    = 20 // per user; the oldest ends when there would be more
)

// SignIn implements compat.People.
func (o oldPeople) SignIn(ctx context.Context, name, password string) (string, time.Time, error) {
	c := auth.From(ctx)
	who, err := o.Accounts.Basic(ctx, name, password, c)
	if err != nil {
		return "", time.Time{}, err
	}
	c.Principal = who
	if err := o.makeRoom(ctx, c); err != nil {
		return "", time.Time{}, err
	}
	t, text, err := o.Accounts.CreateToken(ctx, c, account.Order{Owner: who.ID, Name: oldTokenName, Scopes: []string{"*:*"}, Life: oldTokenLife})
	return text, t.Expires, err
}

// makeRoom ends the oldest of a user's sign-ins when there are many: scripts do not sign out.
func (o oldPeople) makeRoom(ctx context.Context, c auth.Caller) error {
	var open []string
	for after := ""; ; {
		page, err := o.Accounts.Tokens(ctx, c.ID, after, pageSize)
		if err != nil {
			return err
		}
		for _, t := range page {
			if after = t.ID; t.Name == oldTokenName && t.Revoked.IsZero() && t.Expires.After(time.Now()) {
				open = append(open, t.ID)
			}
		}
		if len(page) < pageSize {
			break
		}
	}
	for len(open) >= oldTokens {
		if err := o.Accounts.RevokeToken(ctx, c, open[0]); err != nil {
			return err
		}
		open = open[1:]
	}
	return nil
}

// token is the id of the token that the request came with.
func (oldPeople) token(ctx context.Context) (auth.Caller, error) {
	c := auth.From(ctx)
	if c.Method != auth.ByToken {
		return c, &darter.Error{Kind: darter.Invalid, Op: "use token", Hint: "send the token that signing in gave as Authorization: Bearer", Err: errors.New("the request came without a token")}
	}
	return c, nil
}

// Refresh implements compat.People.
func (o oldPeople) Refresh(ctx context.Context) (string, time.Time, error) {
	c, err := o.token(ctx)
	if err != nil {
		return "", time.Time{}, err
	}
	t, text, err := o.Accounts.RotateToken(ctx, c, c.Credential, 0, oldTokenLife)
	return text, t.Expires, err
}

// SignOut implements compat.People.
func (o oldPeople) SignOut(ctx context.Context) error {
	c, err := o.token(ctx)
	if err != nil {
		return err
	}
	return o.Accounts.RevokeToken(ctx, c, c.Credential)
}
