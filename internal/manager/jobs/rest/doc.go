// Package rest shows jobs, preheats and schedules, and takes orders for them, over HTTP.
//
//	POST /v1/preheats, /v1/jobs ─▶ may the caller do that, there? ─▶ Engine.Enqueue ─▶ 202, Location: /v1/jobs/{id}
//	GET  /v1/jobs/{id}[/steps, /failures, /events]                       │ Prefer: wait=30
//	GET  /v1/jobs/{id}:watch ◀── Engine.Await ◀───────────────────────────┘
//	POST /v1/jobs/{id}:cancel, :pause, :resume, :retry, :extend, :pin, :unpin
//	     /v1/schedules[/{id}[/fires]] ─▶ Engine.Schedule
//
// It promises that whoever asks for a job by way of a schedule may ask for that job at once as well, that request
// headers come in and never go out, and that the owner of a job is who the credential says.
//
// It deliberately decides nothing about a job: its states and what may become of it are the engine's business.
package rest
