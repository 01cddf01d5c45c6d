package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/darter-p2p/darter"
)

// byteRange is what --range says: "A-B", "A-" or "-N".
type byteRange struct {
	text       string
	start, end int64 // inclusive; end -1 means to the last byte; start -1 means the last end bytes
}

func parseRange(text string) (*byteRange, error) {
	if text == "" {
		return nil, nil
	}
	bad := Usage(&darter.Error{Kind: darter.Invalid, Op: "--range " + text, Err: fmt.Errorf("%q is no range of bytes", text),
		Hint: "write the first and last byte as 0-99, 100- for the rest, or -100 for the last hundred"})
	lo, hi, ok := strings.Cut(strings.TrimPrefix(text, "bytes="), "-")
	if !ok {
		return nil, bad
	}
	r := &byteRange{text: lo + "-" + hi, start: -1, end: -1}
	var err error
	if lo != "" {
		if r.start, err = strconv.ParseInt(lo, 10, 64); err != nil || r.start < 0 {
			return nil, bad
		}
	}
	if hi != "" {
		if r.end, err = strconv.ParseInt(hi, 10, 63); err != nil || r.end < 0 {
			return nil, bad
		}
	}
	if r.start == math.MaxInt64 || r.start < 0 && r.end <= 0 || r.start >= 0 && hi != "" && r.end < r.start {
		return nil, bad
	}
	return r, nil
}

// suffix reports whether the range counts from the end, so that the length must be known before it can be asked for.
func (r *byteRange) suffix() bool { return r.start < 0 }

// request returns the range as it is asked for. An open end reaches to the largest position; who answers
// cuts it off at the content's end.
func (r *byteRange) request() *darter.Range {
	if r.end < 0 {
		return &darter.Range{Start: r.start, Length: math.MaxInt64 - r.start}
	}
	return &darter.Range{Start: r.start, Length: r.end - r.start + 1}
}

// resolve returns the bytes that the range means in a content of that length.
func (r *byteRange) resolve(length int64) darter.Span {
	if r.start < 0 {
		n := min(r.end, length)
		return darter.Span{Offset: length - n, Length: n}
	}
	last := length - 1
	if r.end >= 0 {
		last = min(last, r.end)
	}
	if r.start > last {
		return darter.Span{Offset: length}
	}
	return darter.Span{Offset: r.start, Length: last - r.start + 1}
}
