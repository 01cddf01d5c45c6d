package secretbox

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/atomicfile"
	"github.com/darter-p2p/darter/internal/privatefile"
)

const (
	idSize  = 8
	keySize = 32

	lineMark = "darter-key-1"
	maxFile  = 64 << 10
	maxKeys  = 256
)

type key struct {
	id     [idSize]byte
	secret [keySize]byte
}

// Load opens the key file at path. Errors are those of privatefile.Read, and Invalid when it is no key file.
func Load(path string) (*Box, error) {
	data, err := privatefile.Read(path, maxFile)
	if err != nil {
		return nil, err
	}
	keys, err := parse(data)
	if err != nil {
		return nil, &darter.Error{Kind: darter.Invalid, Op: "read key file " + path, Hint: "restore it from a backup; without it the sealed secrets are lost", Err: err}
	}
	return &Box{keys: keys}, nil
}

// Create writes a key file with one new key, and fails with Conflict when there is a file already.
func Create(path string, now time.Time) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, privatefile.Mode)
	switch {
	case errors.Is(err, fs.ErrExist):
		return &darter.Error{Kind: darter.Conflict, Op: "create key file " + path, Hint: "use it, or move it away if nothing was sealed with it", Err: fs.ErrExist}
	case err != nil:
		return &darter.Error{Kind: darter.Unavailable, Op: "create key file " + path, Err: err}
	}
	if err := f.Close(); err != nil {
		return &darter.Error{Kind: darter.Unavailable, Op: "create key file " + path, Err: err}
	}
	if err := atomicfile.Write(path, line(now), privatefile.Mode); err != nil {
		return &darter.Error{Kind: darter.Unavailable, Op: "create key file " + path, Err: err}
	}
	return nil
}

// Rotate adds a new key, which seals from the next Load on. The keys before it stay, so that what they sealed
// still opens; take their lines out once nothing is Outdated.
func Rotate(path string, now time.Time) error {
	if _, err := Load(path); err != nil {
		return err
	}
	data, err := privatefile.Read(path, maxFile)
	if err != nil {
		return err
	}
	if !bytes.HasSuffix(data, []byte("\n")) {
		data = append(data, '\n')
	}
	data = append(data, line(now)...)
	if _, err := parse(data); err != nil || len(data) > maxFile {
		return &darter.Error{Kind: darter.Invalid, Op: "rotate key file " + path, Hint: "take out keys that nothing is sealed with any more",
			Err: errors.Join(err, fmt.Errorf("%d bytes; at most %d, and %d keys", len(data), maxFile, maxKeys))}
	}
	if err := atomicfile.Write(path, data, privatefile.Mode); err != nil {
		return &darter.Error{Kind: darter.Unavailable, Op: "rotate key file " + path, Err: err}
	}
	return nil
}

// line returns a new key as a line of the file.
func line(now time.Time) []byte {
	var k key
	_, _ = rand.Read(k.id[:])
	_, _ = rand.Read(k.secret[:])
	return fmt.Appendf(nil, "%s %x %s # %s\n", lineMark, k.id, base64.RawURLEncoding.EncodeToString(k.secret[:]), now.UTC().Format(time.DateOnly))
}

// parse reads a key file. Its errors name lines, never what stands in them.
func parse(data []byte) ([]key, error) {
	var keys []key
	at := 0
	for text := range strings.Lines(string(data)) {
		at++
		text, _, _ = strings.Cut(text, "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		k, err := parseKey(fields)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", at, err)
		}
		for _, other := range keys {
			if other.id == k.id {
				return nil, fmt.Errorf("line %d: the id of an earlier line", at)
			}
		}
		if keys = append(keys, k); len(keys) > maxKeys {
			return nil, fmt.Errorf("more than %d keys", maxKeys)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no key in it")
	}
	return keys, nil
}

func parseKey(fields []string) (key, error) {
	var k key
	if len(fields) != 3 || fields[0] != lineMark {
		return k, fmt.Errorf("not of the form %s <id> <key>", lineMark)
	}
	if n, err := hex.Decode(k.id[:], []byte(clip(fields[1], 2*idSize))); err != nil || n != idSize || len(fields[1]) != 2*idSize {
		return k, fmt.Errorf("the id is not %d hex digits", 2*idSize)
	}
	secret, err := base64.RawURLEncoding.Strict().DecodeString(fields[2])
	if err != nil || len(secret) != keySize {
		return k, fmt.Errorf("the key is not %d bytes as base64url", keySize)
	}
	if bytes.Count(secret, secret[:1]) == keySize {
		return k, errors.New("the key is one byte over and over: an example, not a key")
	}
	copy(k.secret[:], secret)
	return k, nil
}

func clip(s string, n int) string { return s[:min(len(s), n)] }
