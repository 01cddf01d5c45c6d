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
	"strconv"
	"time"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/atomicfile"
	"github.com/darter-p2p/darter/internal/liveness"
	"github.com/darter-p2p/darter/internal/scheduler/rpc"
)

// The snapshot is JSON lines: a header, then a host each, then a tombstone each. docs/formats/hosts-snapshot.md draws it.
const (
	snapshotName    = "hosts.jsonl"
	snapshotFormat  = "darter-hosts"
	snapshotVersion = 2 // 1 had no tombstones
	// maxSnapshotLine bounds what one line may make us allocate.
	maxSnapshotLine = 1 << 20
)

type snapshotHeader struct {
	Format     string `json:"format"`
	Version    int    `json:"version"`
	Hosts      int    `json:"hosts"`
	Tombstones int    `json:"tombstones"`
}

// snapshotTombstone is a liveness.Tombstone in words that outlive a version.
type snapshotTombstone struct {
	Host    darter.HostID `json:"host"`
	Epoch   darter.Epoch  `json:"epoch,omitempty"`
	Verdict string        `json:"verdict"`
	At      time.Time     `json:"at"`
	Heard   time.Time     `json:"heard,omitzero"`
	Reason  string        `json:"reason"`
	Exit    string        `json:"exit"`
	Storage string        `json:"storage,omitempty"` // fingerprint
	Zone    string        `json:"zone"`
	Drained bool          `json:"drained,omitempty"`
	Policy  uint64        `json:"policy"`
}

// snapshot is what outlives the process.
type snapshot struct {
	hosts []rpc.Known
	gone  []liveness.Tombstone
}

// encode renders a snapshot.
func (s snapshot) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	if err := enc.Encode(snapshotHeader{Format: snapshotFormat, Version: snapshotVersion, Hosts: len(s.hosts), Tombstones: len(s.gone)}); err != nil {
		return nil, err
	}
	for _, h := range s.hosts {
		if err := enc.Encode(h); err != nil {
			return nil, fmt.Errorf("host %s: %w", h.ID, err)
		}
	}
	for _, t := range s.gone {
		out := snapshotTombstone{Host: t.Host, Epoch: t.Epoch, Verdict: t.Verdict.String(), At: t.At.Round(0).UTC(), Heard: t.Heard.Round(0).UTC(),
			Reason: t.Reason, Exit: t.Exit.String(), Zone: t.Zone.String(), Drained: t.Drained, Policy: t.Policy}
		if t.Heard.IsZero() {
			out.Heard = time.Time{}
		}
		if t.Storage != 0 {
			out.Storage = strconv.FormatUint(t.Storage, 16)
		}
		if err := enc.Encode(out); err != nil {
			return nil, fmt.Errorf("tombstone of %s: %w", t.Host, err)
		}
	}
	return b.Bytes(), nil
}

// decodeSnapshot reads a snapshot whole, or not at all.
func decodeSnapshot(r io.Reader) (s snapshot, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxSnapshotLine)
	var head snapshotHeader
	if !lines.Scan() {
		return s, errors.Join(errors.New("there is no header"), lines.Err())
	}
	if err := json.Unmarshal(lines.Bytes(), &head); err != nil {
		return s, fmt.Errorf("header: %w", err)
	}
	if head.Format != snapshotFormat || head.Version < 1 || head.Version > snapshotVersion {
		return s, fmt.Errorf("format %q version %d is not %q up to version %d", head.Format, head.Version, snapshotFormat, snapshotVersion)
	}
	for n := 0; lines.Scan(); n++ {
		if n < head.Hosts {
			var h rpc.Known
			if h, err = readHost(lines.Bytes()); err == nil {
				s.hosts = append(s.hosts, h)
			}
		} else {
			var t liveness.Tombstone
			if t, err = readTombstone(lines.Bytes()); err == nil {
				s.gone = append(s.gone, t)
			}
		}
		if err != nil {
			return snapshot{}, fmt.Errorf("line %d: %w", n+2, err)
		}
	}
	if err := lines.Err(); err != nil {
		return snapshot{}, err
	}
	if len(s.hosts) != head.Hosts || len(s.gone) != head.Tombstones {
		return snapshot{}, fmt.Errorf("it has %d hosts and %d tombstones, its header says %d and %d", len(s.hosts), len(s.gone), head.Hosts, head.Tombstones)
	}
	return s, nil
}

func readHost(line []byte) (h rpc.Known, err error) {
	if err := json.Unmarshal(line, &h); err != nil {
		return h, err
	}
	if h.ID == "" || !h.IP.IsValid() || h.Port == 0 {
		return h, errors.New("it is not a host")
	}
	return h, nil
}

func readTombstone(line []byte) (t liveness.Tombstone, err error) {
	var in snapshotTombstone
	if err := json.Unmarshal(line, &in); err != nil {
		return t, err
	}
	verdict, _ := darter.ParseVerdict(in.Verdict)
	t = liveness.Tombstone{Host: in.Host, Epoch: in.Epoch, Verdict: verdict, At: in.At.UTC(), Heard: in.Heard.UTC(), Reason: in.Reason,
		Exit: darter.ParseExit(in.Exit), Drained: in.Drained, Policy: in.Policy}
	if t.Host == "" || t.At.IsZero() || max(t.At.Year(), t.Heard.Year()) > 9999 || t.Verdict != darter.Forgotten && t.Verdict != darter.Left {
		return t, errors.New("it is not a tombstone")
	}
	if in.Storage != "" {
		if t.Storage, err = strconv.ParseUint(in.Storage, 16, 64); err != nil {
			return t, err
		}
	}
	t.Zone, err = liveness.ParseZone(in.Zone)
	return t, err
}

// load takes in the hosts and tombstones of the last run. A damaged snapshot is moved aside: the hosts announce
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
	var known snapshot
	if err == nil {
		known, err = decodeSnapshot(bytes.NewReader(raw))
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
	s.server.Remember(known.hosts, known.gone)
	s.saved = raw
	if s.cfg.Snapshots.Loaded != nil {
		s.cfg.Snapshots.Loaded(len(known.hosts))
	}
}

// save writes the hosts down, when they changed.
func (s *Scheduler) save() {
	if s.cfg.DataDir == "" {
		return
	}
	hosts, gone := s.server.Snapshot()
	raw, err := snapshot{hosts, gone}.encode()
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
