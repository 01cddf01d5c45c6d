package oidctest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/darter-p2p/darter/internal/manager/auth/authtest"
)

// Provider is an identity provider that keeps the rules of the code flow with PKCE, and lies where a test wants it to.
type Provider struct {
	*httptest.Server
	Clock *authtest.Clock
	Key   *ecdsa.PrivateKey

	t testing.TB

	Claims map[string]any               // of whoever signs in
	Lie    func(claims map[string]any)  // changes an ID token before it is signed
	Signer func() *ecdsa.PrivateKey     // whose key signs
	codes  map[string]map[string]string // code: nonce, challenge, redirect
	Down   bool                         // it answers with errors
}

// NewKey makes a signing key.
func NewKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Start begins to serve; the test's end ends it.
func Start(t testing.TB, clock *authtest.Clock) *Provider {
	t.Helper()
	p := &Provider{t: t, Clock: clock, Key: NewKey(t), codes: make(map[string]map[string]string),
		Claims: map[string]any{"sub": "42", "preferred_username": "anna", "name": "Anna A.", "email": "anna@example.org", "email_verified": true, "groups": []string{"ops", "all"}}}
	p.Signer = func() *ecdsa.PrivateKey { return p.Key }
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		if p.Down {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		p.write(w, map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"ES256"}})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		p.write(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.Key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("POST /token", p.token)
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *Provider) write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		p.t.Error(err)
	}
}

// Agree is what happens at the provider's page: the person agrees, and the browser is sent back with this query.
func (p *Provider) Agree(to string) url.Values {
	p.t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		p.t.Fatal(err)
	}
	q := u.Query()
	if q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("client_id") != "darter" || !strings.Contains(q.Get("scope"), "openid") || q.Get("nonce") == "" {
		p.t.Errorf("asked with %v", q)
	}
	code := "code-" + rand.Text()
	p.codes[code] = map[string]string{"nonce": q.Get("nonce"), "challenge": q.Get("code_challenge"), "redirect": q.Get("redirect_uri")}
	return url.Values{"code": {code}, "state": {q.Get("state")}}
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	if p.Down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	begun, known := p.codes[r.FormValue("code")]
	delete(p.codes, r.FormValue("code"))
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	id, password, _ := r.BasicAuth()
	if !known || begun["challenge"] != base64.RawURLEncoding.EncodeToString(sum[:]) || begun["redirect"] != r.FormValue("redirect_uri") || id != "darter" || password != "hush" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
		return
	}
	now := p.Clock.Now()
	claims := maps.Clone(p.Claims)
	maps.Copy(claims, map[string]any{"iss": p.URL, "aud": "darter", "nonce": begun["nonce"], "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()})
	if p.Lie != nil {
		p.Lie(claims)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.Signer(), KeyID: "k"}}, nil)
	if err != nil {
		p.t.Error(err)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		p.t.Error(err)
	}
	signed, err := signer.Sign(body)
	if err != nil {
		p.t.Error(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		p.t.Error(err)
	}
	p.write(w, map[string]any{"access_token": "access-secret", "token_type": "Bearer", "id_token": text})
}
