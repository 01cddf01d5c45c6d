// Package identity computes the names of tasks, hosts and peers exactly as the released Dragonfly
// daemon does, so that both kinds of daemon meet in one swarm.
//
//	Want.ContentForID ───────────────────────────────▶ sha256(text)     ─┐
//	Want.URL, DigestAsID, a registry blob's sha256 ──▶ the digest's hex ─┼─▶ TaskID
//	Want.URL ─▶ Canonical ─▶ + tag, application, revision, length ─▶ sha256 ─┘
//
//	ip, hostname[, uuid][, seed] ──▶ HostID, PeerID
//	URL ──▶ Redact ──▶ text for logs and sidecars
//
// It promises the same id for the same request on every machine and in every version: an id is an
// address, and a change here splits every swarm in two. Quirks of the reference are kept, not mended:
// fields are joined without separators, and a query is written anew in its original order even when
// nothing was filtered out of it.
//
// It deliberately keeps no list of known tasks, reads no files and knows no network. It also does not
// judge whether a URL can be fetched: that is the business of package source.
package identity
