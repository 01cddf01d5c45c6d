// Package liveness decides what to think of a host.
package liveness
