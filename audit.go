package darter

import "time"

// Actor is who asked for something, always taken from the credential and never from what was sent.
type Actor struct {
	Kind    string `json:"kind"`              // user, service, node, system
	ID      string `json:"id"`                // of the user, the service account, the certificate
	Name    string `json:"name,omitempty"`    // as people know it
	Method  string `json:"method,omitempty"`  // password, oidc, token, mtls, local
	Token   string `json:"token,omitempty"`   // id of the token, never the token
	Address string `json:"address,omitempty"` // where the request came from
}

// System is the actor of what a manager does by itself.
func System(part string) Actor { return Actor{Kind: "system", ID: part, Name: part} }

// Results of an AuditEvent.
const (
	AuditDone   = "done"
	AuditDenied = "denied"
	AuditFailed = "failed"
)

// AuditEvent is one change that somebody made or was refused. It is written in the transaction of the
// change. Before, After and Diff hold hashes or redacted text, never a secret.
type AuditEvent struct {
	ID       string    `json:"id"`
	At       time.Time `json:"at"`
	Actor    Actor     `json:"actor"`
	Action   string    `json:"action"`   // "policy.publish", "user.create", "session.open"
	Resource string    `json:"resource"` // "gc/policies/job", "users/01J…"
	Result   string    `json:"result"`
	Request  string    `json:"request_id,omitempty"`
	Reason   string    `json:"reason,omitempty"` // in the actor's words
	Before   string    `json:"before,omitempty"`
	After    string    `json:"after,omitempty"`
	Diff     []Change  `json:"diff,omitempty"`
}

// Change is one difference between two versions of a document.
type Change struct {
	Path   string `json:"path"` // "rules/2/after"
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}
