// Package rest puts the gate before the REST API, and brings people and nodes into it: set-up, sessions, users,
// roles, tokens, join tokens, certificates.
//
//	rest.Operation ─ Access ─▶ Front ─ Policy ─▶ gate.Gate ─▶ Caller ─▶ handler ─▶ account, enroll, oidc
//	                             ▲                  │ refused
//	                             └── Explain ◀──────┘ 401, 403, 405, 429
//
//	/v1/setup  /v1/sessions  /v1/users  /v1/role-bindings  /v1/roles  /v1/tokens  /v1/join-tokens  /v1/certificates
//
// It promises that a secret is in the one answer that it was made for and in no other, and that what a caller may do
// to others is decided in account, with the caller that the gate has proved.
//
// It deliberately decides nothing about rights itself, and takes no credential from a body or a query but those that
// signing in, set-up and joining are about.
package rest
