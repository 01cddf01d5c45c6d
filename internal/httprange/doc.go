// Package httprange reads and writes byte ranges as HTTP spells them (RFC 9110, section 14).
//
//	Range: bytes=0-99 | bytes=100- | bytes=-50 ─▶ Parse ──────────────▶ darter.Range
//	darter.Span ─▶ Format ─▶ Range: bytes=0-99
//	Content-Range: bytes 0-99/1000 ─▶ ParseContentRange ─▶ darter.Span, total
//
// It promises that what it returns lies inside the content and never overflows, whatever the text was.
// It deliberately takes one range only: answers in several parts are nothing that Darter serves or asks for.
package httprange
