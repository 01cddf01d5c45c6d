package identity_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/identity"
)

func ExampleTaskID() {
	id, err := identity.TaskID(darter.Want{URL: "https://example.com/?X-Amz-Signature=f00",
		FilteredQuery: identity.DefaultFilteredQuery()})
	fmt.Println(id, err)
	// Output: 457b4328cde278e422c9e243f7bfd1e97f511fec43a80f535cf6b0ef6b086776 <nil>
}

const (
	bare = "457b4328cde278e422c9e243f7bfd1e97f511fec43a80f535cf6b0ef6b086776" // https://example.com
	text = "This is a test file"
	hex4 = "1234567890abcdef1234567890abcdef1234567890abcdef1234567890abcdef"
)

// The vectors of the released Dragonfly's own tests.
func vectors() map[string]struct {
	want darter.Want
	id   darter.TaskID
} {
	const url = "https://example.com"
	return map[string]struct {
		want darter.Want
		id   darter.TaskID
	}{
		"T1": {darter.Want{URL: url, PieceLength: 1024, Tag: "foo", Application: "bar", Revision: "v1.0"}, "5844f27a257287e9b734256bb25603d8005422ced8c0377f15063ec11963b25f"},
		"T2": {darter.Want{URL: url, Tag: "foo", Application: "bar"}, "06408fbf247ddaca478f8cb9565fe5591c28efd0994b8fea80a6a87d3203c5ca"},
		"T3": {darter.Want{URL: url, Tag: "foo"}, "3c3f230ef9f191dd2821510346a7bc138e4894bee9aee184ba250a3040701d2a"},
		"T4": {darter.Want{URL: url, Application: "bar"}, "c9f9261b7305c24371244f9f149f5d4589ed601348fdf22d7f6f4b10658fdba2"},
		"T5": {darter.Want{URL: url, PieceLength: 1024}, "9f7c9aafbc6f30f8f41a96ca77eeae80c5b60964b3034b0ee43ccf7b2f9e52b8"},
		"T6": {darter.Want{URL: url + "?foo=foo&bar=bar", FilteredQuery: []string{"foo", "bar"}}, bare},
		"T7": {darter.Want{URL: url, Revision: "v1.0"}, "b171331534b80e0bf91da38ebbfcdbf4d177898f4b9beac44f14733e3f004d4e"},
		"T8": {darter.Want{URL: url, ContentForID: text, DigestAsID: true, Tag: "ignored"}, "e2d0fe1585a63ec6009c8016ff8dda8b17719a637405a4e23c0ff81339148249"},
	}
}

func TestTaskIDVectors(t *testing.T) {
	for name, v := range vectors() {
		if got, err := identity.TaskID(v.want); err != nil || got != v.id {
			t.Errorf("%s: TaskID = %s, %v; want %s", name, got, err, v.id)
		}
		if got := identity.GoTaskID(v.want); got != v.id {
			t.Errorf("%s: GoTaskID = %s; want %s: both agree on simple URLs", name, got, v.id)
		}
	}
}

func TestTaskIDFromBlobDigest(t *testing.T) {
	const blob = "https://registry.example.com/v2/myorg/myrepo/blobs/"
	urlBased := func(url string) darter.TaskID {
		id, err := identity.TaskID(darter.Want{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	t.Run("T9: sha256", func(t *testing.T) {
		for _, query := range []string{"", "?ns=docker.io"} {
			id, err := identity.TaskID(darter.Want{URL: blob + "sha256:" + hex4 + query, DigestAsID: true, Tag: "ignored"})
			if err != nil || id != hex4 {
				t.Errorf("TaskID = %s, %v; want the digest's hex", id, err)
			}
		}
	})
	t.Run("not asked for", func(t *testing.T) {
		if id := urlBased(blob + "sha256:" + hex4); id == hex4 {
			t.Error("the digest was used as id without DigestAsID")
		}
	})
	t.Run("ids that do not fit the piece protocol", func(t *testing.T) {
		for _, digest := range []string{"sha512:" + hex4 + hex4, "crc32:1234567890"} {
			id, err := identity.TaskID(darter.Want{URL: blob + digest, DigestAsID: true})
			if err != nil || id != urlBased(blob+digest) || !id.Valid() {
				t.Errorf("%s: TaskID = %s, %v; want the hash over the URL", digest, id, err)
			}
		}
	})
	t.Run("not a blob", func(t *testing.T) {
		id, err := identity.TaskID(darter.Want{URL: "https://example.com", DigestAsID: true})
		if err != nil || id != bare {
			t.Errorf("TaskID = %s, %v; want the hash over the URL", id, err)
		}
	})
	t.Run("malformed", func(t *testing.T) {
		for _, digest := range []string{"sha256:12", "sha256:" + strings.Repeat("../", 21) + "x", "md5:" + hex4[:32], "crc32:12", "latest"} {
			if id, err := identity.TaskID(darter.Want{URL: blob + digest, DigestAsID: true}); darter.KindOf(err) != darter.Invalid || id != "" {
				t.Errorf("%s: TaskID = %q, %v; want Invalid", digest, id, err)
			}
		}
	})
}

func TestBlobDigest(t *testing.T) {
	const d = "sha256:" + hex4
	for url, want := range map[string]darter.Digest{
		"https://r/v2/a/blobs/" + d:                        d,
		"https://r/v2/a/b/c/blobs/" + d + "?x=1":           d,
		"https://mirror/x/v2/a/blobs/" + d:                 d,
		"https://r/v2//blobs/" + d:                         d,
		"https://r/v2/a/blobs/" + d + "?from=/v2/a/blobs/": d, // nothing follows the later one
		"https://r/v2/blobs/" + d:                          "",
		"https://r/v1/a/blobs/" + d:                        "",
		"r/v2/a/blobs/" + d:                                "",
		"https://r/v2/a/manifests/" + d:                    "",
		"https://r/v2/a/blobs/":                            "",
		"https://r/v2/a/blobs/?" + d:                       "",
	} {
		if got, err := identity.BlobDigest(url); err != nil || got != want {
			t.Errorf("BlobDigest(%s) = %q, %v; want %q", url, got, err, want)
		}
	}
}

func TestTaskIDRefusesWhatIsNoURL(t *testing.T) {
	for _, url := range []string{"", "file", "/etc/passwd", "http://", "http://a b/", "https://[::1/", "https://h:99999/", "https://" + strings.Repeat("a", 70000)} {
		id, err := identity.TaskID(darter.Want{URL: url})
		if darter.KindOf(err) != darter.Invalid || darter.HintOf(err) == "" || id != "" {
			t.Errorf("TaskID(%.20q) = %q, %v; want Invalid with a hint", url, id, err)
		}
	}
	_, err := identity.TaskID(darter.Want{URL: "https://user:hunter2@h:99999/?token=hunter3"})
	if err == nil || strings.Contains(err.Error(), "hunter") {
		t.Errorf("the error is %v; it must come and hold no credentials", err)
	}
	if _, err := identity.TaskID(darter.Want{URL: "https://h", PieceLength: -1}); darter.KindOf(err) != darter.Invalid {
		t.Errorf("a negative piece length gives %v, want Invalid", err)
	}
}

func TestTaskIDIgnoresTheRest(t *testing.T) {
	id, err := identity.TaskID(darter.Want{URL: "https://example.com", Digest: "sha256:" + hex4, Range: &darter.Range{Length: 5},
		Header: map[string]string{"Authorization": "x"}, Priority: 3, OutputPath: "/x", Layout: darter.LayoutOf(5, 0)})
	if err != nil || id != bare {
		t.Errorf("TaskID = %s, %v; only the identity fields may count", id, err)
	}
}

func TestGoTaskIDDiffers(t *testing.T) {
	const url = "https://example.com/f?z=1&a=2&drop=3"
	w := darter.Want{URL: url, FilteredQuery: []string{"drop"}}
	sorted := darter.Want{URL: "https://example.com/f?a=2&z=1"}
	want, _ := identity.TaskID(sorted)
	if got := identity.GoTaskID(w); got != want {
		t.Errorf("GoTaskID = %s, want that of the sorted query %s", got, want)
	}
	if own, _ := identity.TaskID(w); own == want {
		t.Error("TaskID sorted the query; the Rust daemon keeps its order")
	}
	// Untouched without a filter: the slash stays.
	if identity.GoTaskID(darter.Want{URL: "https://example.com/"}) == bare {
		t.Error("GoTaskID dropped the slash")
	}
}

func TestPersistentVectors(t *testing.T) {
	got, err := identity.PersistentTaskID("my-object-key", "us-west-1", "https://s3.us-west-1.amazonaws.com")
	if want := darter.TaskID("b51f4f44921bb585277a5cbac13e7f6e2858238e98546f3ee6bfeb56369979c0"); err != nil || got != want {
		t.Errorf("P1: %s, %v; want %s", got, err, want)
	}
	if _, err := identity.PersistentTaskID("k", "", "e"); darter.KindOf(err) != darter.Invalid {
		t.Errorf("without a region: %v, want Invalid", err)
	}
	for name, v := range map[string]struct {
		want darter.Want
		id   darter.TaskID
	}{
		"C1": {darter.Want{Tag: "tag1", Application: "app1", PieceLength: 1024}, "7160a071a9acea5ac341e770c14d0211c38a4b15b3bbe2c5f848a706fd47419e"},
		"C2": {darter.Want{Application: "app1"}, "0d0f8536f51227fda07141308f5ae8149b561b51b61c6517125f25dfa27acf5b"},
		"C3": {darter.Want{Tag: "tag1"}, "a98b76813681e30cf83733fe055792b86393bba6f18e3d89fd8c18253922d992"},
		"C4": {darter.Want{PieceLength: 1024}, "e894374a39e39cfa78c409cac02f2cdbb5605a24f5ff55c7bc2b624877556c03"},
		"C5": {darter.Want{ContentForID: text}, "e2d0fe1585a63ec6009c8016ff8dda8b17719a637405a4e23c0ff81339148249"},
	} {
		if got, err := identity.PersistentCacheTaskID(v.want, strings.NewReader(text)); err != nil || got != v.id {
			t.Errorf("%s: %s, %v; want %s", name, got, err, v.id)
		}
	}
	broken := errors.New("broken")
	if _, err := identity.PersistentCacheTaskID(darter.Want{}, iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("a broken content gives %v", err)
	}
}

// The table is the daemon's; the function lives with the nouns.
func TestPieceLength(t *testing.T) {
	for length, want := range map[int64]int64{
		0: 4 << 20, 1000: 4 << 20, 2097152000: 4 << 20, 2097152500: 8 << 20,
		10 << 30: 32 << 20, 20 << 30: 64 << 20, 1 << 50: 64 << 20,
	} {
		if got := darter.PieceLengthFor(length); got != want {
			t.Errorf("PieceLengthFor(%d) = %d, want %d", length, got, want)
		}
	}
}

func TestHostAndPeerIDs(t *testing.T) {
	ip := netip.MustParseAddr("127.0.0.1")
	if got := identity.HostID(ip, "localhost", darter.Normal); got != "127.0.0.1-localhost" {
		t.Errorf("HostID = %s", got)
	}
	if got := identity.HostID(ip, "localhost", darter.Seed); got != "127.0.0.1-localhost-seed" {
		t.Errorf("HostID of a seed = %s", got)
	}
	if got := identity.PeerID(netip.MustParseAddr("::1"), "h", "u", darter.Seed); got != "::1-h-u-seed" {
		t.Errorf("PeerID of a seed = %s", got)
	}
	a, b := identity.NewPeerID(ip, "h", darter.Normal), identity.NewPeerID(ip, "h", darter.Normal)
	if a == b || !strings.HasPrefix(string(a), "127.0.0.1-h-") || len(a) != len("127.0.0.1-h-")+36 {
		t.Errorf("NewPeerID gave %s and %s", a, b)
	}
}
