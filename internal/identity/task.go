package identity

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"

	"github.com/darter-p2p/darter"
)

// Names of the task types, as they go into the hash.
const (
	standard        = "STANDARD"
	persistent      = "PERSISTENT"
	persistentCache = "PERSISTENT_CACHE"
)

// TaskID returns the id of the content that a request asks for. In this order: the hash of
// Want.ContentForID when it is set; with Want.DigestAsID and a registry blob URL, the digest's hex; else a
// hash over the canonical URL, tag, application, revision and explicit piece length. Digest, range,
// headers and the rest of the request do not change it.
//
// Only sha256 digests serve as ids. For a blob named by sha512 or crc32 the hash over the URL is
// taken, because the piece protocol has room for exactly 64 characters. The reference takes the long
// digest there and then cannot exchange a single piece, so nothing is lost by differing.
func TaskID(w darter.Want) (darter.TaskID, error) {
	if w.ContentForID != "" {
		return hash(w.ContentForID), nil
	}
	if w.DigestAsID {
		digest, err := BlobDigest(w.URL)
		if err != nil {
			return "", err
		}
		if digest.Algorithm() == "sha256" {
			return darter.TaskID(digest.Encoded()), nil
		}
	}
	if w.PieceLength < 0 {
		return "", &darter.Error{Kind: darter.Invalid, Op: "compute task id",
			Err:  fmt.Errorf("piece length %d is negative", w.PieceLength),
			Hint: "leave the piece length out to have it computed"}
	}
	canonical, err := Canonical(w.URL, w.FilteredQuery)
	if err != nil {
		return "", err
	}
	return urlBased(canonical, w), nil
}

// GoTaskID returns the id that Dragonfly's Go components compute for the same request, for looking up
// what their preheats named. They leave the URL untouched when nothing is filtered, and else sort the query and keep
// default ports and a lone slash. It often equals TaskID; it is never the name of our own tasks.
func GoTaskID(w darter.Want) darter.TaskID {
	if w.ContentForID != "" {
		return hash(w.ContentForID)
	}
	return urlBased(goFiltered(w.URL, w.FilteredQuery), w)
}

// goFiltered is the empty text for a URL that cannot be parsed, as in the reference.
func goFiltered(rawURL string, filtered []string) string {
	if len(filtered) == 0 {
		return rawURL
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	query := u.Query()
	for key := range query {
		if slices.Contains(filtered, key) {
			query.Del(key)
		}
	}
	u.RawQuery = query.Encode()
	return u.String()
}

func urlBased(canonical string, w darter.Want) darter.TaskID {
	return hash(canonical, w.Tag, w.Application, w.Revision, lengthText(w.PieceLength), standard)
}

func lengthText(pieceLength int64) string {
	if pieceLength <= 0 {
		return ""
	}
	return strconv.FormatInt(pieceLength, 10)
}

// PersistentTaskID returns the id of an object kept on behalf of a bucket. The URL is taken as it is.
func PersistentTaskID(objectURL, region, endpoint string) (darter.TaskID, error) {
	if region == "" || endpoint == "" {
		return "", &darter.Error{Kind: darter.Invalid, Op: "compute persistent task id",
			Err:  fmt.Errorf("region %q and endpoint %q must both be given", region, endpoint),
			Hint: "name the bucket's region and endpoint"}
	}
	return hash(objectURL, region, endpoint, persistent), nil
}

// PersistentCacheTaskID returns the id of a file imported into the cluster: the hash of
// Want.ContentForID when it is set, else of the content, tag, application and explicit piece length.
// The error is content's.
func PersistentCacheTaskID(w darter.Want, content io.Reader) (darter.TaskID, error) {
	if w.ContentForID != "" {
		return hash(w.ContentForID), nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, content); err != nil {
		return "", fmt.Errorf("hash the content for its task id: %w", err)
	}
	for _, part := range []string{w.Tag, w.Application, lengthText(w.PieceLength), persistentCache} {
		io.WriteString(h, part)
	}
	return darter.TaskID(hex.EncodeToString(h.Sum(nil))), nil
}

// hash joins without separators: tag "a" and application "b" collide with tag "ab". The reference does
// so, and an id must be the same on both sides.
func hash(parts ...string) darter.TaskID {
	h := sha256.New()
	for _, part := range parts {
		io.WriteString(h, part)
	}
	return darter.TaskID(hex.EncodeToString(h.Sum(nil)))
}
