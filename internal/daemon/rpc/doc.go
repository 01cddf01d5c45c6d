// Package rpc is the daemon's crossing to the network: what it serves to others and what it asks of
// them, in Dragonfly's API over gRPC, with pieces over vortex.
//
//	scheduler ──DownloadTask──▶ Upload ──▶ Downloads (fetch)        local client ──socket──▶ download server
//	child ──SyncPieces────────▶ Upload ──▶ Tasks (store)            fetch ──▶ Schedulers ──▶ scheduler
//	                                                                fetch ──▶ Neighbours ──▶ parent
//
// It promises that nothing but this folder of the daemon sees a generated message or a status code,
// that every stream and wait is bounded, and that request headers, which may hold credentials, are
// never sent back to anyone.
//
// It decides nothing: which pieces to ask of whom is fetch's business, what to keep is the store's.
package rpc
