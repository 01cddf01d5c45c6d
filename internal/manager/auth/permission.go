package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Permission is what may be done with what: "resource.verb". In a grant either part may be "*".
type Permission string

// verbs is the closed list of what can be done with what. A secret is in no read permission: it is write-only.
var verbs = map[string][]string{
	"application":  {"read", "write"},
	"audit":        {"export", "read"},
	"certificate":  {"read", "write"}, // write: join tokens, revocation
	"cluster":      {"read", "write"},
	"event":        {"read"},
	"gc":           {"confirm", "plan", "read", "run", "write"}, // write: policies; confirm: beyond the blast radius
	"host":         {"read", "write"},
	"job":          {"cancel", "create", "read"},
	"notification": {"read", "write"},
	"preheat":      {"cancel", "create", "read"},
	"registry":     {"read", "write"},
	"role":         {"read", "write"},
	"scheduler":    {"read", "write"},
	"session":      {"read", "revoke"}, // of others; one's own need none
	"setting":      {"read", "write"},
	"system":       {"read", "write"},
	"task":         {"purge", "read"},
	"token":        {"read", "revoke"}, // of others
	"user":         {"read", "write"},
}

// Permissions returns every permission, in order.
func Permissions() []Permission {
	var out []Permission
	for resource, list := range verbs {
		for _, verb := range list {
			out = append(out, Permission(resource+"."+verb))
		}
	}
	slices.Sort(out)
	return out
}

// Known reports whether p is on the list, without wildcards.
func (p Permission) Known() bool {
	resource, verb, _ := strings.Cut(string(p), ".")
	return slices.Contains(verbs[resource], verb)
}

// Grant gives a permission. Cluster "" is everywhere, and what belongs to no cluster.
type Grant struct {
	Permission Permission `json:"permission"`
	Cluster    string     `json:"cluster,omitempty"`
}

// Validate accepts known permissions, and wildcards that stand for at least one.
func (g Grant) Validate() error {
	if g.Cluster != strings.TrimSpace(g.Cluster) || strings.ContainsAny(g.Cluster, ": \t\n") || len(g.Cluster) > 128 {
		return fmt.Errorf("cluster %q of a grant is not a name", g.Cluster)
	}
	if slices.ContainsFunc(Permissions(), func(p Permission) bool { return matches(g.Permission, p) }) {
		return nil
	}
	return fmt.Errorf("permission %q is unknown; it is written resource.verb, such as preheat.create", g.Permission)
}

func matches(pattern, p Permission) bool {
	if pattern == p {
		return true
	}
	resource, verb, ok := strings.Cut(string(pattern), ".")
	r, v, _ := strings.Cut(string(p), ".")
	return ok && (resource == "*" || resource == r) && (verb == "*" || verb == v)
}

// allows reports whether g gives p in cluster; cluster "" asks for everywhere.
func (g Grant) allows(p Permission, cluster string) bool {
	return (g.Cluster == "" || g.Cluster == cluster) && matches(g.Permission, p)
}

// Scope writes the grant as a token's scope.
func (g Grant) Scope() string {
	resource, verb, _ := strings.Cut(string(g.Permission), ".")
	if g.Cluster == "" {
		return verb + ":" + resource
	}
	return verb + ":" + resource + ":" + g.Cluster
}

// ParseScope reads verb:resource[:cluster]; either of the first two may be "*".
func ParseScope(s string) (Grant, error) {
	parts := strings.Split(s, ":")
	if len(parts) < 2 || len(parts) > 3 || len(parts) == 3 && parts[2] == "" {
		return Grant{}, fmt.Errorf("scope %q is not of the form verb:resource or verb:resource:cluster", s)
	}
	g := Grant{Permission: Permission(parts[1] + "." + parts[0])}
	if len(parts) == 3 {
		g.Cluster = parts[2]
	}
	if err := g.Validate(); err != nil {
		return Grant{}, fmt.Errorf("scope %q: %w", s, err)
	}
	return g, nil
}

// Rights are grants taken together.
type Rights []Grant

// Allows reports whether p may be used in cluster; cluster "" asks for everywhere.
func (r Rights) Allows(p Permission, cluster string) bool {
	return slices.ContainsFunc(r, func(g Grant) bool { return g.allows(p, cluster) })
}

// Somewhere reports whether p may be used in some cluster at least.
func (r Rights) Somewhere(p Permission) bool {
	return slices.ContainsFunc(r, func(g Grant) bool { return matches(g.Permission, p) })
}

// Covers reports whether r allows all that other allows. Wildcards are compared by what they stand for today.
func (r Rights) Covers(other Rights) bool {
	for _, g := range other {
		for _, p := range Permissions() {
			if matches(g.Permission, p) && !r.Allows(p, g.Cluster) {
				return false
			}
		}
	}
	return true
}

// In returns r as a binding to cluster gives it: grants for everywhere shrink to it, others stay if they are for it.
func (r Rights) In(cluster string) Rights {
	if cluster == "" {
		return r
	}
	var out Rights
	for _, g := range r {
		if g.Cluster == "" || g.Cluster == cluster {
			out = append(out, Grant{Permission: g.Permission, Cluster: cluster})
		}
	}
	return out
}

// Validate checks every grant.
func (r Rights) Validate() error {
	var errs []error
	for _, g := range r {
		errs = append(errs, g.Validate())
	}
	return errors.Join(errs...)
}
