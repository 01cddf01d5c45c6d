// Package oidc signs people in at an identity provider: OpenID Connect, authorization code with PKCE.
//
//	browser ─▶ Begin ─▶ row (hash of the flow), cookie (the flow) ─▶ provider: who are you?
//	   ▲                                                                │ code, state
//	   └── Finish: cookie = state? row taken away, once ─▶ code + verifier ─▶ ID token: signature, issuer,
//	                                                       audience, time, nonce ─▶ groups ─▶ roles
//
// State, nonce and PKCE verifier follow from one secret in the browser's cookie, so that no row or log holds them,
// any manager can finish what another began, and a code that was begun elsewhere is of no use here.
//
// It promises that a flow is used once, within ten minutes, in the browser that began it; that where one returns to
// is a path of this host; that an ID token with another issuer, audience, nonce or an old signature is refused; and
// that a provider which is away makes signing in Unavailable and nothing else.
//
// It deliberately keeps no tokens of the provider: who somebody is, is asked once per session.
package oidc
