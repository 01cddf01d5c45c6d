//go:build !race

package liveness_test

// raced tells that the race detector is on.
const raced = false
