// Package catalog keeps what the manager knows and was told: clusters and their members, hosts,
// applications, settings, policies, and who did what.
//
//	Put, Publish, Rollback ──▶ documents: version n+1, immutable ──▶ in force ──▶ note ──▶ every manager's
//	   (If-Match, author, reason)      │ diff, audit: one transaction                     InForce, Applied
//	schedulers' reports ──▶ Sight ──▶ host_views ──▶ reconcile ──▶ hosts, host_events
//	KeepAlive ──▶ members ──▶ Silence: inactive
//	a request with a key ──▶ Once ──▶ the effect and its answer, or the first answer again
//
// It promises that a version never changes, that an edit which did not see the newest version is
// refused, that a change and its audit event are committed together, that every manager applies a new
// version within seconds, and that a host is only as gone as the scheduler that still sees it says.
//
// It deliberately removes nothing by age: internal/manager/records does that, by policies that lie here.
package catalog
