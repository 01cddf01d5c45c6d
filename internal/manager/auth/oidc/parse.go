package oidc

import (
	"bytes"
	"fmt"

	"github.com/goccy/go-yaml"

	"github.com/darter-p2p/darter"
)

// file is how a provider is described.
//
//	issuer: https://id.example            # required
//	client_id: darter                     # required
//	client_secret: …
//	redirect: https://darter.example/v1/sessions/oidc/callback   # required
//	scopes: [openid, profile, email]
//	name_claim: preferred_username
//	groups_claim: groups
//	require: [staff]                      # one of these groups may sign in
//	roles:
//	  - {group: ops, role: operator, cluster: 01J…}
type file struct {
	Issuer       string   `yaml:"issuer"`
	ClientID     string   `yaml:"client_id"`
	ClientSecret string   `yaml:"client_secret"`
	Redirect     string   `yaml:"redirect"`
	Scopes       []string `yaml:"scopes"`
	NameClaim    string   `yaml:"name_claim"`
	GroupsClaim  string   `yaml:"groups_claim"`
	Require      []string `yaml:"require"`
	Roles        []struct {
		Group   string `yaml:"group"`
		Role    string `yaml:"role"`
		Cluster string `yaml:"cluster"`
	} `yaml:"roles"`
}

// Parse reads the description of a provider, YAML. Client is still to be set. Its errors do not quote the text: a
// secret lies in it.
func Parse(text []byte) (Config, error) {
	c := DefaultConfig()
	f := file{Scopes: c.Scopes, NameClaim: c.NameClaim, GroupsClaim: c.GroupsClaim}
	d := yaml.NewDecoder(bytes.NewReader(text), yaml.DisallowUnknownField())
	if err := d.Decode(&f); err != nil {
		where := ""
		if at, ok := err.(yaml.Error); ok && at.GetToken() != nil && at.GetToken().Position != nil { //nolint:errorlint // the library's own, never wrapped
			where = fmt.Sprintf(" at line %d", at.GetToken().Position.Line)
		}
		return c, &darter.Error{Kind: darter.Invalid, Op: "read identity provider", Err: fmt.Errorf("it does not parse%s, or has an unknown member there", where),
			Hint: "issuer, client_id, client_secret, redirect, scopes, name_claim, groups_claim, require, roles"}
	}
	c.Issuer, c.ClientID, c.ClientSecret, c.Redirect = f.Issuer, f.ClientID, f.ClientSecret, f.Redirect
	c.Scopes, c.NameClaim, c.GroupsClaim, c.Require = f.Scopes, f.NameClaim, f.GroupsClaim, f.Require
	for _, r := range f.Roles {
		c.Roles = append(c.Roles, Mapping{Group: r.Group, Role: r.Role, Cluster: r.Cluster})
	}
	return c, nil
}
