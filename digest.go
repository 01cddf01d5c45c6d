package darter

import (
	"fmt"
	"strings"
)

// Digest is "algorithm:hex" of a whole content. The empty digest means unknown.
type Digest string

// digestLengths gives the encoded length per algorithm. crc32 is decimal, up to ten digits.
var digestLengths = map[string]int{"sha256": 64, "sha512": 128, "sha1": 40, "md5": 32}

// ParseDigest checks the text of a digest. It accepts sha256, sha512, sha1, md5 (hexadecimal) and
// crc32 (decimal); the empty text is the unknown digest.
func ParseDigest(text string) (Digest, error) {
	if text == "" {
		return "", nil
	}
	algorithm, encoded, ok := strings.Cut(text, ":")
	if !ok {
		return "", digestError(text, "it has no \"algorithm:\"")
	}
	if algorithm == "crc32" {
		if encoded == "" || len(encoded) > 10 || strings.Trim(encoded, "0123456789") != "" {
			return "", digestError(text, "crc32 takes up to ten decimal digits")
		}
		return Digest(text), nil
	}
	want, known := digestLengths[algorithm]
	if !known {
		return "", digestError(text, "the algorithm is none of sha256, sha512, sha1, md5, crc32")
	}
	if len(encoded) != want || strings.Trim(encoded, "0123456789abcdefABCDEF") != "" {
		return "", digestError(text, fmt.Sprintf("%s takes %d hexadecimal digits", algorithm, want))
	}
	return Digest(algorithm + ":" + strings.ToLower(encoded)), nil
}

func digestError(text, why string) error {
	return &Error{Kind: Invalid, Op: "parse digest", Err: fmt.Errorf("digest %q: %s", text, why),
		Hint: "write it as sha256:<64 hex digits>"}
}

// Algorithm returns the part before the colon.
func (d Digest) Algorithm() string { a, _, _ := strings.Cut(string(d), ":"); return a }

// Encoded returns the part after the colon.
func (d Digest) Encoded() string { _, e, _ := strings.Cut(string(d), ":"); return e }
