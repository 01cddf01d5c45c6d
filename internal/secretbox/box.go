package secretbox

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/darter-p2p/darter"
)

// MaxSecret is the longest secret that is sealed: a certificate chain fits, a file is no secret.
const MaxSecret = 1 << 20

// Places in a sealed secret; see the drawing in doc.go.
const (
	format   = 1
	header   = 1 + idSize
	wrapped  = header + chacha20poly1305.NonceSizeX
	inner    = wrapped + keySize + chacha20poly1305.Overhead
	text     = inner + chacha20poly1305.NonceSizeX
	overhead = text + chacha20poly1305.Overhead
)

// Box seals and opens under the keys of one ring. It is safe for concurrent use and never changes: after a
// rotation, open the key file again.
type Box struct {
	keys []key // oldest first; the last one seals
}

// Seal encrypts secret for place, which has to be given again to open it. Every call gives other bytes.
func (b *Box) Seal(secret []byte, place string) ([]byte, error) {
	if len(secret) > MaxSecret {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "seal " + place, Err: fmt.Errorf("%d bytes, more than %d", len(secret), MaxSecret)}
	}
	var own [keySize]byte
	if _, err := rand.Read(own[:]); err != nil {
		return nil, &darter.Error{Op: "seal " + place, Err: err}
	}
	out := make([]byte, 0, overhead+len(secret))
	out, err := b.wrap(out, own[:])
	if err != nil {
		return nil, &darter.Error{Op: "seal " + place, Err: err}
	}
	nonce := fresh()
	out = append(out, nonce...)
	box, err := chacha20poly1305.NewX(own[:])
	if err != nil {
		return nil, &darter.Error{Op: "seal " + place, Err: err}
	}
	// Not bound to the ring's key id: Rewrap changes that and leaves these bytes alone.
	return box.Seal(out, nonce, secret, bound(place)), nil
}

// wrap appends the header and own, encrypted under the newest key.
func (b *Box) wrap(out, own []byte) ([]byte, error) {
	newest := b.keys[len(b.keys)-1]
	out = append(append(out, format), newest.id[:]...)
	head := bytes.Clone(out[len(out)-header:])
	nonce := fresh()
	box, err := chacha20poly1305.NewX(newest.secret[:])
	if err != nil {
		return nil, err
	}
	return box.Seal(append(out, nonce...), nonce, own, head), nil
}

// Open returns the secret that was sealed for place. It fails with
//
//   - Corrupt when the bytes were changed or shortened, or were sealed for another place,
//   - NotFound when the ring has no such key: the key file is not the one that sealed it.
func (b *Box) Open(sealed []byte, place string) ([]byte, error) {
	own, err := b.unwrap(sealed)
	if err != nil {
		return nil, refused("open secret of "+place, err)
	}
	box, err := chacha20poly1305.NewX(own)
	if err != nil {
		return nil, refused("open secret of "+place, err)
	}
	secret, err := box.Open(nil, sealed[inner:text], sealed[text:], bound(place))
	if err != nil {
		return nil, refused("open secret of "+place, errChanged)
	}
	return secret, nil
}

// Outdated reports whether sealed is under another key than the newest, so that Rewrap would change it.
func (b *Box) Outdated(sealed []byte) bool {
	newest := b.keys[len(b.keys)-1]
	return len(sealed) < overhead || !bytes.Equal(sealed[1:header], newest.id[:])
}

// Rewrap returns sealed under the newest key. The secret itself stays encrypted all the time. What is under
// the newest key already comes back as it is. Errors are those of Open, save that a wrong place goes unnoticed.
func (b *Box) Rewrap(sealed []byte) ([]byte, error) {
	own, err := b.unwrap(sealed)
	if err != nil {
		return nil, refused("rewrap secret", err)
	}
	if !b.Outdated(sealed) {
		return sealed, nil
	}
	out, err := b.wrap(make([]byte, 0, len(sealed)), own)
	if err != nil {
		return nil, refused("rewrap secret", err)
	}
	return append(out, sealed[inner:]...), nil
}

var (
	errChanged = errors.New("the sealed bytes were changed, cut, or belong elsewhere")
	errNoKey   = errors.New("sealed under a key that the key file does not have")
)

func (b *Box) unwrap(sealed []byte) ([]byte, error) {
	if len(sealed) < overhead || sealed[0] != format {
		return nil, errChanged
	}
	for _, k := range b.keys {
		if !bytes.Equal(k.id[:], sealed[1:header]) {
			continue
		}
		box, err := chacha20poly1305.NewX(k.secret[:])
		if err != nil {
			return nil, err
		}
		own, err := box.Open(nil, sealed[header:wrapped], sealed[wrapped:inner], sealed[:header])
		if err != nil {
			return nil, errChanged
		}
		return own, nil
	}
	return nil, errNoKey
}

func refused(op string, err error) error {
	e := &darter.Error{Kind: darter.Internal, Op: op, Err: err}
	switch {
	case errors.Is(err, errChanged):
		e.Kind, e.Hint = darter.Corrupt, "restore the row from a backup, or set the secret anew"
	case errors.Is(err, errNoKey):
		e.Kind, e.Hint = darter.NotFound, "point to the key file that this database was used with; keep old keys in it until everything is rewrapped"
	}
	return e
}

func bound(place string) []byte { return append([]byte{format}, place...) }

// fresh returns a nonce. 24 random bytes do not meet again. crypto/rand does not fail: it ends the process.
func fresh() []byte {
	nonce := make([]byte, chacha20poly1305.NonceSizeX)
	_, _ = rand.Read(nonce)
	return nonce
}
