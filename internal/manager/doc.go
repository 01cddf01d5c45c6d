// Package manager is the role that tells daemons which schedulers there are.
//
//	daemon ────ListSchedulers──────────▶ rpc ──▶ roster ◀── Config.Schedulers (always there)
//	scheduler ─UpdateScheduler, KeepAlive▶ rpc ──▶   │   ◀── announced, with a time to live
//	a person, a probe ───GET /livez, /v1/system──▶ rest
//
// It promises that a scheduler is listed only while it is configured or keeps itself alive, that
// everything it does not know answers with a clear refusal, and that it ends when its context does.
//
// It keeps nothing on disk: announced schedulers come back by themselves within a few seconds of a
// restart, and daemons keep their last list. Policies, jobs, records, users and the console have
// no place here yet, and nothing pretends that they do: their calls are refused.
package manager
