// Command bench measures Darter beside nginx and curl on one machine, in the same run.
//
//	scenario ─┬─ shaped: lab of network namespaces ──▶ time of the last byte / bound
//	          └─ cpu:    loopback                  ──▶ CPU seconds per GiB, latency, memory
//	each run  ──▶ one JSON line in bench/out ──▶ table: min, median, max, target
//
// It promises that every output's sha256 was checked, that origin traffic is read from nginx's
// log and not from the system under test, and that shaped runs and CPU runs never overlap, in one
// run or two. It deliberately does not compare with other systems: their figures need their own
// conditions, see README.md.
package main
