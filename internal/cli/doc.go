// Package cli is what a person at a terminal meets: get, status, host, task and version.
//
//	get ─▶ target ─▶ Getter (a daemon over its socket, else an engine of our own) ─▶ hidden part file ─▶ verified name
//	                   └─▶ Sink ─▶ meter ─▶ progress on stderr, one JSON object on stdout
//	status, host, task ─▶ Daemon, Cluster ─▶ table, json, yaml
//
// It promises that stdout is data and stderr is everything else, that no file gets its final name
// before its length and digest matched, that every failure says what happened, why and what to do, and
// that exit codes come from one table (exit.go). It deliberately knows neither gRPC nor how bytes are
// fetched: its folder rpc speaks to daemons and schedulers, and the wiring hands in both.
package cli
