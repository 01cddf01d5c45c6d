// Package rest is how the manager's parts speak HTTP: one way to declare an operation, to refuse, to page, to
// be asked twice and to be asked what would happen.
//
//	request ─▶ API.Handler ─▶ Gate: who may? ─▶ once: key? dry run? ─▶ huma: parse, validate ─▶ handler
//	              │ verb split off the path       │ Journal: one transaction for the effect      │
//	              │ headers, access event         │ and its answer, or undone                    │ error
//	              ◀──────────────────────────── answer, or a problem (RFC 9457) with a stable code ◀┘
//
//	POST /v1/jobs/{id}:cancel   is routed as   POST /v1/jobs/{id}/:cancel   (decision 30)
//
// An operation is added with Add, which wants to know who may use it; a list is answered with List, which makes
// and checks signed page tokens; a stream of events with Stream. What a part's own errors mean to a caller it says
// with API.Explain.
//
// It promises that no operation exists without an access rule, that each refusal has a code which does not change,
// that the text of an internal error stays inside, that a repeated Idempotency-Key finds the first answer or none
// of the effect, and that a dry run leaves nothing behind.
//
// It deliberately knows no resource, no table and no credential: those come in through Gate and Journal.
package rest
