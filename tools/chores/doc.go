// Command chores does what the Makefile would otherwise need shell for: it says which programs are
// missing, and finds the tests that take a seed, a golden file or a fuzzer and runs them one by one.
//
//	make fuzz ─▶ chores fuzz ─▶ func Fuzz… in *_test.go ─▶ go test -fuzz, one target at a time
//
// It is a module of its own, so that what it needs never reaches the product.
package main
