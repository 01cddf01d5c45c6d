// Package livenesstest drives rosters for tests and benchmarks: World is a seeded cluster with everything that goes wrong
// in one, Crowd is a great many well-behaved hosts to measure with.
package livenesstest
