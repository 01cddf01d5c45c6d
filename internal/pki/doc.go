// Package pki gives every process of a cluster a name that it can prove, and says which roles may do what.
//
//	darter admin ca init ──▶ Authority (ca.pem, ca.key)
//	                            │ Sign(request, Grant)
//	join token ─▶ request ──────┤
//	old certificate ─▶ request ─┘──▶ node.pem + trust.pem ──▶ Source ──▶ tls.Config of servers and clients
//	                                     ▲                      │ reloads when the files change
//	                     Renewer, after two thirds of its life ─┘
//	call ──▶ Identity of the peer ──▶ Methods: may this role call this method?
//
// A certificate's name is one URI, in SPIFFE's form, so that other systems can read it:
//
//	spiffe://darter/role/daemon/cluster/eu-1/node/host-17
//	spiffe://darter/role/manager/node/m-0          a manager stands above clusters
//
// The files:
//
//	ca.pem     certificates that are trusted; the first one signs. More than one while an authority is replaced
//	ca.key     the signing key, PKCS8, 0600
//	node.pem   this process's key and its chain in one file, 0600, so that they change together
//	trust.pem  certificates that are trusted
//
// It promises that a peer is known by chain and role, never by host name alone: a daemon's certificate does
// not make a scheduler, whatever its address; that a method nobody listed is refused; that a file that does not
// load leaves the certificates before it in use; and that keys never leave the machine they were made on.
//
// It deliberately has no revocation lists of its own (Source asks a function), no ACME, and no store for join
// tokens: internal/manager/auth keeps those.
package pki
