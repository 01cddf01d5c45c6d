// Package account keeps users, roles, sessions and tokens, and turns a credential into a Principal.
//
//	credential ─▶ remembered? ──yes, and fresh──▶ Principal
//	                 │ no                            ▲
//	                 └──▶ rows: user, bindings, roles ┘
//	change ─▶ one transaction: version + 1, rows, audit event, notice ─▶ every manager forgets what it remembers
//
// It promises that
//
//   - a change of rights, a revocation or a disabled user counts in this manager at once and in the others as
//     soon as the notice is there, at the latest after Config.Fresh: what is remembered counts only as long as
//     the version was looked at within that time, so a manager that is cut off from the database trusts
//     nothing it remembers;
//   - rows hold hashes of secrets, never secrets; a secret is returned once, when it is made;
//   - signing in says the same, after the same work, for a wrong password and a name that does not exist; it
//     slows down and locks per name and network, and per name;
//   - nobody grants, or takes over by a password or token, rights that they do not have, and one user who is
//     an administrator everywhere always remains;
//   - each change and each sign-in, also a failed one, has its audit event in the same transaction.
//
// Times are by the manager's clock. Invalid tokens and sessions are counted (Events.Refused), not audited: whoever
// sends them should not be able to fill the audit table.
//
// It deliberately does not read requests or cookies; gate does.
package account
