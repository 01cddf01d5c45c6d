// Package rest is the manager's side towards people and probes, over HTTP.
//
//	GET /livez      200 while the process answers
//	GET /healthy    the same, under the name that Dragonfly's probes use
//	GET /readyz     200 while the manager takes calls, else 503
//	GET /v1/system  {"version", "commit", "go", "started"}
//	anything else   404 or 405, as application/problem+json
//
// It promises to refuse what it does not know, and to say so in a form a program can read. It holds no
// state but whether it is ready, and deliberately lets nothing be changed.
package rest
