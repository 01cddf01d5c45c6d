// Package machine decides what becomes of a job.
//
//	claim, report, end, cancel, pause, tick ─▶ Job.Step(now, Event) ─▶ the job changed, and []Effect:
//	                                                                   Moved · Stopped · Rescued · Retried
//
//	queued ─▶ resolving ─▶ running ─▶ succeeded
//	  │ ▲         │          │ │ ├──▶ partially_succeeded
//	  │ └─────────┴─backoff──┘ │ └──▶ failed
//	  ├──────▶ expired         ├──▶ canceling ─▶ canceled
//	  └──────▶ canceled        └──⇄ paused
//
// A job is a row of steps. Each step is leased by itself: a claim raises its epoch, and whoever speaks with
// an older epoch is refused, so that a holder that was given up cannot change anything any more. The state of
// the job follows from its steps.
//
// It promises that terminal states never change, that an event that is refused changes nothing, that a step has one
// holder at most, and that epochs only grow. It deliberately knows no clock, database or network: the caller
// says what time it is and keeps what comes out.
package machine
