// Package rest shows the journal of events and keeps the targets that are told of them, over HTTP.
//
//	GET /v1/events, /v1/events:stream ◀── Notifier.List, Await            Last-Event-ID: go on; gap: some are gone
//	    /v1/notifications[/{id}[/deliveries]], :test ─▶ Notifier ─▶ targets
//
// It promises that a target's secret is in the answer that made it and in no other, and that a reader who comes back
// with the last id misses nothing that is still kept, or is told of the gap.
//
// It deliberately keeps nothing for slow readers: the journal does.
package rest
