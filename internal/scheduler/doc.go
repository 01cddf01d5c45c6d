// Package scheduler is the scheduler role: it tells daemons who fetches what from whom.
//
//	snapshot of hosts ─▶ Remember ─▶ rpc.Server ◀─ listener
//	        ▲                            │
//	        └──── every 30s, at the end ─┘
//
// It promises that the hosts known before a restart are known after it, so that downloads register at
// once; a damaged snapshot is set aside and costs one announce interval. Tasks are deliberately not
// stored: running downloads register again with what they hold, and finished ones announce themselves
// when they are asked for.
package scheduler
