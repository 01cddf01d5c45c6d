package scheduler

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/atomicfile"
)

// The snapshot is JSON lines: a header, then one host per line. docs/formats/hosts-snapshot.md draws it.
const (
	snapshotName    = "hosts.jsonl"
	snapshotFormat  = "darter-hosts"
	snapshotVersion = 1
	// maxSnapshotLine bounds what one line may make us allocate.
	maxSnapshotLine = 1 << 20
)

type snapshotHeader struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	Hosts   int    `json:"hosts"`
}

// encodeHosts renders a snapshot.
func encodeHosts(hosts []darter.Host) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	if err := enc.Encode(snapshotHeader{Format: snapshotFormat, Version: snapshotVersion, Hosts: len(hosts)}); err != nil {
		return nil, err
	}
	for _, h := range hosts {
		if err := enc.Encode(h); err != nil {
			return nil, fmt.Errorf("host %s: %w", h.ID, err)
		}
	}
	return b.Bytes(), nil
}

// decodeHosts reads a snapshot whole, or not at all.
func decodeHosts(r io.Reader) ([]darter.Host, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxSnapshotLine)
	var head snapshotHeader
	if !lines.Scan() {
		return nil, errors.Join(errors.New("there is no header"), lines.Err())
	}
	if err := json.Unmarshal(lines.Bytes(), &head); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if head.Format != snapshotFormat || head.Version != snapshotVersion {
		return nil, fmt.Errorf("format %q version %d is not %q version %d", head.Format, head.Version, snapshotFormat, snapshotVersion)
	}
	var hosts []darter.Host
	for lines.Scan() {
		var h darter.Host
		if err := json.Unmarshal(lines.Bytes(), &h); err != nil {
			return nil, fmt.Errorf("line %d: %w", len(hosts)+2, err)
		}
		if h.ID == "" || !h.IP.IsValid() || h.Port == 0 {
			return nil, fmt.Errorf("line %d is not a host", len(hosts)+2)
		}
		hosts = append(hosts, h)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(hosts) != head.Hosts {
		return nil, fmt.Errorf("it has %d hosts, its header says %d", len(hosts), head.Hosts)
	}
	return hosts, nil
}

// load takes in the hosts of the last run. A damaged snapshot is moved aside: the hosts announce
// themselves again.
func (s *Scheduler) load() {
	if s.cfg.DataDir == "" {
		return
	}
	path := filepath.Join(s.cfg.DataDir, snapshotName)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var hosts []darter.Host
	if err == nil {
		hosts, err = decodeHosts(bytes.NewReader(raw))
	}
	if err != nil {
		aside := path + ".damaged" // the latest one is kept
		err = errors.Join(err, os.Rename(path, aside))
		s.cfg.Log.Warn("snapshot of hosts cannot be read; hosts announce themselves again", "moved_to", aside, "error", err)
		if s.cfg.Snapshots.Damaged != nil {
			s.cfg.Snapshots.Damaged(aside, err)
		}
		return
	}
	s.server.Remember(hosts)
	s.saved = raw
	if s.cfg.Snapshots.Loaded != nil {
		s.cfg.Snapshots.Loaded(len(hosts))
	}
}

// save writes the hosts down, when they changed.
func (s *Scheduler) save() {
	if s.cfg.DataDir == "" {
		return
	}
	views := s.server.Hosts()
	hosts := make([]darter.Host, len(views))
	for i, v := range views {
		hosts[i] = *v.Host
	}
	raw, err := encodeHosts(hosts)
	if err == nil && bytes.Equal(raw, s.saved) {
		return
	}
	if err == nil {
		err = os.MkdirAll(s.cfg.DataDir, 0o755)
	}
	if err == nil {
		err = atomicfile.Write(filepath.Join(s.cfg.DataDir, snapshotName), raw, 0o644)
	}
	if err != nil {
		s.cfg.Log.Warn("snapshot of hosts cannot be written", "dir", s.cfg.DataDir, "error", err)
		if s.cfg.Snapshots.Failed != nil {
			s.cfg.Snapshots.Failed(err)
		}
		return
	}
	s.saved = raw
	if s.cfg.Snapshots.Saved != nil {
		s.cfg.Snapshots.Saved(len(hosts))
	}
}
