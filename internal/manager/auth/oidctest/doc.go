// Package oidctest is an identity provider for tests.
//
//	/.well-known/openid-configuration, /keys, /token; Agree is what happens at its page
//
// It promises to refuse a code without its verifier, used twice, or from another client. It deliberately has no users.
package oidctest
