// Package jobs keeps the manager's jobs: it takes them in, hands their parts to who can do them, and says honestly how
// they ended.
//
//	Enqueue ─▶ job, resolve step ─▶ a manager: which contents, which clusters ─▶ dispatch steps, items
//	                                                                                │ Claim
//	schedulers (package rpc below) ◀── orders, words to stop ── lease, epoch ───────┤
//	managers, for plain schedulers ◀─────────────────────────────────────────────────┘
//	       └──▶ Heartbeat, Report ─▶ sets of hosts per item ─▶ machine.Job.Step ─▶ state, events ─▶ Watch
//
//	jobs ─┬─ job_steps ── job_items, job_target_failures
//	      └─ job_events                                   schedules ── schedule_fires
//
// Any manager on the same database can serve any job: nothing of a job lies in memory. Every change is one transaction
// that loads the job under its row's lock, lets package machine decide, and writes what came out.
//
// It promises that a job is enqueued with the transaction it belongs to or not at all; that a step has one holder, and
// that one who lost its lease can write nothing; that progress reported is never lost and never counted twice; that a
// schedule fires once for each of its times; that no tenant's jobs delay another's first; and that a job which
// did not do all that it was asked to never says succeeded. Request headers lie sealed, and only until the job is over.
//
// It deliberately does not move bytes, decides no state by itself (package machine does), knows no status codes, and
// cleans nothing: old jobs are the business of whoever keeps the retention policy.
package jobs
