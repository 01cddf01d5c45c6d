// Package egress decides where this process may go on behalf of somebody else, and sees to it that it goes there.
//
//	URL ─▶ scheme, user, host by name ─▶ resolve once ─▶ every address by class ─▶ dial a checked address
//	          │ Rules (pure)                               │ Classify (pure)            │
//	          └──────────────── refused: ErrDenied, with the rule that did it ◀─────────┘
//	redirect ─▶ the same again for every hop, five at most, credentials left behind at another origin
//
// A URL given by a client is a way to make this process knock at doors that the client cannot reach: the
// metadata service of a cloud, its own loopback, the management network. Looking at the name is not enough,
// since a name may answer with one address when it is checked and another when it is used; so the check sits
// under the dial, and what is dialled is the address that was looked at.
//
// It promises that
//
//   - no connection is opened to an unspecified, loopback, link-local, multicast, reserved or metadata address,
//     however it is written (mapped, translated, tunnelled), unless the operator listed the prefix in
//     Config.Exempt; metadata services and this process's own listeners not even then;
//   - private addresses are reached only for hosts that are listed in Config.Private;
//   - one bad address among those of a name refuses the name: who answers so means harm or is misconfigured;
//   - proxies from the environment are not used, because the check would then see the proxy only.
//
// It deliberately does not look into what is transferred, limit how much, or know about users.
package egress
