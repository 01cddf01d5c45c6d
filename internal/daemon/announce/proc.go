package announce

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/darter-p2p/darter"
)

// maxProc bounds what is read of one file under /proc.
const maxProc = 1 << 20

// read returns the text of a file under root, empty when there is none.
func (f *Facts) read(name string) string {
	file, err := os.Open(filepath.Join(f.root, name))
	if err != nil {
		return ""
	}
	defer file.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(io.LimitReader(file, maxProc)); err != nil {
		return ""
	}
	return text.String()
}

// system fills in what does not change while the process runs.
func (f *Facts) system(h *darter.Host) {
	for line := range strings.Lines(f.read("etc/os-release")) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		value = strings.Trim(value, `"'`)
		switch key {
		case "ID":
			h.Platform = value
		case "ID_LIKE":
			h.Family, _, _ = strings.Cut(value, " ")
		case "VERSION_ID":
			h.OSVersion = value
		}
	}
	if h.Family == "" {
		h.Family = h.Platform
	}
	h.Kernel = strings.TrimSpace(f.read("proc/sys/kernel/osrelease"))
	h.CPU.Logical = uint32(runtime.NumCPU())
	h.CPU.Physical = f.cores(h.CPU.Logical)
}

// cores counts distinct cores; where the kernel does not tell, every processor counts as one.
func (f *Facts) cores(logical uint32) uint32 {
	distinct := make(map[string]bool)
	socket := ""
	for line := range strings.Lines(f.read("proc/cpuinfo")) {
		key, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(key) {
		case "physical id":
			socket = strings.TrimSpace(value)
		case "core id":
			distinct[socket+"/"+strings.TrimSpace(value)] = true
		}
	}
	if n := uint32(len(distinct)); n > 0 && n <= logical {
		return n
	}
	return logical
}

// count reads the running totals.
func (f *Facts) count() counters {
	c := counters{at: time.Now()}
	first, _, _ := strings.Cut(f.read("proc/stat"), "\n")
	if fields := strings.Fields(first); len(fields) > 5 && fields[0] == "cpu" {
		for i, text := range fields[1:min(len(fields), 9)] { // guest time is in user time already
			v := number(text)
			c.all += v
			if i != 3 && i != 4 { // idle, iowait
				c.busy += v
			}
		}
		c.haveTotals = true
	}
	// The command's name, in brackets, may hold anything; the fields count from behind it.
	if _, rest, ok := cutLast(f.read("proc/self/stat"), ") "); ok {
		if fields := strings.Fields(rest); len(fields) > 12 {
			c.own = number(fields[11]) + number(fields[12])
		}
	}
	for line := range strings.Lines(f.read("proc/net/dev")) {
		link, rest, ok := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if !ok || strings.TrimSpace(link) == "lo" || len(fields) < 9 {
			continue
		}
		c.rx += uint64(number(fields[0]))
		c.tx += uint64(number(fields[8]))
	}
	return c
}

func (f *Facts) memory(h *darter.Host) {
	values := make(map[string]uint64)
	for line := range strings.Lines(f.read("proc/meminfo")) {
		key, rest, _ := strings.Cut(line, ":")
		if fields := strings.Fields(rest); len(fields) > 0 {
			values[key] = uint64(number(fields[0])) << 10
		}
	}
	m := &h.Memory
	m.Total, m.Free, m.Available = values["MemTotal"], values["MemFree"], values["MemAvailable"]
	if m.Total == 0 {
		return
	}
	m.Used = m.Total - min(m.Available, m.Total)
	m.UsedPercent = percent(float64(m.Used), float64(m.Total))
	if fields := strings.Fields(f.read("proc/self/statm")); len(fields) > 1 {
		m.ProcessPercent = percent(number(fields[1])*float64(os.Getpagesize()), float64(m.Total))
	}
}

// disk asks the file system that holds the content. Room that is reserved for root is not free.
func (f *Facts) disk(h *darter.Host) {
	var st unix.Statfs_t
	if f.dir == "" || runtime.GOOS != "linux" || unix.Statfs(f.dir, &st) != nil {
		return
	}
	block := uint64(st.Bsize)
	h.Disk.Total = st.Blocks * block
	h.Disk.Free = st.Bavail * block
	h.Disk.Used = (st.Blocks - min(st.Bfree, st.Blocks)) * block
	h.Disk.UsedPercent = percent(float64(h.Disk.Used), float64(h.Disk.Used+h.Disk.Free))
}

func number(text string) float64 {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || v < 0 {
		return 0
	}
	return v
}

// cutLast is strings.Cut at the last separator.
func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
