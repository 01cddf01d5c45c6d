package secretbox_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/secretbox"
)

func keyFile(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	if err := secretbox.Create(path, time.Unix(1800000000, 0)); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t testing.TB, path string) *secretbox.Box {
	t.Helper()
	b, err := secretbox.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func seal(t testing.TB, b *secretbox.Box, secret, place string) []byte {
	t.Helper()
	sealed, err := b.Seal([]byte(secret), place)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestSealedSecretOpensOnlyAtItsPlace(t *testing.T) {
	b := load(t, keyFile(t))
	rapid.Check(t, func(r *rapid.T) {
		secret := rapid.SliceOf(rapid.Byte()).Draw(r, "secret")
		place := rapid.String().Draw(r, "place")
		other := rapid.String().Filter(func(s string) bool { return s != place }).Draw(r, "other place")
		sealed, err := b.Seal(secret, place)
		if err != nil {
			r.Fatal(err)
		}
		if len(secret) > 3 && bytes.Contains(sealed, secret) {
			r.Fatal("the secret is readable")
		}
		if got, err := b.Open(sealed, place); err != nil || !bytes.Equal(got, secret) {
			r.Fatalf("open: %x, %v", got, err)
		}
		if _, err := b.Open(sealed, other); darter.KindOf(err) != darter.Corrupt {
			r.Fatalf("at another place: %v", err)
		}
	})
}

func TestEveryChangedBitIsNoticed(t *testing.T) {
	b := load(t, keyFile(t))
	sealed := seal(t, b, "hunter2 hunter2", "p")
	for i := range sealed {
		for bit := range 8 {
			changed := bytes.Clone(sealed)
			changed[i] ^= 1 << bit
			if _, err := b.Open(changed, "p"); err == nil {
				t.Fatalf("byte %d bit %d changed, and it opens", i, bit)
			}
		}
	}
	for n := range sealed {
		if _, err := b.Open(sealed[:n], "p"); darter.KindOf(err) != darter.Corrupt {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := b.Open(append(bytes.Clone(sealed), 0), "p"); darter.KindOf(err) != darter.Corrupt {
		t.Fatalf("one byte more: %v", err)
	}
}

func TestRotationKeepsOldSecretsReadable(t *testing.T) {
	path := keyFile(t)
	old := load(t, path)
	sealed := seal(t, old, "hunter2", "p")
	if old.Outdated(sealed) {
		t.Error("outdated under the only key")
	}
	if err := secretbox.Rotate(path, time.Unix(1800000000, 0)); err != nil {
		t.Fatal(err)
	}
	both := load(t, path)
	if got, err := both.Open(sealed, "p"); err != nil || string(got) != "hunter2" {
		t.Fatalf("sealed before the rotation: %q, %v", got, err)
	}
	if !both.Outdated(sealed) {
		t.Error("not outdated after a rotation")
	}
	moved, err := both.Rewrap(sealed)
	if err != nil || both.Outdated(moved) {
		t.Fatalf("rewrap: %v, outdated %v", err, both.Outdated(moved))
	}
	if _, err := old.Open(moved, "p"); darter.KindOf(err) != darter.NotFound {
		t.Errorf("the old ring opened what is under the new key: %v", err)
	}
	again, err := both.Rewrap(moved)
	if err != nil || !bytes.Equal(again, moved) {
		t.Errorf("rewrapping twice changed it: %v", err)
	}
	retire(t, path)
	only := load(t, path)
	if got, err := only.Open(moved, "p"); err != nil || string(got) != "hunter2" {
		t.Errorf("with the new key alone: %q, %v", got, err)
	}
	if _, err := only.Open(sealed, "p"); darter.KindOf(err) != darter.NotFound {
		t.Errorf("the retired key still opens: %v", err)
	}
}

// retire takes the oldest key out, as an operator does.
func retire(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(data, []byte("\n"))
	if err := os.WriteFile(path, rest, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestKeyFileIsGuarded(t *testing.T) {
	path := keyFile(t)
	if about, err := os.Stat(path); err != nil || about.Mode().Perm() != 0o600 {
		t.Errorf("created with %v, %v", about.Mode(), err)
	}
	if err := secretbox.Create(path, time.Now()); darter.KindOf(err) != darter.Conflict || !errors.Is(err, fs.ErrExist) {
		t.Errorf("created over an existing file: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := secretbox.Load(path); darter.KindOf(err) != darter.Denied {
		t.Errorf("world-readable: %v", err)
	}
	if err := secretbox.Rotate(path, time.Now()); darter.KindOf(err) != darter.Denied {
		t.Errorf("rotated though world-readable: %v", err)
	}
}

func TestBadKeyFilesAreRefusedWithoutShowingThem(t *testing.T) {
	const secret = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U" // 32 bytes
	const good = "darter-key-1 0011223344556677 " + secret + "\n"
	for name, content := range map[string]string{
		"no key": "# nothing\n\n", "other mark": strings.Replace(good, "key-1", "key-9", 1), "twice the same id": good + good,
		"short id": strings.Replace(good, "00112233", "", 1), "id with letters": strings.Replace(good, "0011", "zz11", 1),
		"long id": strings.Replace(good, "0011", "00110011", 1), "short key": strings.Replace(good, "c2VjcmV0", "", 1),
		"example key": "darter-key-1 0011223344556677 " + strings.Repeat("A", 43) + "\n", "more words": strings.Replace(good, "\n", " x\n", 1),
	} {
		path := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := secretbox.Load(path)
		if darter.KindOf(err) != darter.Invalid || err == nil {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), secret[8:]) {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte("# ours\n"+strings.TrimSuffix(good, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	load(t, path)
	if err := secretbox.Rotate(path, time.Now()); err != nil {
		t.Errorf("rotate a file without a last line end: %v", err)
	}
	load(t, path)
}

func FuzzOpen(f *testing.F) {
	b := load(f, keyFile(f))
	sealed := seal(f, b, "hunter2", "p")
	f.Add(sealed)
	f.Add([]byte{})
	f.Add(sealed[:100])
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := b.Open(data, "p"); err == nil && !bytes.Equal(data, sealed) {
			t.Fatalf("%x opens as %q", data, got)
		}
	})
}

func FuzzKeyFile(f *testing.F) {
	f.Add([]byte("darter-key-1 0011223344556677 c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U # remark\n"))
	f.Add([]byte("darter-key-1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := secretbox.Load(path)
		if err != nil {
			return
		}
		if got, err := b.Open(seal(t, b, "x", "p"), "p"); err != nil || string(got) != "x" {
			t.Fatalf("a ring that loads does not work: %v", err)
		}
	})
}
