// Package config holds every setting of Darter in one struct, and the layers that fill it.
//
//	defaults ─▶ file ─▶ drop-in folder ─▶ DARTER_… environment ─▶ flags ─▶ Validate ─▶ Config
//	               └───────── Origins: which layer won, per key ─────────┘
//
// A setting is one struct field. Its tags name it everywhere: yaml in files, env behind
// DARTER_<SECTION>_, flag on the command line, doc in help, schema and reference. So the four names
// never drift apart, and a test demands all of them.
//
// It promises that an unknown key is an error with line and column, that all wrong values are
// reported at once, each with what to do, and that secrets are masked in what it prints. It
// deliberately opens no listener and makes no folder: the wiring does.
package config
