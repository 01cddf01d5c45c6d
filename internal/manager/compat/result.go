package compat

import (
	"cmp"
	"context"
	"time"

	"github.com/darter-p2p/darter"
)

// groupView is the result of a job: one state per cluster.
type groupView struct {
	GroupUUID string      `json:"group_uuid"`
	State     string      `json:"state"`
	CreatedAt time.Time   `json:"created_at"`
	UpdatedAt time.Time   `json:"updated_at"`
	JobStates []stateView `json:"job_states"`
}

type stateView struct {
	TaskUUID  string    `json:"task_uuid"`
	TaskName  string    `json:"task_name"`
	State     string    `json:"state"`
	Results   []any     `json:"results"`
	Error     string    `json:"error"`
	CreatedAt time.Time `json:"created_at"`
	TTL       int64     `json:"ttl"`
}

// outcomeView is what preheats and deletions did in one cluster.
type outcomeView struct {
	SuccessTasks []taskView `json:"success_tasks"`
	FailureTasks []taskView `json:"failure_tasks"`
	ClusterID    uint64     `json:"scheduler_cluster_id"`
}

type taskView struct {
	URL         string `json:"url"`
	Hostname    string `json:"hostname"`
	IP          string `json:"ip"`
	HostType    string `json:"host_type,omitempty"`
	Description string `json:"description,omitempty"`
}

// peersView is who holds a task in one cluster.
type peersView struct {
	Peers     []peerView `json:"peers"`
	ClusterID uint64     `json:"scheduler_cluster_id"`
}

type peerView struct {
	ID       string `json:"id"`
	Hostname string `json:"hostname"`
	IP       string `json:"ip"`
	HostType string `json:"host_type"`
}

// gcView is the result of a gc job.
type gcView struct {
	Type   string        `json:"type"`
	TTL    time.Duration `json:"ttl"` // nanoseconds
	Purged int64         `json:"purged"`
	Error  string        `json:"error,omitempty"`
}

// mostPlaces bounds a result, per cluster and sort.
const mostPlaces = 1000

// show is view with the result of a job that is over.
func (d *desk) show(ctx context.Context, j Job) (jobView, error) {
	v := view(&j)
	if v.State == pending {
		return v, nil
	}
	if j.Kind == darter.GCRecords {
		rows, kept, err := d.Jobs.Purged(ctx, j)
		if err != nil {
			return v, err
		}
		g := gcView{Type: j.Records, TTL: kept, Purged: rows}
		if v.State == failure {
			g.Error = why(&j)
		}
		v.Result = g
		return v, nil
	}
	results, err := d.Jobs.Results(ctx, j, mostPlaces)
	if err != nil {
		return v, err
	}
	v.Result = group(&j, results)
	return v, nil
}

func why(j *Job) string {
	text := cmp.Or(j.Text, string(j.Failure), string(j.State))
	if j.Failure != "" && j.Text != string(j.Failure) {
		text = string(j.Failure) + ": " + text
	}
	if hint := j.Failure.Hint(); hint != "" && hint != j.Text {
		text += " (" + hint + ")"
	}
	return text
}

// group says what became of a job. Of one that failed, a state says why, whether it came to any cluster or not.
func group(j *Job, results []Result) groupView {
	g := groupView{GroupUUID: string(j.ID), State: stateOf(j.State), CreatedAt: j.Created.UTC(), UpdatedAt: j.Updated.UTC(), JobStates: []stateView{}}
	for _, r := range results {
		s := stateView{TaskUUID: string(j.ID), TaskName: typeOf(j.Kind), State: success, CreatedAt: j.Created.UTC(), Results: []any{r.view(j.Kind)}}
		if g.State == failure && (len(r.Bad) > 0 || len(r.Good) == 0) {
			s.State, s.Error = failure, why(j)
		}
		g.JobStates = append(g.JobStates, s)
	}
	if g.State != failure {
		return g
	}
	for _, s := range g.JobStates {
		if s.Error != "" {
			return g
		}
	}
	g.JobStates = append([]stateView{{TaskUUID: string(j.ID), TaskName: typeOf(j.Kind), State: failure, Error: why(j), CreatedAt: j.Created.UTC(), Results: []any{}}}, g.JobStates...)
	return g
}

func (r *Result) view(k darter.JobKind) any {
	if k == darter.LocateTask {
		out := peersView{Peers: []peerView{}, ClusterID: r.Cluster}
		for _, p := range r.Good {
			out.Peers = append(out.Peers, peerView{ID: p.Host, Hostname: p.Hostname, IP: p.IP, HostType: p.Kind.String()})
		}
		return out
	}
	return outcomeView{SuccessTasks: tasks(r.Good), FailureTasks: tasks(r.Bad), ClusterID: r.Cluster}
}

func tasks(all []Place) []taskView {
	out := make([]taskView, len(all))
	for i, p := range all {
		out[i] = taskView{URL: p.URL, Hostname: p.Hostname, IP: p.IP, Description: p.Text}
		if p.Host != "" {
			out[i].HostType = p.Kind.String()
		}
	}
	return out
}
