package manager

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/darter-p2p/darter"
)

// What Docker's tools mean when a reference names no registry.
const (
	hubName = "docker.io"
	hubHost = "registry-1.docker.io"
	hubOwn  = "library/" // where images without an owner lie
)

// Parts of a reference, as the registry's API has them.
var (
	hostForm   = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)
	nameForm   = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagForm    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$|^sha512:[0-9a-f]{128}$`)
)

// manifestURL returns the address of an image's manifest: of registry.example:5000/team/app:1.2, app@sha256:…, or of
// what is such an address already. A digest goes before a tag.
func manifestURL(ref string, plain bool) (string, error) {
	if strings.Contains(ref, "://") {
		u, err := url.Parse(ref)
		if err != nil || !strings.Contains(u.Path, "/manifests/") || u.Scheme != "http" && u.Scheme != "https" {
			return "", badReference(ref, "an address of an image ends in /v2/NAME/manifests/TAG")
		}
		return ref, nil
	}
	rest, digest, pinned := strings.Cut(ref, "@")
	if pinned && !digestForm.MatchString(digest) {
		return "", badReference(ref, "a digest is written sha256: and 64 hexadecimal digits")
	}
	tag := "latest"
	if colon := strings.LastIndexByte(rest, ':'); colon > strings.LastIndexByte(rest, '/') {
		rest, tag = rest[:colon], rest[colon+1:]
		if !tagForm.MatchString(tag) {
			return "", badReference(ref, "a tag has letters, digits, and . _ -")
		}
	}
	host, name, found := strings.Cut(rest, "/")
	if !found || !strings.ContainsAny(host, ".:") && host != "localhost" {
		host, name = hubName, rest
	}
	if host == hubName {
		host = hubHost
		if !strings.Contains(name, "/") {
			name = hubOwn + name
		}
	}
	if !hostForm.MatchString(host) {
		return "", badReference(ref, fmt.Sprintf("%q is no host, or host and port", host))
	}
	if !nameForm.MatchString(name) {
		return "", badReference(ref, fmt.Sprintf("%q is no name of a repository: it has lower case letters, digits, and / . _ -", name))
	}
	if pinned {
		tag = digest
	}
	scheme := "https"
	if plain {
		scheme = "http"
	}
	return scheme + "://" + host + "/v2/" + name + "/manifests/" + tag, nil
}

func badReference(ref, why string) error {
	return &darter.Error{Kind: darter.Invalid, Op: "read the reference " + ref, Err: fmt.Errorf("%s", why), Hint: "write HOST/NAME:TAG or HOST/NAME@sha256:…"}
}
