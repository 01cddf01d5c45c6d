// Package rig starts programs of this repository as real processes and watches them from outside.
//
//	Command ──▶ Start ──▶ Process ──▶ WaitReady   the "ready" line of its log: what listens where
//	                         │        Stop, Kill  by its own process id
//	                         └──────▶ Log         everything it printed
//	Lab: a network namespace per host, whose cable can be pulled and whose packets can be lost
//
// It promises that every wait ends with its context and that a process it started can be ended
// without knowing its name. It deliberately knows nothing about what the programs do, and looks at
// them only through what a user sees: files, addresses, exit codes.
package rig
