package cli

import (
	"bufio"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/identity"
)

// getFlags is the command line of get.
type getFlags struct {
	output, dir, list          string
	parallel                   int
	digest, span               string
	headers                    []string
	limitRate                  string
	timeout                    time.Duration
	overwrite, quiet, asJSON   bool
	progress                   string
	standalone, requireDaemon  bool
	caFile                     string
	insecure                   bool
	tag, application           string
	priority                   int
	pieceLength                string
	filtered                   []string
	peersOnly                  bool
	hardLink                   bool
	filteredSaid, parallelSaid bool
}

const getLong = `Fetch files through the daemon of this machine, or by itself when none runs.

What arrives is kept piece by piece: after an interruption, the same command fetches only what is missing.
A file gets its name once it is complete and verified, never before.

By itself it goes to the source: peers are used by daemons only.

Exit codes: 0 done, 2 usage, 3 local file, 4 network, 5 TLS, 6 denied, 8 source error, 9 not found,
10 digest or length mismatch, 11 no space, 12 timeout, 13 some failed, 14 rate limited, 15 no daemon, 130 interrupted.`

const getExample = `  darter get https://example.com/big.iso
  darter get https://example.com/big.iso -o - | sha256sum
  darter get https://example.com/big.iso --digest sha256:9f86d08... -d downloads
  darter get -i list.txt -d models -j 8 --json`

func (a *App) getCommand() *cobra.Command {
	var f getFlags
	c := &cobra.Command{Use: "get URL...", Short: "Fetch files", Long: getLong, Example: getExample}
	f.register(c)
	settings := a.Bind(c.Flags())
	c.RunE = func(c *cobra.Command, args []string) error {
		f.filteredSaid = c.Flags().Changed("filtered-query-param")
		f.parallelSaid = c.Flags().Changed("parallel")
		s, err := settings()
		if err != nil {
			return err
		}
		return a.get(c.Context(), f, args, s)
	}
	return c
}

func (f *getFlags) register(c *cobra.Command) {
	fs := c.Flags()
	fs.StringVarP(&f.output, "output", "o", "", "file to write; - is the standard output; default: the name in the URL")
	fs.StringVarP(&f.dir, "directory", "d", "", "folder to write into; made when it is missing")
	fs.StringVarP(&f.list, "input", "i", "", "file with one \"URL\" or \"sha256 URL [name]\" per line; - is the standard input")
	fs.IntVarP(&f.parallel, "parallel", "j", 4, "files fetched at once")
	fs.StringVar(&f.digest, "digest", "", "expected digest of the bytes written, as sha256:<hex>")
	fs.StringVar(&f.span, "range", "", "bytes to write: A-B, A- or -N")
	fs.StringArrayVarP(&f.headers, "header", "H", nil, "header for the source, as \"Key: value\", or @FILE with one per line (repeat for more)")
	fs.StringVar(&f.limitRate, "limit-rate", "", "bytes per second and file, as 20M; a daemon that fetches the same for others who are in a hurry does not slow down")
	fs.DurationVar(&f.timeout, "timeout", 0, "time limit per file, as 90s or 2h; 0 is none")
	fs.BoolVar(&f.overwrite, "overwrite", false, "replace existing files")
	fs.BoolVarP(&f.quiet, "quiet", "q", false, "print nothing but errors")
	fs.BoolVar(&f.asJSON, "json", false, "print one JSON object per file on stdout (on stderr with -o -), no progress")
	fs.StringVar(&f.progress, "progress", "auto", "auto, bar, plain or none")
	fs.BoolVar(&f.standalone, "standalone", false, "fetch by itself even if a daemon runs")
	fs.BoolVar(&f.requireDaemon, "require-daemon", false, "fail with exit code 15 when no daemon answers")
	fs.StringVar(&f.caFile, "cacert", "", "PEM file of further authorities trusted for the source; implies --standalone")
	fs.BoolVar(&f.insecure, "insecure-skip-verify", false, "do not verify the source's certificate; implies --standalone")
	fs.StringVar(&f.tag, "tag", "", "keeps the same URL apart under different tags")
	fs.StringVar(&f.application, "application", "", "who asks, for statistics and priorities")
	fs.IntVarP(&f.priority, "priority", "p", 6, "0 to 6, as Dragonfly numbers them")
	fs.StringVar(&f.pieceLength, "piece-length", "", "piece length, 4MiB to 64MiB; default: by the length of the content")
	fs.StringArrayVar(&f.filtered, "filtered-query-param", nil, "query key that does not change what the content is (repeat for more); default: those of signed URLs")
	fs.BoolVar(&f.hardLink, "hard-link", false, "make the file a hard link to the daemon's cache: no copy, but never write to it afterwards")
	fs.BoolVar(&f.peersOnly, "peers-only", false, "never go to the source")
}

// plan is a checked command line.
type plan struct {
	jobs      []job
	template  darter.Want
	span      *byteRange
	digest    darter.Digest
	rate      darter.Size
	many      bool // several files: per-file results, exit code 13
	flags     getFlags
	settings  Settings
	ownEngine bool
}

func (f getFlags) plan(args []string, a *App) (*plan, error) {
	p := &plan{flags: f}
	if err := f.check(args); err != nil {
		return nil, err
	}
	var err error
	if p.span, err = parseRange(f.span); err != nil {
		return nil, err
	}
	if p.digest, err = darter.ParseDigest(f.digest); err != nil {
		return nil, Usage(err)
	}
	if f.limitRate != "" {
		if p.rate, err = darter.ParseSize(f.limitRate); err != nil {
			return nil, Usage(err)
		}
	}
	if p.template, err = f.want(); err != nil {
		return nil, err
	}
	for _, u := range args {
		p.jobs = append(p.jobs, job{url: u, digest: p.digest})
	}
	if f.list != "" {
		more, err := openList(f.list, a.In)
		if err != nil {
			return nil, err
		}
		p.jobs = append(p.jobs, more...)
	}
	p.many = f.list != "" || len(p.jobs) > 1
	p.ownEngine = f.standalone || f.caFile != "" || f.insecure
	for _, j := range p.jobs {
		if err := checkURL(j.url); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (f getFlags) check(args []string) error {
	own := f.standalone || f.caFile != "" || f.insecure
	switch {
	case len(args) == 0 && f.list == "":
		return Usage(errors.New("name a URL, or a list with -i; see darter get --help"))
	case f.output != "" && (len(args) > 1 || f.list != ""):
		return Usage(errors.New("-o names one file, but there are several: use -d"))
	case f.digest != "" && (len(args) > 1 || f.list != ""):
		return Usage(errors.New("--digest is of one file, but there are several: put digests into the list"))
	case own && f.requireDaemon:
		return Usage(errors.New("--require-daemon contradicts --standalone, --cacert and --insecure-skip-verify: a daemon verifies sources by its own settings"))
	case f.parallel < 1 || f.parallel > 256:
		return Usage(fmt.Errorf("-j %d is not between 1 and 256", f.parallel))
	case f.priority < 0 || f.priority > 6:
		return Usage(fmt.Errorf("--priority %d is not between 0 and 6", f.priority))
	case f.timeout < 0:
		return Usage(fmt.Errorf("--timeout %s is negative", f.timeout))
	case f.progress != "auto" && f.progress != "bar" && f.progress != "plain" && f.progress != "none":
		return Usage(fmt.Errorf("--progress %q is none of auto, bar, plain, none", f.progress))
	}
	return nil
}

func checkURL(raw string) error {
	u, err := url.Parse(raw)
	if err == nil && u.Scheme != "" && (u.Host != "" || u.Opaque != "" || u.Path != "") {
		return nil
	}
	return Usage(&darter.Error{Kind: darter.Invalid, Op: "read URL", Err: fmt.Errorf("%q is not a URL", identity.Redact(raw)),
		Hint: "write it with its scheme, as https://example.com/file"})
}

func (f getFlags) want() (darter.Want, error) {
	w := darter.Want{Tag: f.tag, Application: f.application, Priority: darter.Priority(f.priority), FilteredQuery: f.filtered,
		DisableSource: f.peersOnly, ForceHardLink: f.hardLink, Timeout: f.timeout}
	if !f.filteredSaid {
		w.FilteredQuery = identity.DefaultFilteredQuery()
	}
	if f.pieceLength != "" {
		n, err := darter.ParseSize(f.pieceLength)
		if err == nil && (n < darter.MinPieceLength || n > darter.MaxPieceLength) {
			err = fmt.Errorf("--piece-length %s is not between 4MiB and 64MiB", f.pieceLength)
		}
		if err != nil {
			return w, Usage(err)
		}
		w.PieceLength = int64(n)
	}
	var err error
	w.Header, err = readHeaders(f.headers)
	return w, err
}

// readHeaders takes "Key: value" and "@file" arguments. Later ones win. Values never appear in errors.
func readHeaders(args []string) (map[string]string, error) {
	if len(args) == 0 {
		return nil, nil
	}
	out := map[string]string{}
	for _, arg := range args {
		lines := []string{arg}
		if name, is := strings.CutPrefix(arg, "@"); is {
			data, err := os.ReadFile(name)
			if err != nil {
				return nil, fileError("read headers", err, "name a file with one \"Key: value\" per line")
			}
			lines = nil
			s := bufio.NewScanner(strings.NewReader(string(data)))
			for s.Scan() {
				if line := strings.TrimSpace(s.Text()); line != "" && !strings.HasPrefix(line, "#") {
					lines = append(lines, line)
				}
			}
		}
		for _, line := range lines {
			key, value, ok := strings.Cut(line, ":")
			key = strings.TrimSpace(key)
			if !ok || key == "" || strings.ContainsAny(key, " \t\r\n") || strings.ContainsAny(value, "\r\n\x00") {
				return nil, Usage(errors.New("-H takes \"Key: value\", or @FILE with such lines; one given is not of that form"))
			}
			out[key] = strings.TrimSpace(value)
		}
	}
	return out, nil
}

// transfer makes the transfer of one job.
func (p *plan) transfer(a *App, j job, target string, m *meter, rate darter.Size) *transfer {
	w := p.template
	w.URL, w.Rate = j.url, p.rate
	return &transfer{want: w, target: target, digest: j.digest, span: p.span, overwrite: p.flags.overwrite,
		makeDir: p.flags.dir != "" || j.name != "", out: a.Out, meter: m, rate: newAllowance(rate),
		inHand: target == stdout || p.span != nil || rate > 0}
}
