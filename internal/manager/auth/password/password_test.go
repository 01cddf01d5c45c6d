package password_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/manager/auth/password"
)

func hasher(t testing.TB, change func(*password.Config)) *password.Hasher {
	t.Helper()
	cfg := password.DefaultConfig()
	cfg.Memory, cfg.Passes = 8<<10, 1
	if change != nil {
		change(&cfg)
	}
	h, err := password.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHashAndVerify(t *testing.T) {
	h := hasher(t, nil)
	hash, err := h.Hash(t.Context(), "correct horse battery")
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=8192,t=1,p=1$") {
		t.Fatalf("%q, %v", hash, err)
	}
	again, err := h.Hash(t.Context(), "correct horse battery")
	if err != nil || again == hash {
		t.Errorf("no salt: %v", err)
	}
	dearer := hasher(t, func(c *password.Config) { c.Passes = 2 })
	for _, c := range []struct {
		h               *password.Hasher
		password, hash  string
		match, outdated bool
	}{
		{h, "correct horse battery", hash, true, false},
		{h, "correct horse batterz", hash, false, false},
		{h, "", hash, false, false},
		{h, strings.Repeat("x", 10000), hash, false, false},
		{h, "correct horse battery", "", false, false},
		{h, "", "", false, false},
		{dearer, "correct horse battery", hash, true, true},
		{dearer, "wrong", hash, false, false},
		// made by another implementation (the reference argon2 program)
		{h, "password", "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", true, true},
	} {
		match, outdated, err := c.h.Verify(t.Context(), c.password, c.hash)
		if err != nil || match != c.match || outdated != c.outdated {
			t.Errorf("%.30q against %q: %v %v, %v", c.password, c.hash, match, outdated, err)
		}
	}
}

func TestBrokenHashesAreReportedAndCostNothing(t *testing.T) {
	h := hasher(t, nil)
	for _, hash := range []string{
		"x", "$argon2i$v=19$m=8192,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=8192,t=0,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "$argon2id$v=19$m=8192,t=1,p=300$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=16$m=8192,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "$argon2id$v=19$m=8192,t=1,p=1$c29tZXNhbHQ$", "$argon2id$v=19$m=08192,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	} {
		if match, _, err := h.Verify(t.Context(), "password", hash); match || darter.KindOf(err) != darter.Corrupt {
			t.Errorf("%s: %v, %v", hash, match, err)
		}
	}
}

func TestWeakPasswordsAreRefused(t *testing.T) {
	h := hasher(t, func(c *password.Config) { c.Breached = func(p string) bool { return p == "iloveyou-12345678" } })
	for _, good := range []string{"correct horse battery", "zwölf Zeichen!", "x9$kQ2m#Lw7p", strings.Repeat("abcde", 51)} {
		if err := h.Check(good, "somebody"); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "elevenchars", "aaaaaaaaaaaaaaaa", "1234567890123", "2001-09-11 08:46", "121212121212", "my-SomeBody-password", "iloveyou-12345678", strings.Repeat("abcde", 52), "with\x00null and more", "bad utf8 \xff\xfe xyzabc"} {
		if err := h.Check(bad, "somebody"); darter.KindOf(err) != darter.Invalid || err == nil {
			t.Errorf("%q: %v", bad, err)
		} else if len(bad) > 4 && strings.Contains(err.Error(), bad) {
			t.Errorf("the error repeats the password: %v", err)
		}
	}
}

// Sign-ins beyond the slots wait, and not for ever.
func TestWaitingForASlotEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hasher(t, func(c *password.Config) { c.Slots = 1 })
		release := h.Occupy()
		begin := time.Now()
		if _, err := h.Hash(t.Context(), "x"); darter.KindOf(err) != darter.Unavailable || time.Since(begin) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := h.Hash(ctx, "x"); darter.KindOf(err) != darter.Unavailable {
			t.Errorf("a caller that gave up: %v", err)
		}
		release()
		if _, err := h.Hash(t.Context(), "x"); err != nil {
			t.Errorf("after the slot was given back: %v", err)
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	for _, cfg := range []password.Config{{}, {Memory: 1, Passes: 1, Slots: 1, Wait: 1}, {Memory: 1 << 30, Passes: 1, Slots: 1, Wait: 1}, {Memory: 8 << 10, Passes: 1, Wait: 1}} {
		if _, err := password.New(cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}

func FuzzVerify(f *testing.F) {
	h := hasher(f, nil)
	f.Add("$argon2id$v=19$m=8192,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Add("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$x")
	f.Fuzz(func(t *testing.T, hash string) {
		if len(hash) > 3 && strings.Contains(hash, "m=") && !strings.Contains(hash, "m=8192,") {
			t.Skip("only cheap ones")
		}
		_, _, _ = h.Verify(t.Context(), "password", hash)
	})
}
