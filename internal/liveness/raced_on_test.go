//go:build race

package liveness_test

// raced tells that the race detector is on: a pure core has nothing for it to find, and days of a large cluster take it minutes.
const raced = true
