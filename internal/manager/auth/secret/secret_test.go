package secret_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/darter-p2p/darter/internal/manager/auth/secret"
)

const id = "01JD3KAAAAAAAAAAAAAAAAAAAA"

func TestRoundTrip(t *testing.T) {
	s := secret.New(secret.Token, id)
	if !strings.HasPrefix(s.Text(), "dtr_01jd3k") || len(s.Text()) != 4+26+1+52 {
		t.Errorf("text %q", s.Text())
	}
	got, err := secret.Parse(secret.Token, s.Text())
	if err != nil || got != s || !got.Matches(s.Hash()) {
		t.Errorf("%v, %v", got, err)
	}
	other := secret.New(secret.Token, id)
	if other.Matches(s.Hash()) || other.Text() == s.Text() {
		t.Error("two secrets are the same")
	}
	if (secret.Secret{}).Matches((secret.Secret{}).Hash()) {
		t.Error("no secret matches no secret")
	}
	if s.Derive("a") == s.Derive("b") || s.Derive("a") == other.Derive("a") || s.Derive("a") != got.Derive("a") {
		t.Error("derived texts depend on something else than secret and label")
	}
}

func TestASecretDoesNotShowItself(t *testing.T) {
	s := secret.New(secret.Session, id)
	body := s.Text()[31:]
	for _, shown := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s", s, s, s, s), fmt.Sprintf("%v", []any{s, &s})} {
		if strings.Contains(shown, body) || !strings.Contains(shown, "dts_01jd3k") {
			t.Errorf("shown as %q", shown)
		}
	}
	if strings.Contains(s.Hash(), body) {
		t.Error("the hash shows it")
	}
}

func FuzzParse(f *testing.F) {
	good := secret.New(secret.Token, id).Text()
	for _, s := range []string{good, strings.ToUpper(good), good[:50], "dts" + good[3:], good + "a", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := secret.Parse(secret.Token, text)
		if err == nil && s.Text() != text {
			t.Fatalf("%q reads as %q", text, s.Text())
		}
		if _, err := secret.Parse(secret.Session, text); err == nil && strings.HasPrefix(text, "dtr") {
			t.Fatalf("%q passes for a session", text)
		}
	})
}
