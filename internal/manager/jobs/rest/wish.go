package rest

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/identity"
	"github.com/darter-p2p/darter/internal/manager/jobs"
	"github.com/darter-p2p/darter/internal/rest"
)

// Wish is what a job is to do. Which members count depends on the kind.
type Wish struct {
	Kind        string            `json:"kind" enum:"files,image,preheat.files,preheat.image,task.locate,task.purge,hosts.sync,gc.records" doc:"files and image are short for preheat.files and preheat.image"`
	URLs        []string          `json:"urls,omitempty" maxItems:"10000" doc:"files: what to bring; image: one manifest; task.locate and task.purge: one, unless task_id is given"`
	TaskID      string            `json:"task_id,omitempty" maxLength:"128" doc:"task.locate and task.purge"`
	Digest      string            `json:"digest,omitempty" maxLength:"200" doc:"sha256:… that the one file has to have"`
	Headers     map[string]string `json:"headers,omitempty" doc:"for the origin. They are kept sealed, until the job is over, and never shown"`
	Tag         string            `json:"tag,omitempty" maxLength:"1024"`
	Application string            `json:"application,omitempty" maxLength:"256" doc:"on whose behalf; jobs take turns by it"`
	Filtered    []string          `json:"filtered_query_params,omitempty" maxItems:"200" doc:"query parameters that do not name the content; default the usual ones of signatures"`
	PieceLength int64             `json:"piece_length,omitempty" minimum:"0" doc:"bytes; default as the hosts choose"`
	DigestAsID  *bool             `json:"digest_as_id,omitempty" doc:"name registry blobs by their digest, as daemons do by default; default true for images"`
	Platforms   []string          `json:"platforms,omitempty" maxItems:"50" doc:"image: os/arch; default all that there are"`
	Targets     *Targets          `json:"targets,omitempty"`
	Clusters    []uint64          `json:"clusters,omitempty" maxItems:"1000" doc:"numbers (compat_id) of clusters; default all"`
	TasksAtOnce uint32            `json:"tasks_at_once,omitempty" maximum:"1000" doc:"contents under way at once; default 8"`
	HostsAtOnce uint32            `json:"hosts_at_once,omitempty" maximum:"1000" doc:"hosts that fetch at once; default 500"`
	Timeout     rest.Duration     `json:"timeout,omitempty" doc:"of one download; default 1h"`
	Records     string            `json:"records,omitempty" maxLength:"64" doc:"gc.records: the kind of records to clean"`
	Priority    int32             `json:"priority,omitempty" minimum:"-100" maximum:"100" doc:"among jobs of the same application or owner; higher goes first"`
	RunAt       *time.Time        `json:"run_at,omitempty" doc:"not before"`
	StartWithin rest.Duration     `json:"start_within,omitempty" doc:"else it expires; default 24h"`
	RunFor      rest.Duration     `json:"run_for,omitempty" doc:"it is ended after so long; default 6h"`
	MaxAttempts uint32            `json:"max_attempts,omitempty" maximum:"100" doc:"per part; default 5"`
	Threshold   uint32            `json:"success_threshold,omitempty" maximum:"100" doc:"percent of the contents that at least one host must have, or the job has failed; default 100"`
	Force       bool              `json:"force,omitempty" doc:"make a job also when one that does the same is under way"`
	Bio         string            `json:"bio,omitempty" maxLength:"1000" doc:"what somebody says of it"`
}

// Targets selects hosts. ips goes before count, and count before percentage.
type Targets struct {
	Scope      string   `json:"scope,omitempty" enum:"single_seed_peer,all_seed_peers,all_peers" doc:"default single_seed_peer; all_peers are all that are no seeds, and the seeds of a cluster that has nobody else"`
	IPs        []string `json:"ips,omitempty" maxItems:"10000"`
	Count      uint32   `json:"count,omitempty" maximum:"100000"`
	Percentage uint32   `json:"percentage,omitempty" maximum:"100"`
}

// kinds are the short names.
var kinds = map[string]darter.JobKind{"files": darter.PreheatFiles, "image": darter.PreheatImage}

func (w *Wish) request() (jobs.Request, error) {
	kind, short := kinds[w.Kind]
	if !short {
		kind = darter.JobKind(w.Kind)
	}
	r := jobs.Request{Kind: kind, Priority: w.Priority, StartWithin: time.Duration(w.StartWithin), RunFor: time.Duration(w.RunFor), MaxAttempts: w.MaxAttempts,
		Threshold: w.Threshold, Force: w.Force, Bio: w.Bio,
		Spec: jobs.Spec{URLs: w.URLs, TaskID: darter.TaskID(w.TaskID), Tag: w.Tag, Application: w.Application, FilteredQuery: w.Filtered, PieceLength: w.PieceLength,
			Digest: darter.Digest(w.Digest), DigestAsID: w.DigestAsID != nil && *w.DigestAsID || w.DigestAsID == nil && kind == darter.PreheatImage, Platforms: w.Platforms, Clusters: w.Clusters, TasksAtOnce: w.TasksAtOnce, HostsAtOnce: w.HostsAtOnce,
			Timeout: time.Duration(w.Timeout), Records: w.Records, Header: w.Headers}}
	if w.RunAt != nil {
		r.RunAt = *w.RunAt
	}
	if kind == darter.GCRecords && w.Records == "" {
		return r, rest.Refusal(http.StatusUnprocessableEntity, rest.Invalid, "it does not say which records", rest.Detail{Pointer: "/records", Code: "required", Detail: "a kind of records, as /v1/gc/policies lists them"})
	}
	if w.Targets == nil {
		return r, nil
	}
	t := w.Targets
	r.Spec.Targets = darter.Targets{Scope: darter.Scope(t.Scope), Count: t.Count, Percent: t.Percentage}
	for _, text := range t.IPs {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return r, rest.Refusal(http.StatusUnprocessableEntity, rest.Invalid, "a host is named by its IP address", rest.Detail{Pointer: "/targets/ips", Code: "malformed", Detail: "addresses such as 10.0.0.7"})
		}
		r.Spec.Targets.IPs = append(r.Spec.Targets.IPs, ip.Unmap())
	}
	return r, nil
}

// wish is a request as it was wished for, without headers.
func wish(r *jobs.Request) Wish {
	s := &r.Spec
	out := Wish{Kind: string(r.Kind), URLs: s.URLs, TaskID: string(s.TaskID), Digest: string(s.Digest), Tag: s.Tag, Application: s.Application, Filtered: s.FilteredQuery,
		PieceLength: s.PieceLength, DigestAsID: &s.DigestAsID, Platforms: s.Platforms, Clusters: s.Clusters, TasksAtOnce: s.TasksAtOnce, HostsAtOnce: s.HostsAtOnce,
		Timeout: rest.Duration(s.Timeout), Records: s.Records, Priority: r.Priority, RunAt: when(r.RunAt), StartWithin: rest.Duration(r.StartWithin),
		RunFor: rest.Duration(r.RunFor), MaxAttempts: r.MaxAttempts, Threshold: r.Threshold, Force: r.Force, Bio: r.Bio}
	if slices.Equal(out.Filtered, identity.DefaultFilteredQuery()) {
		out.Filtered = nil // the usual ones, which nobody asked for
	}
	if s.Targets.Scope != "" {
		t := &Targets{Scope: string(s.Targets.Scope), Count: s.Targets.Count, Percentage: s.Targets.Percent}
		for _, ip := range s.Targets.IPs {
			t.IPs = append(t.IPs, ip.String())
		}
		out.Targets = t
	}
	return out
}

func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	return u.Host
}

var errNotPreheat = errors.New("this takes files and images; other jobs are made with /v1/jobs")
