package announce

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/darter-p2p/darter"
)

// machine writes the files of a machine that the test made up.
func machine(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFactsOfAMachine(t *testing.T) {
	root := t.TempDir()
	machine(t, root, map[string]string{
		"etc/os-release":            "ID=debian\nVERSION_ID=\"13\"\nNAME=\"Debian\"\n",
		"proc/sys/kernel/osrelease": "6.12.1\n",
		"proc/stat":                 "cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 1 1\n",
		"proc/self/stat":            "7 (a (b) c) S 1 1 1 0 -1 0 0 0 0 0 20 30 0 0\n",
		"proc/self/statm":           "1000 256 0 0 0 0 0\n",
		"proc/meminfo":              "MemTotal: 4096 kB\nMemFree: 1024 kB\nMemAvailable: 3072 kB\n",
		"proc/net/dev":              "Inter-| Receive | Transmit\n face |bytes packets\n    lo: 99 0 0 0 0 0 0 0 99 0 0 0 0 0 0 0\n  eth0: 1000 0 0 0 0 0 0 0 2000 0 0 0 0 0 0 0\n",
	})
	synctest.Test(t, func(t *testing.T) {
		f := newFacts(darter.Host{ID: "h", Network: darter.Network{MaxRx: 1}}, root, root)
		h := f.Host()
		if h.Platform != "debian" || h.Family != "debian" || h.OSVersion != "13" || h.Kernel != "6.12.1" {
			t.Errorf("system %q %q %q %q", h.Platform, h.Family, h.OSVersion, h.Kernel)
		}
		if h.CPU.Percent != 20 || h.CPU.ProcessPercent != 5 || h.CPU.Logical == 0 || h.CPU.Physical == 0 {
			t.Errorf("processors %+v", h.CPU)
		}
		if h.Memory.Total != 4<<20 || h.Memory.Used != 1<<20 || h.Memory.UsedPercent != 25 || h.Memory.ProcessPercent <= 0 {
			t.Errorf("memory %+v", h.Memory)
		}
		if h.Network.MaxRx != 1 || h.Network.MaxTx != DefaultBandwidth || h.Network.Rx != 0 {
			t.Errorf("network %+v", h.Network)
		}
		if h.Disk.Total == 0 || h.Disk.Free == 0 {
			t.Errorf("disk %+v", h.Disk)
		}
		machine(t, root, map[string]string{
			"proc/stat":    "cpu  200 0 200 700 100 0 0 0 50 0\n",
			"proc/net/dev": "  eth0: 11000 0 0 0 0 0 0 0 1000 0 0 0 0 0 0 0\n",
		})
		if again := f.Host(); again != h {
			t.Errorf("asked again at once, it measured again: %+v", again)
		}
		time.Sleep(10 * time.Second)
		h = f.Host()
		if h.CPU.Percent != 100 {
			t.Errorf("busy for all of the time since: %v%%", h.CPU.Percent)
		}
		if h.Network.Rx != 8000 || h.Network.Tx != 0 { // the counter of what was sent went backwards
			t.Errorf("rates %+v, want 8000 bit/s in, 0 out", h.Network)
		}
	})
}

func TestFactsWithoutAnything(t *testing.T) {
	h := newFacts(darter.Host{ID: "h"}, filepath.Join(t.TempDir(), "gone"), t.TempDir()).Host()
	if h.ID != "h" || h.Network.MaxTx != DefaultBandwidth || h.CPU.Percent != 0 || h.Memory.UsedPercent != 0 {
		t.Errorf("%+v", h)
	}
}

func BenchmarkFacts(b *testing.B) {
	f := NewFacts(darter.Host{ID: "h"}, b.TempDir())
	for b.Loop() {
		f.mu.at = time.Time{}
		f.Host()
	}
}
