// Package rpc is the scheduler's side of the API: the scheduler.v2.Scheduler service around one swarm.
//
//	AnnounceHost, DeleteHost ─┐                      ┌─▶ queue of a stream ─▶ AnnouncePeer responses
//	AnnouncePeer messages ────┼─▶ hub ─▶ swarm.Step ─┼─▶ trigger ─▶ DfdaemonUpload.DownloadTask at a seed
//	health checks, timer ─────┘    (one lock)        └─▶ Events
//
// It promises that response headers leave at once; that a stream is read as fast as it is written, and
// ended with OK right after the client's terminal message; that a client that does not read what it is
// sent costs a bounded queue and then its stream; that no network I/O happens under the lock; and that request
// headers go to a triggered seed and nowhere else, and are forgotten with the stream they came on.
//
// It deliberately serves no persistent, cache or preheat calls: those are answered UNIMPLEMENTED.
package rpc
