// Command darter is all of Darter: the roles, and the tools that talk to them.
//
//	main ─▶ signals ─▶ command tree ─▶ get, status, host, task        (package cli)
//	                              ├─▶ config show, check, schema      (package config)
//	                              └─▶ manager, scheduler, daemon, up  ─▶ listeners ─▶ roles ─▶ ready
//
// It holds the wiring only: it opens listeners, so that port 0 works and the real addresses can be shown,
// hands them to the roles, and binds their events to telemetry. Roles in one process meet over
// the API, as they do on different machines.
package main
