package announce

import (
	"bufio"
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/darter-p2p/darter/internal/atomicfile"
)

// The file of the last good set is text, one address per line:
//
//	darter schedulers 1
//	10.0.0.5:8002
//	[fd00::5]:8002
const (
	fileHead  = "darter schedulers 1"
	maxFile   = 64 << 10
	fileRight = 0o600
)

// keep writes the set. A disk that cannot take it costs a slower start some day, nothing now.
func (m *Membership) keep(set []netip.AddrPort) {
	if m.cfg.File == "" {
		return
	}
	var text bytes.Buffer
	fmt.Fprintln(&text, fileHead)
	for _, at := range set {
		fmt.Fprintln(&text, at)
	}
	if err := atomicfile.Write(m.cfg.File, text.Bytes(), fileRight); err != nil {
		m.failed(fmt.Errorf("keep the set of schedulers: %w", err))
	}
}

// recall takes up the set of an earlier run, when there is none yet.
func (m *Membership) recall() {
	if m.cfg.File == "" || len(m.Current()) > 0 {
		return
	}
	text, err := os.ReadFile(m.cfg.File)
	if err != nil || len(text) > maxFile {
		return // a first start, or nothing worth reading: the look comes next anyway
	}
	set := parseSet(text)
	if len(set) == 0 {
		return
	}
	if m.cfg.Events.FromFile != nil {
		m.cfg.Events.FromFile(set, m.cfg.File)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.set = set // Run tells of it
}

// parseSet reads what keep writes; anything else gives nothing.
func parseSet(text []byte) []netip.AddrPort {
	lines := bufio.NewScanner(bytes.NewReader(text))
	if !lines.Scan() || lines.Text() != fileHead {
		return nil
	}
	var set []netip.AddrPort
	for lines.Scan() && len(set) < maxCandidates {
		at, err := netip.ParseAddrPort(strings.TrimSpace(lines.Text()))
		if err != nil || at.Port() == 0 {
			return nil
		}
		set = append(set, at)
	}
	return ordered(set)
}
