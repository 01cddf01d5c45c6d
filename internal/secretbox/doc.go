// Package secretbox keeps secrets in a database so that the database alone does not give them away.
//
//	secret ──▶ XChaCha20-Poly1305 under a key of its own ──┐
//	                        │                              ├──▶ sealed bytes ──▶ a column
//	its own key ──▶ XChaCha20-Poly1305 under the ring's ───┘
//	                        ▲
//	key file (0600) ──▶ ring: the newest key seals, older ones still open
//
// A sealed secret:
//
//	offset  size  what
//	0       1     format, 1
//	1       8     id of the ring's key
//	9       24    nonce of the wrapped key
//	33      48    wrapped key: 32 bytes and a tag of 16
//	81      24    nonce of the secret
//	105     n+16  the secret and its tag
//
// The wrapped key is bound to the nine bytes before it, and the secret to its place: a text that the caller
// gives, such as "registry/01J…/password". Bytes copied into another row do not open there.
//
// The key file is text, one line per key, oldest first; what follows # is a remark:
//
//	darter-key-1 <16 hex digits: id> <43 base64url digits: key> # 2026-11-21
//
// It promises that a changed, shortened or moved secret does not open; that a new key takes over without
// touching what is sealed (Box.Rewrap moves a secret to it without ever decrypting the secret); and that a key
// file that others can read is refused.
//
// It deliberately does not hide how long a secret is, does not talk to key services, and does not compress.
package secretbox
