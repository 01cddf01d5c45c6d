package preheat

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/darter-p2p/darter"
)

// registry serves documents by reference; one by digest is stored under its own.
type registry map[string]string

func (r registry) put(text string) string {
	sum := sha256.Sum256([]byte(text))
	digest := "sha256:" + hex.EncodeToString(sum[:])
	r[digest] = text
	return digest
}

func (r registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if q.Header.Get("Authorization") != "Bearer token" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	text, ok := r[strings.TrimPrefix(q.URL.Path, "/v2/lib/app/manifests/")]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_, _ = w.Write([]byte(text))
}

func digestOf(n int) string { return fmt.Sprintf("sha256:%064x", n) }

func imageOf(layers ...int) string {
	var out []string
	for _, n := range layers[1:] {
		out = append(out, fmt.Sprintf(`{"digest":%q,"size":1}`, digestOf(n)))
	}
	return fmt.Sprintf(`{"config":{"digest":%q},"layers":[%s]}`, digestOf(layers[0]), strings.Join(out, ","))
}

func resolve(t *testing.T, r registry, reference string, platforms ...string) ([]string, error) {
	t.Helper()
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	wants, err := New(s.Client()).ResolveImage(t.Context(), darter.Want{URL: s.URL + "/v2/lib/app/manifests/" + reference, Tag: "x",
		Header: map[string]string{"Authorization": "Bearer token"}}, platforms)
	var out []string
	for _, w := range wants {
		require.Equal(t, "x", w.Tag)
		require.Equal(t, s.URL+"/v2/lib/app/blobs/"+string(w.Digest), w.URL)
		out = append(out, string(w.Digest))
	}
	return out, err
}

func TestAManifest(t *testing.T) {
	got, err := resolve(t, registry{"1.0": imageOf(1, 2, 3, 2)}, "1.0")
	require.NoError(t, err)
	require.Equal(t, []string{digestOf(1), digestOf(2), digestOf(3)}, got)
}

func TestAnIndex(t *testing.T) {
	r := registry{}
	amd, arm, odd := r.put(imageOf(1, 2, 3)), r.put(imageOf(4, 2, 5)), r.put(imageOf(6))
	r["1.0"] = fmt.Sprintf(`{"manifests":[{"digest":%q,"platform":{"os":"linux","architecture":"amd64"}},
		{"digest":%q,"platform":{"os":"linux","architecture":"arm64","variant":"v8"}},
		{"digest":%q,"platform":{"os":"unknown","architecture":"unknown"}}]}`, amd, arm, odd)
	got, err := resolve(t, r, "1.0", "linux/arm64")
	require.NoError(t, err)
	require.Equal(t, []string{digestOf(4), digestOf(2), digestOf(5)}, got)
	got, err = resolve(t, r, "1.0", "linux/arm64/v8")
	require.NoError(t, err)
	require.Len(t, got, 3)
	got, err = resolve(t, r, "1.0")
	require.NoError(t, err)
	require.Len(t, got, 5, "each blob once, and no attestation")
	_, err = resolve(t, r, "1.0", "plan9/mips")
	require.Equal(t, darter.Failed404, classIn(t, err))
}

func classIn(t *testing.T, err error) darter.Failure {
	t.Helper()
	var f interface{ Failure() darter.Failure }
	require.ErrorAs(t, err, &f)
	return f.Failure()
}

func TestARegistryThatLies(t *testing.T) {
	r := registry{"circle": `{"manifests":[]}`}
	honest := r.put(imageOf(1, 2))
	r["index"] = fmt.Sprintf(`{"manifests":[{"digest":%q}]}`, honest)
	r[honest] = imageOf(3, 4)
	_, err := resolve(t, r, "index")
	require.Equal(t, darter.FailedDigest, classIn(t, err))

	deep := r.put(imageOf(1))
	for range maxDepth + 2 {
		deep = r.put(fmt.Sprintf(`{"manifests":[{"digest":%q}]}`, deep))
	}
	r["deep"] = fmt.Sprintf(`{"manifests":[{"digest":%q}]}`, deep)
	_, err = resolve(t, r, "deep")
	require.Equal(t, darter.FailedInvalid, classIn(t, err))

	for name, c := range map[string]struct {
		text string
		want darter.Failure
	}{
		"traversal": {`{"layers":[{"digest":"sha256:../../../../x"}]}`, darter.FailedInvalid},
		"escape":    {`{"manifests":[{"digest":"../../other/manifests/1"}]}`, darter.FailedInvalid},
		"no JSON":   {`<html>`, darter.FailedInvalid},
		"empty":     {`{}`, darter.Failed404},
		"large":     {`{"x":"` + strings.Repeat("a", maxManifest) + `"}`, darter.FailedInvalid},
	} {
		_, err := resolve(t, registry{"1.0": c.text}, "1.0")
		require.Equal(t, c.want, classIn(t, err), name)
	}
	_, err = resolve(t, registry{}, "gone")
	require.Equal(t, darter.Failed404, classIn(t, err))
}

func TestWhatIsNoManifestURL(t *testing.T) {
	for _, raw := range []string{"", "https://r/v2/a/blobs/x", "https://r/v2/a/manifests/", "ftp://r/v2/a/manifests/1", "https://r/a/manifests/1",
		"https://r/v2/a/manifests/1?x=/../", "https://r/v2/a/manifests/1/2", "/v2/a/manifests/1"} {
		_, err := New(http.DefaultClient).ResolveImage(t.Context(), darter.Want{URL: raw}, nil)
		require.Equal(t, darter.Invalid, darter.KindOf(err), raw)
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte(imageOf(1, 2)))
	f.Add([]byte(`{"manifests":[{"digest":"sha256:00","platform":{"os":"linux"}}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		wants, err := resolve(t, registry{"1.0": string(raw)}, "1.0")
		if err == nil && len(wants) == 0 {
			t.Fatal("nothing, and no word of why")
		}
	})
}
