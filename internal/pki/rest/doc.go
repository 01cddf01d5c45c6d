// Package rest is a node's side of enrolment: it asks a manager's REST API for this process's certificate, keeps it, and
// has it renewed.
//
//	node.pem kept? ── yes ──────────────────────────────────────────────┐
//	   │ no, or it has run out                                          ▼
//	join text ─▶ key, request ─▶ POST certificates:join ─▶ saved ─▶ pki.Source ─▶ tls.Config of connections
//	             (the manager is known by the text's pin)             ▲   │ two thirds of its life
//	                                                                  └── POST certificates:renew, with the certificate
//
// It promises that a key never leaves the machine; that a join text is not looked at while there is a certificate that
// works, so that it may stay in a configuration after its one use; and that a node which was told to join never goes on
// without a certificate.
//
// It deliberately tries a join again only where the manager cannot have taken the token: nobody listened, or it said
// "later". An answer that got lost costs a new token.
package rest
