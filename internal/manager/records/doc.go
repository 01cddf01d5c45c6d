// Package records reclaims rows of the manager's tables: jobs that are over, audit events, run records.
//
//	schedule, person, API, pressure ──▶ queued run          Preview(spec) ──▶ impact
//	                                        │                   │ the same planner,
//	            leader of the kind (lease) ─┤                   │ on a handle that cannot write
//	                                        ▼                   ▼
//	  policy in force + groups and counts ──▶ retention.Slices ──▶ plan, frozen: gc_plans
//	                                        │ blast guard: needs_confirmation
//	                                        ▼
//	  batch: ┌─ one transaction ─────────────────────────────────────────────┐
//	         │ Hold(lease) · select after the cursor, skip what others lock   │──▶ gc.Pacer: size, rest
//	         │ delete children · delete rows · gc_runs: counters and cursor   │
//	         │ gc_run_batches: first, last, rows                              │
//	         └────────────────────────────────────────────────────────────────┘
//
// It promises that a plan changes nothing but gc_plans, that a run removes only what its plan froze and
// at most five in a hundred more rows than it counted, that rows and the record of their removal are
// committed together, that one process at a time acts for a kind and a former one commits nothing, that
// a run which lost its process goes on from its cursor in another, and that non-terminal, pinned,
// referenced and last-N rows stay.
//
// It deliberately knows no table but its own: what can be reclaimed is described by a Table, and which
// policy is in force is asked of Policies.
package records
