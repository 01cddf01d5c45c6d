// Package source fetches content from outside the cluster.
//
//	Request ─▶ Mux, by the URL's scheme ─┬─▶ source/http
//	                                     └─▶ others, as they are written
//
//	Stat: length, ranges, version      Open: bytes of one span, or an error that says why not
//
// It promises that a body ends cleanly only after exactly the bytes that were asked for, and that bytes
// of a content that changed since Stat are never handed out as the old one's.
//
// It deliberately keeps no copies, resumes nothing and verifies no digests: fetch asks again for what
// is missing, and the store checks what arrived.
package source
