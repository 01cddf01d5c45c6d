// Package swarmtest drives a swarm of the size of a large cluster, and tells what its steps cost.
//
//	Load ─▶ Build ─▶ Cluster ─▶ Die, Leave, Fill ─▶ Figures: longest step, total, how far it came
//
// It promises that the events follow from the Load alone; the times are those of the machine. It deliberately asserts
// nothing about them: limits are for benchmarks, run by a person on a quiet machine.
package swarmtest
