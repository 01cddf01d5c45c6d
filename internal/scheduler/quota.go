package scheduler

import (
	"bytes"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"
)

// quota tells whether the kernel kept this process from running because its control group had used up its processor time.
// Renewals that wait meanwhile are nobody's fault but ours: liveness gives hosts longer then.
//
//	/proc/self/cgroup   0::/kubepods/pod1         ─▶ /sys/fs/cgroup/kubepods/pod1/cpu.stat               throttled_usec
//	                    4:cpu,cpuacct:/docker/1   ─▶ /sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.stat        throttled_time, in ns
type quota struct {
	root  fs.FS
	files []string
	last  time.Duration // kept from running, in all
	asked time.Time
}

// tooMuch is the share of the time for which a process that is kept from running counts as throttled: what is due now comes
// late by then.
const tooMuch = 0.1

// newQuota finds the files that say so. There may be none: then nothing is known, and nobody is throttled.
func newQuota(root fs.FS) *quota {
	q := &quota{root: root}
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return q
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		controllers, group := parts[1], parts[2]
		if controllers != "" && !strings.Contains(","+controllers+",", ",cpu,") {
			continue
		}
		// In a container the path may be that of the host, while the group is mounted as the root of all.
		for _, name := range []string{path.Join("sys/fs/cgroup", controllers, group, "cpu.stat"), path.Join("sys/fs/cgroup", controllers, "cpu.stat")} {
			if _, known := q.read(name); known {
				q.files = append(q.files, name)
				break
			}
		}
	}
	return q
}

// throttled reports whether this process was kept from running for a tenth of the time since it was asked last.
func (q *quota) throttled(now time.Time) bool {
	total := time.Duration(0)
	for _, name := range q.files {
		kept, _ := q.read(name)
		total += kept
	}
	fresh, since, first := total-q.last, now.Sub(q.asked), q.asked.IsZero()
	q.last, q.asked = total, now
	return !first && float64(fresh) >= tooMuch*float64(since) && fresh > 0
}

// read returns how long a group was kept from running.
func (q *quota) read(name string) (kept time.Duration, known bool) {
	text, err := fs.ReadFile(q.root, name)
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case err != nil || n < 0:
		case key == "throttled_usec":
			return time.Duration(n) * time.Microsecond, true
		case key == "throttled_time":
			return time.Duration(n), true
		}
	}
	return 0, false
}
