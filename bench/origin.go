package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// answer is one body that nginx sent, or began to send.
type answer struct {
	to    string
	ended float64 // seconds since 1970
	first int64   // offset of its first byte in the file
	bytes int64   // given to the socket
}

// answers are those under one path, in the order in which they ended.
type answers []answer

// readLog reads lines of "uri status bytes client time range", as startNginx has nginx write them.
func readLog(text, uri string) (answers, error) {
	var all answers
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 6 || f[0] != uri {
			continue
		}
		a := answer{to: f[3]}
		var err error
		if a.bytes, err = strconv.ParseInt(f[2], 10, 64); err != nil {
			return nil, fmt.Errorf("nginx log %q: %w", line, err)
		}
		if a.ended, err = strconv.ParseFloat(f[4], 64); err != nil {
			return nil, fmt.Errorf("nginx log %q: %w", line, err)
		}
		if span, ranged := strings.CutPrefix(f[5], "bytes="); ranged && f[1] == "206" {
			first, _, _ := strings.Cut(span, "-")
			if a.first, err = strconv.ParseInt(first, 10, 64); err != nil {
				return nil, fmt.Errorf("nginx log %q: %w", line, err)
			}
		}
		all = append(all, a)
	}
	return all, nil
}

// sum returns how many bytes were sent.
func (a answers) sum() (bytes int64) {
	for _, one := range a {
		bytes += one.bytes
	}
	return bytes
}

// twice returns how many bytes were sent that had been sent before.
func (a answers) twice() (bytes int64) {
	sorted := slices.Clone(a)
	slices.SortFunc(sorted, func(x, y answer) int { return cmp.Compare(x.first, y.first) })
	end := int64(0) // everything before it that was sent at all is counted
	for _, one := range sorted {
		last := one.first + one.bytes
		bytes += max(0, min(last, end)-one.first)
		end = max(end, last)
	}
	return bytes
}

// String lists the bodies for people, in pieces.
func (a answers) String() string {
	var out strings.Builder
	for _, one := range a {
		fmt.Fprintf(&out, "%.3f to %s: pieces %.3f to %.3f\n", one.ended, one.to,
			float64(one.first)/float64(pieceLength), float64(one.first+one.bytes)/float64(pieceLength))
	}
	return out.String()
}
