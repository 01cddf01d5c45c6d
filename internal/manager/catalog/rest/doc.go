// Package rest brings the catalog into the REST API: clusters, schedulers, seed peers, hosts, applications, settings,
// audit events. And it keeps the API's journal.
//
//	PUT /v1/clusters/{cluster}   If-Match ─▶ catalog: version n+1 ─▶ ETag
//	POST …:drain, :forget        ─▶ Orders ─▶ the schedulers that know the host
//	POST /v1/clusters:match      ─▶ Matcher: where a daemon would go, and why
//	GET /v1/audit-events:export  ─▶ one JSON object per line
//
//	Idempotency-Key, dry_run     ─▶ Journal ─▶ database.Enclose ─▶ catalog.Once
//
// It promises that a change of configuration names the version it was made from, and that who may see one cluster
// sees what lies in it and nothing else.
//
// It deliberately has no rules of its own about documents: the catalog checks them, and a policy of retention is changed
// where runs are.
package rest
