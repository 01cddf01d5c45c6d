// Package gate stands between requests and handlers: a route exists only together with a policy.
//
//	request ─▶ address, id ─▶ route ─▶ bucket of the address ─▶ credential ─▶ bucket of the principal
//	              │                                                │
//	              │        Authorization header, else cookie, else certificate
//	              ▼                                                ▼
//	        policy: public · authenticated · permission · node ─▶ CSRF ─▶ body limit ─▶ handler, with auth.From(ctx)
//	              └── none declared: refused, and Check says which
//
// It promises that a route without a policy refuses everybody, that a changing request which a browser sends by
// itself (cookie) carries the session's CSRF token and comes from the same origin, that credentials in a URL are
// never looked at, that guessing credentials is slowed down per network, and that handlers find the caller in the
// context and nowhere else.
//
// It deliberately knows no status codes and no bodies of answers: Config.Refuse writes them. And it does not know
// what is in a request: what belongs to a cluster named in a body is checked by the handler, with Principal.May.
package gate
