package jobs

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/identity"
)

// Limits of one job.
const (
	MaxItems    = 10_000
	maxURLBytes = 8 << 20 // of all URLs together
	maxHeaders  = 64 << 10
	maxAtOnce   = 1000
)

// Spec says what a job is to do. Which fields count depends on the kind; the others stay empty.
type Spec struct {
	URLs          []string       `json:"urls,omitempty"`           // preheat: files, or one manifest; locate, purge: the task, unless TaskID is set
	TaskID        darter.TaskID  `json:"task_id,omitempty"`        // locate, purge
	Tag           string         `json:"tag,omitempty"`            //
	Application   string         `json:"application,omitempty"`    // part of the identity, and the tenant
	FilteredQuery []string       `json:"filtered_query,omitempty"` // nil: the built-in list
	PieceLength   int64          `json:"piece_length,omitempty"`
	Digest        darter.Digest  `json:"digest,omitempty"`       // preheat.files: of the one file
	DigestAsID    bool           `json:"digest_as_id,omitempty"` // name registry blobs by their digest, as daemons do
	Platforms     []string       `json:"platforms,omitempty"`    // preheat.image: os/arch
	Targets       darter.Targets `json:"targets,omitzero"`
	Clusters      []uint64       `json:"clusters,omitempty"` // none: all
	TasksAtOnce   uint32         `json:"tasks_at_once,omitempty"`
	HostsAtOnce   uint32         `json:"hosts_at_once,omitempty"`
	Timeout       time.Duration  `json:"timeout,omitempty"` // of one download
	Records       string         `json:"records,omitempty"` // gc.records: the policy to run

	Header map[string]string `json:"-"` // for the origin; kept sealed, and only until the job is over
}

// Check says what is wrong with a specification, and fills in what was left out.
func (s *Spec) Check(kind darter.JobKind) error {
	if s.Targets.Scope == "" {
		s.Targets.Scope = darter.OneSeed
	}
	if s.TasksAtOnce == 0 {
		s.TasksAtOnce = 8
	}
	if s.HostsAtOnce == 0 {
		s.HostsAtOnce = 500
	}
	if s.Timeout == 0 {
		s.Timeout = time.Hour
	}
	if s.FilteredQuery == nil {
		s.FilteredQuery = identity.DefaultFilteredQuery()
	}
	switch kind {
	case darter.PreheatFiles, darter.PreheatImage:
		if err := s.checkPreheat(kind); err != nil {
			return err
		}
	case darter.LocateTask, darter.PurgeTask:
		if s.TaskID == "" && len(s.URLs) != 1 || s.TaskID != "" && (len(s.URLs) > 0 || len(s.TaskID) > 128) {
			return invalid(errors.New("one task is needed: its id, or its URL"), "give either a task id or one URL")
		}
		s.Targets = darter.Targets{Scope: darter.AllPeers}
	case darter.SyncHosts, darter.GCRecords:
	default:
		return invalid(fmt.Errorf("kind %q is unknown", kind), "take one of preheat.files, preheat.image, task.locate, task.purge, hosts.sync, gc.records")
	}
	return s.checkNumbers()
}

func (s *Spec) checkPreheat(kind darter.JobKind) error {
	switch {
	case len(s.URLs) == 0:
		return invalid(errors.New("it names no URL"), "give at least one")
	case kind == darter.PreheatImage && len(s.URLs) != 1:
		return invalid(fmt.Errorf("an image has one manifest URL, not %d", len(s.URLs)), "make one job per image")
	case s.Digest != "" && (kind != darter.PreheatFiles || len(s.URLs) != 1):
		return invalid(errors.New("a digest goes with one file"), "make one job per file with a digest")
	case len(s.URLs) > MaxItems:
		return invalid(fmt.Errorf("%d URLs, more than %d", len(s.URLs), MaxItems), "split it into several jobs")
	}
	total, seen := 0, make(map[string]bool, len(s.URLs))
	for i, u := range s.URLs {
		if total += len(u); total > maxURLBytes {
			return invalid(errors.New("the URLs together are longer than 8 MiB"), "split it into several jobs")
		}
		if seen[u] {
			return invalid(fmt.Errorf("URL %d, %s, is there twice", i, identity.Redact(u)), "name each content once")
		}
		seen[u] = true
		if p, err := url.Parse(u); err != nil || p.Scheme == "" || p.Host == "" || p.User != nil {
			return invalid(fmt.Errorf("URL %d, %s, is no absolute URL without user and password", i, identity.Redact(u)), "write it as scheme://host/path, and give credentials as headers")
		}
	}
	if s.Digest != "" {
		if _, err := darter.ParseDigest(string(s.Digest)); err != nil {
			return invalid(err, "write it as sha256: and 64 hexadecimal digits")
		}
	}
	switch s.Targets.Scope {
	case darter.OneSeed, darter.AllSeeds, darter.AllPeers:
	default:
		return invalid(fmt.Errorf("scope %q is unknown", s.Targets.Scope), "take single_seed_peer, all_seed_peers or all_peers")
	}
	return nil
}

func (s *Spec) checkNumbers() error {
	headers := 0
	for k, v := range s.Header {
		if k == "" || strings.ContainsAny(k+v, "\r\n\x00") {
			return invalid(errors.New("a header has no name, or holds a line break"), "correct it")
		}
		headers += len(k) + len(v)
	}
	switch {
	case s.PieceLength != 0 && (s.PieceLength < darter.MinPieceLength || s.PieceLength > darter.MaxPieceLength):
		return invalid(fmt.Errorf("piece length %d", s.PieceLength), "leave it out, or set it between 4MiB and 64MiB")
	case s.Targets.Percent > 100 || s.Targets.Count > 100_000 || len(s.Targets.IPs) > 10_000:
		return invalid(errors.New("the selection of hosts is out of range"), "a percentage is 1 to 100")
	case s.TasksAtOnce > maxAtOnce || s.HostsAtOnce > maxAtOnce:
		return invalid(fmt.Errorf("more than %d at once", maxAtOnce), "lower the concurrency")
	case s.Timeout < time.Second || s.Timeout > 7*24*time.Hour:
		return invalid(fmt.Errorf("a timeout of %s", s.Timeout), "take one between a second and a week")
	case headers > maxHeaders:
		return invalid(errors.New("the headers are longer than 64 KiB"), "send fewer")
	case len(s.Application) > 256 || len(s.Tag) > 1024 || len(s.Clusters) > 1000:
		return invalid(errors.New("application, tag or clusters are too long"), "shorten them")
	}
	return nil
}

// Want is the request for one URL of the job, credentials included.
func (s *Spec) Want(rawURL string) darter.Want {
	return darter.Want{URL: rawURL, Tag: s.Tag, Application: s.Application, FilteredQuery: s.FilteredQuery,
		PieceLength: s.PieceLength, Digest: s.Digest, DigestAsID: s.DigestAsID, Header: s.Header, Timeout: s.Timeout}
}

// origin is the host that the bytes come from; empty when there is none, or several.
func (s *Spec) origin() string {
	host := ""
	for _, u := range s.URLs {
		p, err := url.Parse(u)
		if err != nil || host != "" && p.Host != host {
			return ""
		}
		host = p.Host
	}
	return host
}

func invalid(err error, hint string) error {
	return &darter.Error{Kind: darter.Invalid, Op: "check job", Err: err, Hint: hint}
}
