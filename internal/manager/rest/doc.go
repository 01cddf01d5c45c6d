// Package rest is what the manager says of itself, to people and probes.
//
//	GET /livez      200 while the process answers
//	GET /healthy    the same, for Harbor's connection test: a wrong credential is refused
//	GET /readyz     200 while the manager takes calls, else 503; how its components are
//	GET /v1/system  {"version", "commit", "go", "started"}
//
// It promises to answer without a credential, and to say nothing that needs one. It holds no state, and deliberately
// lets nothing be changed.
package rest
