// Package notify keeps the journal of what happened, and tells those who want to know.
//
//	a job, run, version or host changes ── same transaction ──▶ Announce ──▶ events
//	                                                                           │ number: one at a time, after the commit
//	            Tail, List ◀── events in one order, without holes ◀────────────┤
//	                                                                           │ same transaction
//	                                            targets that want the type ──▶ notification_deliveries
//	                                                                           │ claimed by any manager, for 30 s
//	            HTTPS POST, signed ◀── egress ◀────────────────────────────────┘ ▲
//	                  └── no 2xx: again after 5 s, 10 s, … 1 h, for a day ───────┘
//
// An event is part of the transaction of its cause: there is none for a change that was undone, and none is missing for
// one that was committed. Its number is given afterwards, by whichever manager is first, because numbers given inside
// of transactions become visible in another order than they were given. Who has read up to a number has read everything
// before it.
//
// A delivery carries webhook-id, webhook-timestamp and webhook-signature as the Standard Webhooks specification has
// them: HMAC-SHA256 over "id.timestamp.body" under the target's secret. The id is the event's and stays the same when
// a delivery is repeated.
//
// It promises that an event reaches each target at least once or is given up with a reason that can be read; that a
// target that does not answer delays no other; that secrets lie sealed and never leave; and that
// nothing waits without a limit.
//
// It deliberately follows no redirects, keeps nothing of what targets answer but the status, and removes nothing by age:
// the retention policy of events does.
package notify
