package cli

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/darter-p2p/darter"
)

// Limits of an input list.
const (
	maxLines = 1 << 20
	maxLine  = 64 << 10 // bytes
)

// job is one line of an input list, or one URL of the command line.
type job struct {
	url    string
	digest darter.Digest
	name   string // below the folder; empty means from the URL
}

// readList reads lines of "URL" or "sha256 URL [name]". Blank lines and those that begin with # are skipped.
func readList(r io.Reader, from string) ([]job, error) {
	var out []job
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 4096), maxLine)
	for n := 1; s.Scan(); n++ {
		line := strings.TrimSpace(strings.TrimPrefix(s.Text(), "\uFEFF"))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		j, err := parseLine(line)
		if err != nil {
			return nil, listError(from, n, err)
		}
		if out = append(out, j); len(out) > maxLines {
			return nil, listError(from, n, fmt.Errorf("there are more than %d files", maxLines))
		}
	}
	if err := s.Err(); err != nil {
		return nil, listError(from, len(out)+1, err)
	}
	return out, nil
}

func listError(from string, line int, err error) error {
	return Usage(&darter.Error{Kind: darter.Invalid, Op: fmt.Sprintf("list %s, line %d", from, line), Err: err,
		Hint: "write one file per line: URL, or: sha256 URL [name]"})
}

func parseLine(line string) (job, error) {
	fields := strings.Fields(line)
	if len(fields) == 1 {
		return job{url: fields[0]}, nil
	}
	text := fields[0]
	if !strings.Contains(text, ":") {
		text = "sha256:" + text
	}
	d, err := darter.ParseDigest(text)
	if err != nil {
		return job{}, err
	}
	j := job{url: fields[1], digest: d}
	if len(fields) > 2 {
		// the rest of the line, blanks included
		rest := strings.TrimSpace(line[strings.Index(line, fields[1])+len(fields[1]):])
		if !filepath.IsLocal(rest) || strings.HasSuffix(rest, "/") || printable(rest) != rest {
			return job{}, fmt.Errorf("the name %q leaves the folder", rest)
		}
		j.name = rest
	}
	return j, nil
}

// openList returns the jobs of a file, or of the standard input for "-".
func openList(name string, in io.Reader) ([]job, error) {
	if name == stdout {
		return readList(in, "standard input")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fileError("read list", err, "name a file with -i")
	}
	defer f.Close()
	return readList(f, name)
}
