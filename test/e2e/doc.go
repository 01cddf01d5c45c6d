// Package e2e proves the binary from outside: real processes, real sockets, real files.
//
//	TestMain ── go build ──▶ darter
//	   test ──▶ Cluster: scheduler, seed, daemons (processes, port 0, a folder each)
//	        ──▶ Origin: in the test's process; counts the body bytes of every path
//	        ──▶ darter get ... ──▶ sha256 of what arrived, exit code, the origin's count
//
// It promises that faults hit at a known point (the origin holds back the rest of a body until the
// fault has happened) and that nothing waits for time to pass: every wait is for a fact and has an
// end. It deliberately asserts nothing about speed; that is for bench.
package e2e
