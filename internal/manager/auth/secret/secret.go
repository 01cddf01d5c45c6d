package secret

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"strings"
)

// Purpose is what a text is for; it begins with it.
type Purpose string

// The purposes.
const (
	Token   Purpose = "dtr"
	Session Purpose = "dts"
	Join    Purpose = "dtj"
	Setup   Purpose = "dtu"
	Flow    Purpose = "dtf" // a sign-in under way at an identity provider
)

const (
	idLength   = 26
	bodyLength = 52 // 256 bits in base 32
	bodyBytes  = 32
)

// Secret is a text together with its id. Its String does not show it; Text does.
type Secret struct {
	Purpose Purpose
	ID      string // upper case, as rows have it
	body    string
}

var errMalformed = errors.New("not of the form of such a secret")

// New makes a secret for the row with that id, a ULID.
func New(p Purpose, id string) Secret {
	var b [bodyBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	return Secret{Purpose: p, ID: id, body: encode(b[:])}
}

// Parse reads a text that is for p.
func Parse(p Purpose, text string) (Secret, error) {
	rest, ok := strings.CutPrefix(text, string(p)+"_")
	if !ok || len(rest) != idLength+1+bodyLength || rest[idLength] != '_' {
		return Secret{}, errMalformed
	}
	id, body := rest[:idLength], rest[idLength+1:]
	if strings.Trim(id, "0123456789abcdefghjkmnpqrstvwxyz") != "" {
		return Secret{}, errMalformed
	}
	if b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(body)); err != nil || encode(b) != body {
		return Secret{}, errMalformed
	}
	return Secret{Purpose: p, ID: strings.ToUpper(id), body: body}, nil
}

// Text returns the secret itself, to be shown once or sent.
func (s Secret) Text() string {
	return string(s.Purpose) + "_" + strings.ToLower(s.ID) + "_" + s.body
}

// Hash returns what is stored.
func (s Secret) Hash() string {
	sum := sha256.Sum256([]byte(s.body))
	return hex.EncodeToString(sum[:])
}

// Matches compares with what is stored, in constant time.
func (s Secret) Matches(hash string) bool {
	return s.body != "" && subtle.ConstantTimeCompare([]byte(s.Hash()), []byte(hash)) == 1
}

// Derive returns another secret text that follows from this one and a label. It does not lead back.
func (s Secret) Derive(label string) string {
	mac := hmac.New(sha256.New, []byte(s.body))
	_, _ = mac.Write([]byte(label)) // never fails
	return encode(mac.Sum(nil))
}

// String shows which secret it is, and not the secret.
func (s Secret) String() string { return string(s.Purpose) + "_" + strings.ToLower(s.ID) + "_…" }

// GoString is String, for %#v.
func (s Secret) GoString() string { return s.String() }

func encode(b []byte) string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}
