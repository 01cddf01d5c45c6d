package auth

import (
	"fmt"
	"slices"
)

// Role is a named list of grants.
type Role struct {
	Name        string
	Description string
	Rights      Rights
	BuiltIn     bool
	Version     int64 // of custom roles
}

// AdminRole is the role that the first user gets, and that some user always has.
const AdminRole = "admin"

// BuiltInRoles returns the roles that are always there and never change by hand, in order of name.
func BuiltInRoles() []Role {
	look := give("application.read", "cluster.read", "event.read", "gc.plan", "gc.read", "host.read", "job.read", "preheat.read", "registry.read",
		"scheduler.read", "setting.read", "system.read", "task.read")
	return []Role{
		{Name: AdminRole, BuiltIn: true, Rights: give("*.*"), Description: "everything"},
		{Name: "auditor", BuiltIn: true, Description: "who did what: audit events, users, roles, tokens; changes nothing",
			Rights: append(give("audit.*", "certificate.read", "role.read", "session.read", "token.read", "user.read"), look...)},
		{Name: "operator", BuiltIn: true, Description: "the day's work: preheats, jobs, clean-up runs, purging, draining; no policies, users or settings",
			Rights: append(give("application.write", "gc.run", "host.write", "job.*", "notification.read", "preheat.*", "scheduler.write", "task.purge"), look...)},
		{Name: "preheater", BuiltIn: true, Description: "preheats and nothing else: for Harbor and pipelines",
			Rights: give("cluster.read", "job.create", "job.read", "preheat.*", "system.read", "task.read")},
		{Name: "viewer", BuiltIn: true, Description: "looks at everything but people, audit and secrets", Rights: look},
	}
}

// BuiltIn returns the built-in role of that name.
func BuiltIn(name string) (Role, bool) {
	all := BuiltInRoles()
	if i := slices.IndexFunc(all, func(r Role) bool { return r.Name == name }); i >= 0 {
		return all[i], true
	}
	return Role{}, false
}

// CheckRoleName says whether a custom role may have that name.
func CheckRoleName(name string) error {
	if _, taken := BuiltIn(name); taken {
		return fmt.Errorf("role %q is built in", name)
	}
	return CheckName(name)
}

// CheckName accepts names of users and roles: 1 to 64 small letters, digits and . _ - @ +, beginning with a
// letter or digit.
func CheckName(name string) error {
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		mark := c == '.' || c == '_' || c == '-' || c == '@' || c == '+'
		if !letter && (!mark || i == 0) {
			return fmt.Errorf("name %q has other than small letters, digits and . _ - @ +", name[:min(len(name), 64)])
		}
	}
	if name == "" || len(name) > 64 {
		return fmt.Errorf("a name has 1 to 64 letters, not %d", len(name))
	}
	return nil
}

func give(list ...Permission) Rights {
	out := make(Rights, 0, len(list))
	for _, p := range list {
		out = append(out, Grant{Permission: p})
	}
	return out
}
