package oidc

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/darter-p2p/darter/internal/manager/auth"
)

// Config is one identity provider.
type Config struct {
	Issuer       string       // required; https, unless Insecure
	ClientID     string       // required
	ClientSecret string       // empty for public clients
	Redirect     string       // required; this manager's callback, as registered there
	Scopes       []string     // default openid, profile, email
	NameClaim    string       // default preferred_username
	GroupsClaim  string       // default groups; "" takes none
	Roles        []Mapping    // what groups give
	Require      []string     // when not empty, one of these groups is needed to sign in
	Client       *http.Client // required; goes through the egress policy
	Insecure     bool         // allows an issuer without TLS: for tests and laboratories
	Now          func() time.Time
}

// Mapping gives everybody in a group a role, in a cluster or (empty) everywhere. Group "*" is everybody.
type Mapping struct {
	Group, Role, Cluster string
}

// DefaultConfig returns the defaults. Issuer, client and redirect are still to be set.
func DefaultConfig() Config {
	return Config{Scopes: []string{"openid", "profile", "email"}, NameClaim: "preferred_username", GroupsClaim: "groups", Now: time.Now}
}

// Validate says what is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	for name, text := range map[string]string{"issuer": c.Issuer, "redirect": c.Redirect} {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && !(c.Insecure && u.Scheme == "http") {
			errs = append(errs, fmt.Errorf("oidc: %s is not an https URL", name))
		}
	}
	if c.ClientID == "" || c.Client == nil || c.Now == nil {
		errs = append(errs, errors.New("oidc: client id, HTTP client and clock are required"))
	}
	if !slices.Contains(c.Scopes, "openid") {
		errs = append(errs, errors.New("oidc: scope openid is required"))
	}
	if c.NameClaim == "" {
		errs = append(errs, errors.New("oidc: a claim for the name is required"))
	}
	for _, m := range c.Roles {
		if m.Group == "" || m.Role == "" {
			errs = append(errs, errors.New("oidc: a mapping needs group and role"))
		}
		if err := (auth.Grant{Permission: "system.read", Cluster: m.Cluster}).Validate(); err != nil {
			errs = append(errs, fmt.Errorf("oidc: mapping of group %q: %w", m.Group, err))
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}
