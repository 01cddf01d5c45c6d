package httprange

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/darter-p2p/darter"
)

// ErrUnsatisfiable is in the chain of Parse's error when the header is well formed, but the content has
// none of the bytes asked for: HTTP answers 416.
var ErrUnsatisfiable = errors.New("the content has no such bytes")

// endless is the last byte position that a range may name: its length then still fits an int64.
const endless = math.MaxInt64 - 1

// Parse reads a Range header of one range and returns the bytes it means in a content of length bytes,
// shortened to what is there. A negative length means unknown: then a range without an end reaches to
// the largest position, and one that counts from the end is refused. Errors are darter.Invalid.
func Parse(header string, length int64) (darter.Range, error) {
	r, err := parse(header, length)
	if err == nil {
		return r, nil
	}
	return darter.Range{}, &darter.Error{Kind: darter.Invalid, Op: "parse range",
		Err: fmt.Errorf("%q: %w", header, err), Hint: "write it as bytes=first-last, bytes=first- or bytes=-count"}
}

func parse(header string, length int64) (darter.Range, error) {
	unit, spec, ok := strings.Cut(header, "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(unit), "bytes") {
		return darter.Range{}, errors.New("the unit is not bytes")
	}
	if strings.Contains(spec, ",") {
		return darter.Range{}, errors.New("more than one range")
	}
	first, last, ok := strings.Cut(strings.Trim(spec, " \t"), "-")
	if !ok || first == "" && last == "" {
		return darter.Range{}, errors.New("neither a first nor a last byte")
	}
	if first == "" {
		return suffix(last, length)
	}
	from, err := position(first)
	to := int64(endless)
	if err == nil && last != "" {
		to, err = position(last)
	}
	switch {
	case err != nil:
		return darter.Range{}, err
	case to < from:
		return darter.Range{}, errors.New("the last byte comes before the first")
	case length >= 0 && from >= length:
		return darter.Range{}, ErrUnsatisfiable
	case length >= 0:
		to = min(to, length-1)
	}
	return darter.Range{Start: from, Length: to - from + 1}, nil
}

func suffix(count string, length int64) (darter.Range, error) {
	n, err := position(count)
	switch {
	case err != nil:
		return darter.Range{}, err
	case length < 0:
		return darter.Range{}, errors.New("it counts from the end, and the length is unknown")
	case n == 0 || length == 0:
		return darter.Range{}, ErrUnsatisfiable
	}
	n = min(n, length)
	return darter.Range{Start: length - n, Length: n}, nil
}

// position reads decimal digits; a number too large for a position means the largest one, as the
// standard asks.
func position(digits string) (int64, error) {
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, fmt.Errorf("%q is not a byte position", digits)
	}
	n := int64(0)
	for _, c := range []byte(digits) {
		d := int64(c - '0')
		if n > (endless-d)/10 {
			return endless, nil
		}
		n = n*10 + d
	}
	return n, nil
}

// Format writes the Range header for a span, "bytes=0-99". An empty span has no such form: it gives "".
func Format(s darter.Span) string {
	if s.Length <= 0 || s.Offset < 0 || s.Offset > endless {
		return ""
	}
	return fmt.Sprintf("bytes=%d-%d", s.Offset, last(s))
}

// FormatContentRange writes the Content-Range header for a span of a content of total bytes, -1 when
// unknown. An empty span gives the form of a 416 answer, "bytes */1000".
func FormatContentRange(s darter.Span, total int64) string {
	whole := "*"
	if total >= 0 {
		whole = fmt.Sprint(total)
	}
	if s.Length <= 0 {
		return "bytes */" + whole
	}
	return fmt.Sprintf("bytes %d-%d/%s", s.Offset, last(s), whole)
}

func last(s darter.Span) int64 { return s.Offset + min(s.Length-1, endless-s.Offset) }

// ParseContentRange reads a Content-Range header: the span that the body holds and the length of the
// whole content, -1 when it is not told. The form of a 416 answer gives an empty span. Errors are
// darter.Corrupt: the other side says something that cannot be.
func ParseContentRange(header string) (darter.Span, int64, error) {
	s, total, err := parseContentRange(header)
	if err != nil {
		return darter.Span{}, -1, &darter.Error{Kind: darter.Corrupt, Op: "parse content range", Err: fmt.Errorf("%q: %w", header, err)}
	}
	return s, total, nil
}

func parseContentRange(header string) (darter.Span, int64, error) {
	unit, rest, _ := strings.Cut(strings.TrimSpace(header), " ")
	bytes, whole, ok := strings.Cut(strings.TrimSpace(rest), "/")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return darter.Span{}, -1, errors.New("it is not of the form bytes first-last/length")
	}
	total := int64(-1)
	if whole != "*" {
		n, err := position(whole)
		if err != nil {
			return darter.Span{}, -1, err
		}
		total = n
	}
	if bytes == "*" {
		return darter.Span{}, total, nil
	}
	first, last, _ := strings.Cut(bytes, "-")
	from, err1 := position(first)
	to, err2 := position(last)
	switch {
	case err1 != nil || err2 != nil:
		return darter.Span{}, -1, errors.Join(err1, err2)
	case to < from:
		return darter.Span{}, -1, errors.New("the last byte comes before the first")
	case total >= 0 && to >= total:
		return darter.Span{}, -1, errors.New("the span ends past the content")
	}
	return darter.Span{Offset: from, Length: to - from + 1}, total, nil
}
