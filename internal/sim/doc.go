// Package sim runs whole swarms in virtual time: the real swarm core, the real piece selection, and a model of
// everything between them.
//
//	Config ─▶ World ─▶ hosts (download shell + pick.Picker, piece server)
//	           │          ▲ offers, assignments      │ reports        bodies over shared links
//	           │          └── scheduler (swarm.Swarm) ◀┘              network, max-min fair
//	           └─▶ faults by seed ─▶ checks after every step ─▶ Result
//
// The download shell says in a hundred lines what package fetch does with goroutines and streams; the piece server
// follows the discipline of package vortex. Links are fluid: what a host sends and receives is shared among its bodies
// by max-min fairness, with weights that differ from body to body because real connections are not equal.
//
// It promises that the same Config gives the same Result, and that what the cores promise is checked after every step:
// no piece has two live source-goers, nobody is offered itself, its own host, somebody who left or whom it
// blocked, no byte is taken unchecked, and every live host finishes. In worlds where nobody crashes and nothing is lost
// the origin sends each byte exactly once.
//
// It deliberately models no disk, no CPU and no TCP slow start: where those are the limit, only the
// benchmarks tell.
package sim
