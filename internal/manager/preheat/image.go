package preheat

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/identity"
)

// Limits of what a registry may make us read.
const (
	maxManifest  = 4 << 20
	maxDepth     = 3   // of indices within indices
	maxManifests = 256 // of one image
)

// accept are the documents that we understand.
const accept = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, " +
	"application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"

// Images resolves images through an HTTP client.
type Images struct {
	client *http.Client
}

// New returns a resolver. The client's transport is where egress rules hold; it must bound its waits.
func New(client *http.Client) *Images { return &Images{client: client} }

// refusal is an error with the class that a job shows.
type refusal struct {
	class darter.Failure
	err   error
}

func (r *refusal) Error() string           { return r.err.Error() }
func (r *refusal) Unwrap() error           { return r.err }
func (r *refusal) Failure() darter.Failure { return r.class }

func refuse(class darter.Failure, format string, args ...any) error {
	return &refusal{class: class, err: fmt.Errorf(format, args...)}
}

// document is a manifest or an index: the fields of both that matter here.
type document struct {
	MediaType string       `json:"mediaType"`
	Manifests []descriptor `json:"manifests"`
	Config    *descriptor  `json:"config"`
	Layers    []descriptor `json:"layers"`
}

type descriptor struct {
	MediaType string   `json:"mediaType"`
	Digest    string   `json:"digest"`
	Size      int64    `json:"size"`
	URLs      []string `json:"urls"`
	Platform  *struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
		Variant      string `json:"variant"`
	} `json:"platform"`
}

// fits reports whether a descriptor is for one of the platforms; all of them when none is asked for, except for what is
// no platform at all, such as attestations.
func (d descriptor) fits(platforms []string) bool {
	if d.Platform == nil {
		return true
	}
	p := d.Platform.OS + "/" + d.Platform.Architecture
	if len(platforms) == 0 {
		return p != "unknown/unknown"
	}
	return slices.Contains(platforms, p) || d.Platform.Variant != "" && slices.Contains(platforms, p+"/"+d.Platform.Variant)
}

// walk is one resolution under way.
type walk struct {
	images    *Images
	base      darter.Want // its URL up to and including the repository
	platforms []string
	seen      map[string]bool
	wants     []darter.Want
}

// ResolveImage returns the blobs of an image: one want each, with its digest.
func (i *Images) ResolveImage(ctx context.Context, manifest darter.Want, platforms []string) ([]darter.Want, error) {
	repository, reference, err := split(manifest.URL)
	if err != nil {
		return nil, err
	}
	w := &walk{images: i, base: manifest, platforms: platforms, seen: map[string]bool{}}
	w.base.URL = repository
	if err := w.manifest(ctx, reference, 0); err != nil {
		return nil, err
	}
	if len(w.wants) == 0 {
		return nil, refuse(darter.Failed404, "image %s has no part for %s", identity.Redact(manifest.URL), strings.Join(platforms, ", "))
	}
	return w.wants, nil
}

// split cuts a manifest URL into its repository and what it names there.
func split(raw string) (repository, reference string, err error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" {
		return "", "", notManifest(raw)
	}
	at := strings.LastIndex(raw, "/manifests/")
	if at < 0 || !strings.Contains(raw[:at], u.Host+"/v2/") {
		return "", "", notManifest(raw)
	}
	reference = raw[at+len("/manifests/"):]
	if reference == "" || strings.ContainsAny(reference, "/?#") {
		return "", "", notManifest(raw)
	}
	return raw[:at], reference, nil
}

func notManifest(raw string) error {
	return &darter.Error{Kind: darter.Invalid, Op: "resolve image", Err: fmt.Errorf("%s is no manifest URL", identity.Redact(raw)),
		Hint: "write it as https://registry/v2/name/manifests/tag"}
}

func (w *walk) manifest(ctx context.Context, reference string, depth int) error {
	if w.seen[reference] {
		return nil
	}
	if depth > maxDepth || len(w.seen) >= maxManifests {
		return refuse(darter.FailedInvalid, "the image's indices are nested too deep, or name more than %d manifests", maxManifests)
	}
	w.seen[reference] = true
	raw, err := w.get(ctx, reference)
	if err != nil {
		return err
	}
	var d document
	if err := json.Unmarshal(raw, &d); err != nil {
		return refuse(darter.FailedInvalid, "the registry's answer for %s is no manifest: %w", reference, err)
	}
	for _, m := range d.Manifests {
		if !m.fits(w.platforms) {
			continue
		}
		if _, err := sha(m.Digest); err != nil {
			return err
		}
		if err := w.manifest(ctx, m.Digest, depth+1); err != nil {
			return err
		}
	}
	if d.Config != nil {
		d.Layers = append([]descriptor{*d.Config}, d.Layers...)
	}
	for _, b := range d.Layers {
		if err := w.blob(b); err != nil {
			return err
		}
	}
	return nil
}

// blob adds a blob, once. One that lies elsewhere is not the registry's to give.
func (w *walk) blob(b descriptor) error {
	if w.seen[b.Digest] || len(b.URLs) > 0 {
		return nil
	}
	digest, err := sha(b.Digest)
	if err != nil {
		return err
	}
	w.seen[b.Digest] = true
	want := w.base
	want.URL, want.Digest = w.base.URL+"/blobs/"+b.Digest, digest
	w.wants = append(w.wants, want)
	return nil
}

func sha(text string) (darter.Digest, error) {
	d, err := darter.ParseDigest(text)
	if err != nil || d.Algorithm() != "sha256" && d.Algorithm() != "sha512" {
		return "", refuse(darter.FailedInvalid, "the manifest names %q, which is no sha256 or sha512 digest", text[:min(len(text), 100)])
	}
	return d, nil
}

// get fetches one manifest and checks it against its digest, when it is named by one.
func (w *walk) get(ctx context.Context, reference string) ([]byte, error) {
	at := w.base.URL + "/manifests/" + reference
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, notManifest(at)
	}
	for k, v := range w.base.Header {
		q.Header.Set(k, v)
	}
	q.Header.Set("Accept", accept)
	answer, err := w.images.client.Do(q)
	if err != nil {
		return nil, unreachable(ctx, at, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, refuse(classOf(answer.StatusCode), "the registry answers %d for %s", answer.StatusCode, identity.Redact(at))
	}
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxManifest+1))
	if err != nil {
		return nil, unreachable(ctx, at, err)
	}
	if len(raw) > maxManifest {
		return nil, refuse(darter.FailedInvalid, "the manifest %s is larger than %d bytes", identity.Redact(at), maxManifest)
	}
	if hash, named := strings.CutPrefix(reference, "sha256:"); named {
		if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != hash {
			return nil, refuse(darter.FailedDigest, "the registry answers something else than %s", reference)
		}
	}
	return raw, nil
}

// unreachable keeps the URL, which may hold a secret, out of the words.
func unreachable(ctx context.Context, at string, err error) error {
	if inner, ok := errors.AsType[*url.Error](err); ok {
		err = inner.Err
	}
	kind := darter.Unavailable
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		kind = darter.TimedOut
	case darter.KindOf(err) != darter.Internal:
		kind = darter.KindOf(err) // the rules for egress refused it
	}
	return &darter.Error{Kind: kind, Op: "get manifest " + identity.Redact(at), Err: err, Hint: darter.HintOf(err)}
}

func classOf(code int) darter.Failure {
	switch {
	case code == http.StatusUnauthorized:
		return darter.Failed401
	case code == http.StatusForbidden:
		return darter.Failed403
	case code == http.StatusNotFound || code == http.StatusGone:
		return darter.Failed404
	case code == http.StatusTooManyRequests:
		return darter.Failed429
	case code >= http.StatusInternalServerError:
		return darter.Failed5xx
	}
	return darter.FailedInvalid
}
