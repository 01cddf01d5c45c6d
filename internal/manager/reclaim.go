package manager

import (
	"github.com/darter-p2p/darter/internal/gc/retention"
	"github.com/darter-p2p/darter/internal/manager/catalog"
	"github.com/darter-p2p/darter/internal/manager/records"
)

// RecordTables describes the rows that are reclaimed by policy, beside the reclaimer's own: whoever
// adds a table that grows adds it here.
func RecordTables() []records.Table {
	const over = "('succeeded', 'partially_succeeded', 'failed', 'canceled', 'expired')"
	return []records.Table{{
		Kind: retention.Job, Name: "jobs", Key: "id", Time: "finalized_at", Group: "kind", Owner: "owner", State: "state",
		Final:  []string{"succeeded", "partially_succeeded", "failed", "canceled", "expired"},
		Pinned: "pinned_until",
		Children: []records.Child{{Name: "job_target_failures", Column: "job_id"}, {Name: "job_items", Column: "job_id"},
			{Name: "job_steps", Column: "job_id"}, {Name: "job_events", Column: "job_id"}},
		Vetoes: []records.Veto{
			{Reason: "child_open", Keys: "SELECT parent_id FROM jobs WHERE parent_id <> '' AND state NOT IN " + over},
			{Reason: "parent_open", Keys: "SELECT c.id FROM jobs c JOIN jobs p ON p.id = c.parent_id WHERE c.parent_id <> '' AND p.state NOT IN " + over},
			{Reason: "schedule", Keys: "SELECT job_id FROM schedule_fires f WHERE job_id <> '' AND fire_at = (SELECT max(fire_at) FROM schedule_fires g WHERE g.schedule_id = f.schedule_id)"},
		},
	}, {
		Kind: retention.Audit, Name: "audit_events", Key: "id", Time: "at",
	}, {
		Kind: retention.HostEvent, Name: "host_events", Key: "id", Time: "at",
	}, {
		Kind: retention.GoneHost, Name: "hosts", Key: "id", Time: "since", State: "verdict", Final: []string{string(catalog.Left), string(catalog.Forgotten)},
		Children: []records.Child{{Name: "host_views", Column: "host_id"}}, // what happened to it is host_event's
	}, {
		Kind: retention.Event, Name: "events", Key: "id", Time: "at",
		Children: []records.Child{{Name: "notification_deliveries", Column: "event_id"}},
		Vetoes: []records.Veto{
			{Reason: "unnumbered", Keys: "SELECT id FROM events WHERE sequence = 0"},
			{Reason: "undelivered", Keys: "SELECT event_id FROM notification_deliveries WHERE state = 'waiting'"},
		},
	}, {
		Kind: retention.Idempotency, Name: "idempotency_keys", Key: "id", Time: "expires_at",
	}, {
		Kind: retention.JobRequest, Name: "job_requests", Key: "request_key", Time: "expires_at",
	}, {
		Kind: retention.Fire, Name: "schedule_fires", Key: "id", Time: "fired_at", Group: "schedule_id",
		Vetoes: []records.Veto{{Reason: "last", Keys: "SELECT id FROM schedule_fires f WHERE fire_at = (SELECT max(fire_at) FROM schedule_fires g WHERE g.schedule_id = f.schedule_id)"}},
	}}
}
