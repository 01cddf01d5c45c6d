// Package rpc connects a control.Agent: upwards to a manager, by a stream of darter.v1.Control that it keeps open;
// downwards to daemons, by DfdaemonUpload.
//
//	manager ◀── Hello, Heartbeat, Report ── Link ◀── Agent.Held, Agent.Reports
//	        ──▶ Order, Word, Ack ─────────▶ Link ──▶ Agent.Take, Word, Acked
//
//	manager ◀── UpdateScheduler, KeepAlive ── Enlistment ──▶ Changed: what the manager says of the cluster ─▶ file
//
//	manager ◀── Tell: table, changes, answers ── Teller ◀── Roll: what is thought of hosts
//	        ──▶ drain, forget, release ───────▶ Teller ──▶ Roll
//
//	Agent ──▶ Daemons ── DownloadTask, StatLocalTask, DeleteTask ──▶ daemon
//
// It promises that a broken stream is opened again, after a wait that grows, with the leases that the agent holds; and
// that reports leave at most once a second, heartbeats as often as the manager asked for. It deliberately decides
// nothing: the agent does.
package rpc
