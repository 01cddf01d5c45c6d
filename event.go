package darter

import "time"

// Event is something that happened which people and programs may want to hear of: a job or a run that moved, a version
// that came into force, a host that fell silent. It is written down in the transaction of what happened.
type Event struct {
	ID       string            `json:"id"`
	Sequence int64             `json:"sequence"` // in the order in which all readers see them; 0 until it has been numbered
	At       time.Time         `json:"at"`
	Type     string            `json:"type"`     // "job.failed", "gc.run.needs_confirmation", "policy.published", "host.offline"
	Resource string            `json:"resource"` // "jobs/01J…"
	Cluster  string            `json:"cluster,omitempty"`
	Actor    Actor             `json:"actor,omitzero"` // who brought it about; zero: nobody in particular
	Reason   string            `json:"reason,omitempty"`
	Request  string            `json:"request_id,omitempty"`
	Text     string            `json:"text"` // one line for people
	Data     map[string]string `json:"data,omitempty"`
	Notify   []string          `json:"-"` // names of the notification targets that it is for; none: all that want its type
}
