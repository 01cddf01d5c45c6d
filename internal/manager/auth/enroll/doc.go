// Package enroll lets nodes into the cluster: join tokens, certificates, renewal, revocation.
//
//	operator ─▶ Invite ─▶ row (hash) ─▶ text: token and the authority's pin ─▶ node
//	node ─▶ key and request ─▶ Redeem: token good? once? name fits? ─▶ signed ─▶ row per certificate
//	node, two thirds later ─▶ Renew, over a connection with its certificate ─▶ signed for the same identity
//	operator ─▶ Revoke a node ─▶ its certificates are refused here within seconds, and never renewed
//
// It promises that a token makes one certificate, for the role, cluster and names it was made for and no others;
// that a node of a revoked certificate cannot renew it; and that every step has its audit event in the same
// transaction.
//
// Revocation is known to managers. Schedulers and daemons are not told: there a revoked certificate ends with its
// life, which an invitation can make short.
package enroll
