package identity

import (
	"fmt"
	"strings"

	"github.com/darter-p2p/darter"
)

// BlobDigest returns the digest in a registry blob URL (…/v2/<name>/blobs/<digest>), and the empty
// digest for any other URL. A blob URL whose digest is none of sha256, sha512 and crc32, or is
// malformed, is darter.Invalid.
func BlobDigest(rawURL string) (darter.Digest, error) {
	text, ok := blobReference(rawURL)
	if !ok {
		return "", nil
	}
	digest, err := darter.ParseDigest(text)
	if err != nil {
		return "", err
	}
	switch a := digest.Algorithm(); {
	case a == "sha256", a == "sha512":
		return digest, nil
	case a == "crc32" && len(digest.Encoded()) == 10:
		return digest, nil
	}
	return "", &darter.Error{Kind: darter.Invalid, Op: "read blob digest",
		Err:  fmt.Errorf("digest %q: a blob is named by sha256, sha512 or a ten-digit crc32", text),
		Hint: "do not use the digest as task id for this URL"}
}

// blobReference returns what follows the last "/blobs/" that has "://" and "/v2/<name>" before it, up
// to the query: what the reference's greedy pattern captures.
func blobReference(rawURL string) (string, bool) {
	const blobs = "/blobs/"
	for end := len(rawURL); ; {
		at := strings.LastIndex(rawURL[:end], blobs)
		if at < 0 {
			return "", false
		}
		text, _, _ := strings.Cut(rawURL[at+len(blobs):], "?")
		if text != "" && hasRepository(rawURL[:at]) {
			return text, true
		}
		end = at + len(blobs) - 1
	}
}

func hasRepository(before string) bool {
	_, rest, ok := strings.Cut(before, "://")
	return ok && strings.Contains(rest, "/v2/")
}
