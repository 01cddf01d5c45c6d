// Package rest lets people see and steer how records are cleaned, over HTTP.
//
//	/v1/gc/policies/{kind} ─▶ Papers: versions, what is in force      :simulate ─▶ Reclaimer.Preview
//	POST /v1/gc/plans ─▶ Reclaimer.Plan ─▶ /v1/gc/plans/{id} ─▶ :apply ─┐
//	POST /v1/gc/runs ───────────────────────────────────────────────────┴▶ Reclaimer.Start ─▶ 202, Location
//	GET  /v1/gc/runs/{id}[/batches], :watch ◀── Reclaimer.Watch          :cancel :pause :resume :confirm
//
// It promises that who asked, why, and which version of the policy decided are in every answer, that a plan which is
// stale is refused as plan_stale, and that more than is usual is removed only for who may confirm and names what they saw.
//
// It deliberately knows no table and no rule: what would go is the planner's word, and policies lie with Papers.
package rest
