// Package auth has the words of who may do what: principals, permissions, scopes, roles. Its folders prove and
// enforce them.
//
//	browser ─ cookie ──────┐                                        route ─ Policy ─┐
//	script ── token ───────┼─▶ account ─▶ Principal{Rights, Scopes} ─▶ gate ────────┼─▶ handler
//	Harbor ── basic ───────┤      ▲                                     │ Check     │
//	node ──── certificate ─┘      │                                     └─ refused ─┘
//	identity provider ─▶ oidc ────┘          join token ─▶ enroll ─▶ certificate
//
//	secret    the texts that are shown once: dtr_…, dts_…, dtj_…, dtu_…
//	password  argon2id
//	account   users, roles, bindings, sessions, tokens, set-up: rows and their rules
//	gate      no route without a policy; rates; CSRF
//	oidc      sign-in at an identity provider
//	enroll    join tokens and certificates of nodes
//
// A permission is "resource.verb", from a closed list. A grant gives one in a cluster or everywhere. A role is a
// list of grants; a binding gives a role to a user, in a cluster or everywhere. A token has scopes,
// "verb:resource[:cluster]", and may do what its scopes and its owner's rights both allow.
//
// It promises that the zero Principal may do nothing that is not public, that nobody can grant what they do not
// have, and that secrets appear in no row, log, error or audit event.
//
// This folder itself decides from data alone; it only carries the tables of the others.
package auth
