package oidc_test

import (
	"strings"
	"testing"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/manager/auth/oidc"
)

func TestDescriptionsAreRead(t *testing.T) {
	c, err := oidc.Parse([]byte("issuer: https://id.example\nclient_id: darter\nclient_secret: hush\nredirect: https://d.example/cb\nrequire: [staff]\nroles:\n- {group: ops, role: operator, cluster: eu}\n"))
	if err != nil || c.Issuer != "https://id.example" || c.ClientSecret != "hush" || c.GroupsClaim != "groups" || len(c.Scopes) != 3 || len(c.Roles) != 1 || c.Roles[0] != (oidc.Mapping{Group: "ops", Role: "operator", Cluster: "eu"}) {
		t.Errorf("%+v, %v", c, err)
	}
	for _, text := range []string{"", "issuer: x\nclient_secret: hush\nclientid: x\n", "client_secret: hush\n\tissuer: x", "- hush", "client_secret: [hush"} {
		if _, err := oidc.Parse([]byte(text)); darter.KindOf(err) != darter.Invalid || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
