package compat

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/rest"
)

// jobBody is what POST and PATCH take.
type jobBody struct {
	Type     string          `json:"type"`
	Bio      *string         `json:"bio"`
	Args     json.RawMessage `json:"args"`
	Clusters []uint64        `json:"scheduler_cluster_ids"`
}

// jobArgs are the arguments of all types; each takes some. What is named only to be refused stands last.
type jobArgs struct {
	Type        string            `json:"type"` // preheat: image, file; gc: audit, job
	URL         string            `json:"url"`
	URLs        []string          `json:"urls"`
	TaskID      string            `json:"task_id"`
	Tag         string            `json:"tag"`
	Application string            `json:"application"`
	Filtered    string            `json:"filtered_query_params"`
	PieceLength *int64            `json:"piece_length"`
	Headers     map[string]string `json:"headers"`
	Username    string            `json:"username"`
	Password    string            `json:"password"`
	Platform    string            `json:"platform"`
	Scope       string            `json:"scope"`
	IPs         []string          `json:"ips"`
	Count       *uint32           `json:"count"`
	Percentage  *uint32           `json:"percentage"`
	TasksAtOnce *uint32           `json:"concurrent_task_count"`
	HostsAtOnce *uint32           `json:"concurrent_peer_count"`
	Timeout     *int64            `json:"timeout"` // nanoseconds
	DigestAsID  *bool             `json:"enable_task_id_based_blob_digest"`

	Content       string          `json:"content_for_calculating_task_id"`
	ObjectStorage json.RawMessage `json:"object_storage"`
	HDFS          json.RawMessage `json:"hdfs"`
}

func refused(format string) error {
	return rest.Refusal(http.StatusUnprocessableEntity, rest.Invalid, format)
}

// order translates a request.
func (b *jobBody) order() (Order, error) {
	var a jobArgs
	if len(b.Args) > 0 {
		if err := json.Unmarshal(b.Args, &a); err != nil {
			return Order{}, rest.Refusal(http.StatusBadRequest, rest.Invalid, "args are not what this route takes")
		}
	}
	o := Order{Clusters: b.Clusters, Tag: a.Tag, Application: a.Application, TaskID: a.TaskID, PieceLength: value(a.PieceLength), DigestAsID: a.DigestAsID,
		TasksAtOnce: value(a.TasksAtOnce), HostsAtOnce: value(a.HostsAtOnce), Timeout: time.Duration(value(a.Timeout)), Headers: a.Headers, Bio: value(b.Bio)}
	if a.Filtered != "" {
		o.Filtered = strings.Split(a.Filtered, "&")
	}
	if a.Content != "" || some(a.ObjectStorage) || some(a.HDFS) {
		return o, refused("content_for_calculating_task_id, object_storage and hdfs are not supported; configure the credential where the bytes are fetched")
	}
	switch b.Type {
	case "preheat":
		return a.preheat(o)
	case "get_task", "delete_task":
		o.Kind = map[string]darter.JobKind{"get_task": darter.LocateTask, "delete_task": darter.PurgeTask}[b.Type]
		if a.TaskID == "" {
			o.URLs = []string{a.URL}
		}
		return o, nil
	case "sync_peers":
		o.Kind = darter.SyncHosts
		return o, nil
	case "gc":
		o.Kind, o.Records, o.Clusters = darter.GCRecords, a.Type, nil
		if a.Type != "job" && a.Type != "audit" {
			return o, refused(`args.type of a gc job is "job" or "audit"`)
		}
		return o, nil
	case "get_image_distribution":
		return o, rest.Refusal(http.StatusNotImplemented, "not_implemented", "get_image_distribution is not supported; ask for the single blobs with get_task")
	}
	return o, refused("type is none of preheat, get_task, delete_task, sync_peers and gc")
}

func (a *jobArgs) preheat(o Order) (Order, error) {
	switch a.Type {
	case "image":
		o.Kind, o.URLs = darter.PreheatImage, []string{a.URL}
	case "file":
		o.Kind, o.URLs = darter.PreheatFiles, a.URLs
		if a.URL != "" && !slices.Contains(a.URLs, a.URL) {
			o.URLs = append([]string{a.URL}, a.URLs...)
		}
	default:
		return o, refused(`args.type of a preheat is "image" or "file"`)
	}
	if a.Platform != "" {
		o.Platforms = []string{a.Platform}
	}
	o.Targets = darter.Targets{Scope: darter.Scope(a.Scope), Count: value(a.Count), Percent: value(a.Percentage)}
	if o.Targets.Scope != darter.AllSeeds && o.Targets.Scope != darter.AllPeers { // as it always was: what is unknown is one seed
		o.Targets = darter.Targets{Scope: darter.OneSeed}
	}
	for _, text := range a.IPs {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return o, refused("args.ips has other than addresses")
		}
		o.Targets.IPs = append(o.Targets.IPs, ip.Unmap())
	}
	if a.Username == "" || hasAuthorization(o.Headers) {
		return o, nil
	}
	headers := map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(a.Username+":"+a.Password))}
	for name, v := range o.Headers {
		headers[name] = v
	}
	o.Headers = headers
	return o, nil
}

func hasAuthorization(headers map[string]string) bool {
	for name := range headers {
		if strings.EqualFold(name, "Authorization") {
			return true
		}
	}
	return false
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func some(raw json.RawMessage) bool {
	return len(raw) > 0 && string(raw) != "null" && string(raw) != "{}"
}

// jobView is a job as the old interface shows it.
type jobView struct {
	ID        int64          `json:"id"`
	CreatedAt time.Time      `json:"created_at"`
	UpdatedAt time.Time      `json:"updated_at"`
	IsDel     int            `json:"is_del"`
	TaskID    string         `json:"task_id"`
	Bio       string         `json:"bio"`
	Type      string         `json:"type"`
	State     string         `json:"state"`
	Args      map[string]any `json:"args"`
	Result    any            `json:"result"`
	UserID    int64          `json:"user_id"`
	User      userView       `json:"user"`
	Seeds     []any          `json:"seed_peer_clusters"`
	Clusters  []clusterRef   `json:"scheduler_clusters"`
}

type userView struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

type clusterRef struct {
	ID uint64 `json:"id"`
}

// The three states of the old interface.
const (
	pending = "PENDING"
	success = "SUCCESS"
	failure = "FAILURE"
)

func stateOf(s darter.JobState) string {
	switch s {
	case darter.JobSucceeded, darter.JobPartial:
		return success
	case darter.JobFailed, darter.JobCanceled, darter.JobExpired:
		return failure
	case darter.JobQueued, darter.JobResolving, darter.JobRunning, darter.JobPaused, darter.JobCanceling:
	}
	return pending
}

func typeOf(k darter.JobKind) string {
	switch k {
	case darter.LocateTask:
		return "get_task"
	case darter.PurgeTask:
		return "delete_task"
	case darter.SyncHosts:
		return "sync_peers"
	case darter.GCRecords:
		return "gc"
	case darter.PreheatFiles, darter.PreheatImage:
	}
	return "preheat"
}

func view(j *Job) jobView {
	v := jobView{ID: j.Number, CreatedAt: j.Created.UTC(), UpdatedAt: j.Updated.UTC(), TaskID: string(j.ID), Bio: j.Bio, Type: typeOf(j.Kind), State: stateOf(j.State),
		Args: args(&j.Order), User: userView{Name: j.Owner}, Seeds: []any{}, Clusters: []clusterRef{}}
	for _, n := range j.Clusters {
		v.Clusters = append(v.Clusters, clusterRef{n})
	}
	return v
}

// args is what was asked for, without what may be secret.
func args(o *Order) map[string]any {
	out := map[string]any{}
	put := func(name string, v any, there bool) {
		if there {
			out[name] = v
		}
	}
	put("type", map[darter.JobKind]string{darter.PreheatImage: "image", darter.PreheatFiles: "file", darter.GCRecords: o.Records}[o.Kind],
		o.Kind == darter.PreheatImage || o.Kind == darter.PreheatFiles || o.Kind == darter.GCRecords)
	put("url", first(o.URLs), len(o.URLs) > 0)
	put("urls", o.URLs, o.Kind == darter.PreheatFiles)
	put("task_id", o.TaskID, o.TaskID != "")
	put("tag", o.Tag, o.Tag != "")
	put("application", o.Application, o.Application != "")
	put("filtered_query_params", strings.Join(o.Filtered, "&"), len(o.Filtered) > 0)
	put("piece_length", o.PieceLength, o.PieceLength > 0)
	put("platform", first(o.Platforms), len(o.Platforms) > 0)
	put("scope", o.Targets.Scope, typeOf(o.Kind) == "preheat")
	put("ips", o.Targets.IPs, len(o.Targets.IPs) > 0)
	put("count", o.Targets.Count, o.Targets.Count > 0)
	put("percentage", o.Targets.Percent, o.Targets.Percent > 0)
	put("concurrent_task_count", o.TasksAtOnce, o.TasksAtOnce > 0)
	put("concurrent_peer_count", o.HostsAtOnce, o.HostsAtOnce > 0)
	put("timeout", int64(o.Timeout), o.Timeout > 0)
	return out
}

func first(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

func (d *desk) createJob(ctx context.Context, q *ask) (any, error) {
	var b jobBody
	if err := q.read(&b); err != nil {
		return nil, err
	}
	o, err := b.order()
	if err != nil {
		return nil, err
	}
	j, err := d.Jobs.Create(ctx, o)
	if err != nil {
		return nil, err
	}
	if o.Kind == darter.GCRecords { // it always was waited for; it goes on without the caller
		limited, cancel := context.WithTimeout(ctx, gcWait)
		defer cancel()
		if j, err = d.Jobs.Wait(limited, j.Number); err != nil {
			return nil, err
		}
	}
	return d.show(ctx, j)
}

// gcWait is how long the answer to a gc job waits.
const gcWait = 25 * time.Second

func (d *desk) getJob(ctx context.Context, q *ask) (any, error) {
	n, err := q.number()
	if err != nil {
		return nil, err
	}
	j, err := d.Jobs.Get(ctx, n)
	if err != nil {
		return nil, err
	}
	return d.show(ctx, j)
}

func (d *desk) listJobs(ctx context.Context, q *ask) (any, error) {
	page, size := q.page()
	kinds, states, err := q.filters()
	if err != nil {
		return nil, err
	}
	all, total, err := d.Jobs.List(ctx, kinds, states, (page-1)*size, size)
	if err != nil {
		return nil, err
	}
	q.link(page, size, total)
	out := make([]jobView, len(all))
	for i := range all {
		out[i] = view(&all[i])
	}
	return out, nil
}

// filters reads type and state.
func (q *ask) filters() (kinds []darter.JobKind, states []darter.JobState, err error) {
	query := q.URL.Query()
	if t := query.Get("type"); t != "" {
		for _, k := range []darter.JobKind{darter.PreheatFiles, darter.PreheatImage, darter.LocateTask, darter.PurgeTask, darter.SyncHosts, darter.GCRecords} {
			if typeOf(k) == t {
				kinds = append(kinds, k)
			}
		}
		if kinds == nil {
			return nil, nil, refused("there is no such type of job")
		}
	}
	if s := query.Get("state"); s != "" {
		if s == "RECEIVED" || s == "STARTED" || s == "RETRY" { // taken as a filter, and never a state
			s = pending
		}
		for _, state := range []darter.JobState{darter.JobQueued, darter.JobResolving, darter.JobRunning, darter.JobPaused, darter.JobCanceling, darter.JobCanceled,
			darter.JobSucceeded, darter.JobPartial, darter.JobFailed, darter.JobExpired} {
			if stateOf(state) == s {
				states = append(states, state)
			}
		}
		if states == nil {
			return nil, nil, refused("there is no such state: PENDING, SUCCESS, FAILURE")
		}
	}
	return kinds, states, nil
}

func (d *desk) patchJob(ctx context.Context, q *ask) (any, error) {
	n, err := q.number()
	if err != nil {
		return nil, err
	}
	var b jobBody
	if err := q.read(&b); err != nil {
		return nil, err
	}
	j, err := d.Jobs.Describe(ctx, n, value(b.Bio))
	if err != nil {
		return nil, err
	}
	return d.show(ctx, j)
}

// deleteJob ends a job. Its record stays until retention takes it: who did what is not for the caller to remove.
func (d *desk) deleteJob(ctx context.Context, q *ask) (any, error) {
	n, err := q.number()
	if err != nil {
		return nil, err
	}
	_, err = d.Jobs.Cancel(ctx, n)
	return nil, err
}
