package scheduler

import (
	"fmt"
	"testing"
	"testing/fstest"
	"time"
)

func TestQuota(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	file := func(format string, args ...any) *fstest.MapFile {
		return &fstest.MapFile{Data: fmt.Appendf(nil, format, args...)}
	}
	for name, c := range map[string]struct{ groups, stat, text string }{
		"one hierarchy":     {"0::/pods/a\n", "sys/fs/cgroup/pods/a/cpu.stat", "usage_usec 5\nnr_throttled 1\nthrottled_usec %d000\n"},
		"in a container":    {"0::/../../elsewhere\n", "sys/fs/cgroup/cpu.stat", "throttled_usec %d000\n"},
		"a hierarchy each":  {"9:memory:/m\n4:cpu,cpuacct:/docker/1\n0::/\n", "sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.stat", "nr_periods 9\nthrottled_time %d000000\n"},
		"nonsense besides":  {"nonsense\n1:cpuset:/\n0::/a\n", "sys/fs/cgroup/a/cpu.stat", "\nthrottled_usec\nthrottled_usec %d000\n"},
		"host path mounted": {"4:cpu:/docker/1\n", "sys/fs/cgroup/cpu/cpu.stat", "throttled_time %d000000\n"},
	} {
		t.Run(name, func(t *testing.T) {
			root := fstest.MapFS{"proc/self/cgroup": file("%s", c.groups), c.stat: file(c.text, 7000)}
			q := newQuota(root)
			if q.throttled(now) {
				t.Error("throttled before there is a time to measure")
			}
			for i, step := range []struct {
				ms   int // kept from running, in all
				want bool
			}{{7000, false}, {7099, false}, {7199, true}, {7199, false}, {8199, true}} {
				root[c.stat] = file(c.text, step.ms)
				if got := q.throttled(now.Add(time.Duration(i+1) * time.Second)); got != step.want {
					t.Errorf("second %d, kept from running for %d ms in all: %v", i+1, step.ms, got)
				}
			}
			delete(root, c.stat)
			if q.throttled(now.Add(time.Minute)) {
				t.Error("throttled, although nothing is known")
			}
		})
	}
	for name, root := range map[string]fstest.MapFS{"no kernel": {}, "no group": {"proc/self/cgroup": file("0::/a\n")},
		"nothing said": {"proc/self/cgroup": file("0::/a\n"), "sys/fs/cgroup/a/cpu.stat": file("usage_usec 5\n")}} {
		q := newQuota(root)
		if q.throttled(now) || q.throttled(now.Add(time.Second)) {
			t.Errorf("%s: throttled", name)
		}
	}
}
