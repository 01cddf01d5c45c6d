// Package authtest has what tests of several folders here need: a clock that a test moves, and an audit trail
// in a table, so that a test sees what was committed and not merely what was called.
package authtest
