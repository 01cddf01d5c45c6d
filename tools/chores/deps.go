package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// need is a program that something here starts, and the package that brings it.
type need struct{ program, pkg, by string }

var needs = []need{
	{"gcc", "gcc libc6-dev", "make test, make race (the race detector)"},
	{"curl", "curl", "make bench"},
	{"nginx", "nginx-light", "make bench"},
	{"ip", "iproute2", "make bench"},
	{"postgres", "postgresql-15", "make test (the manager's database), make bench"},
}

// deps says which programs are missing. It installs nothing.
func deps(strict bool) error {
	var missing []string
	for _, n := range needs {
		if here(n.program) {
			continue
		}
		missing = append(missing, n.program)
		fmt.Printf("missing: %-8s (package %s), used by %s\n", n.program, n.pkg, n.by)
	}
	if len(missing) == 0 {
		return nil
	}
	fmt.Println("`make deps` installs them on Debian and its relatives; what needs them is left out until then")
	if strict {
		return fmt.Errorf("%s missing", strings.Join(missing, ", "))
	}
	return nil
}

// here also looks where administrators' programs are, which is seldom on a user's path.
func here(program string) bool {
	if _, err := exec.LookPath(program); err == nil {
		return true
	}
	places := []string{"/usr/sbin", "/sbin", "/usr/local/sbin"}
	servers, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // Debian keeps several versions beside each other
	for _, dir := range append(places, servers...) {
		if info, err := os.Stat(filepath.Join(dir, program)); err == nil && info.Mode()&0o111 != 0 {
			return true
		}
	}
	return false
}
