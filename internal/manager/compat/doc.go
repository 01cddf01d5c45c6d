// Package compat speaks the old interface of Dragonfly's manager, as far as registries and scripts use it.
//
//	Harbor ≥ 2.12 ── POST /oapi/v1/jobs ─▶ Ask ─▶ Jobs.Create ─▶ 200, an integer id
//	   every 10 s ── GET /oapi/v1/jobs/{id} ─▶ Jobs.Get, Results ─▶ PENDING · SUCCESS · FAILURE
//	scripts ── /oapi/v1/jobs, /oapi/v1/clusters, /api/v1/users/signin ─▶ the same, and Clusters, People
//
// It promises the shapes that those programs read: integers for ids, the three states, nanoseconds for timeouts,
// unknown members passed over, "message" beside the members of a problem, pages by number with Link headers. Who has proved who they
// are is never told to slow down, since such programs take that for a failure.
//
// It deliberately has no job, cluster or user of its own and decides nothing: it translates, and what is checked of a
// native request is checked of its own.
package compat
