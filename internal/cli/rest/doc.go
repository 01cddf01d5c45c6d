// Package rest speaks the manager's REST API for the commands: over its unix socket, or HTTP with a token.
//
//	Request ─▶ headers: token, If-Match, Idempotency-Key ─▶ manager ─┬─▶ Answer: body, ETag, Location
//	   ▲ again, with the same key: unreachable, 429, 503             └─▶ Problem ─▶ darter.Error with a hint
//	Pages ─▶ one request per page, until next_page_token is empty
//	Follow ─▶ events, as they come ─▶ broken off? again from Last-Event-ID
//
// It promises that a request which changes something is sent again only with the key that makes it count
// once, that no answer is read past its limit, that a token goes nowhere but to the manager it is for, and
// is in no error. It deliberately knows no resource: what an answer means is for those who asked.
package rest
