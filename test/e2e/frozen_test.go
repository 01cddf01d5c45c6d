package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFrozenSchedulerDoesNotHoldDownloads stops the scheduler's process without ending it: its connections stay, and
// nothing is refused. What released the download is told by the order of the log, not by the time it took.
func TestFrozenSchedulerDoesNotHoldDownloads(t *testing.T) {
	ctx := deadline(t, 2*time.Minute)
	c := newCluster(t, ctx, Shape{Daemons: 2})
	o := NewOrigin(t, 0)
	thaw := func() { _ = c.Scheduler.Process.Signal(syscall.SIGCONT) }
	t.Cleanup(thaw) // a stopped process does not hear SIGTERM
	freeze(t, ctx, c.Scheduler)

	content := Random(t, 9*mib+5, 30)
	page := o.Add("/frozen", content)
	Get(t, ctx, c.Daemons[0], o.URL+"/frozen", content)
	wantOneCopy(t, page, content, 0)
	const silent, alone, given = "gives no sign of life", "goes to the source without the scheduler's word", "a scheduler failed"
	if !inOrder(c.Daemons[0].Log(), silent, alone) {
		t.Errorf("the log does not say %q and then %q", silent, alone)
	}
	if before, _, _ := strings.Cut(c.Daemons[0].Log(), alone); strings.Contains(before, given) {
		t.Errorf("the log says %q before %q: the download waited for that", given, alone)
	}

	thaw()
	if !eventually(ctx, time.Minute, func() bool { return inOrder(c.Daemons[0].Log(), silent, "speaks again") }) {
		t.Fatal("the daemon did not notice that the scheduler is back")
	}
	c.WaitHosts(ctx, "d0", "d1")
	again := Random(t, 9*mib+5, 31)
	page = o.Add("/thawed", again)
	GetAll(t, ctx, c.Daemons, o.URL+"/thawed", again)
	wantOneCopy(t, page, again, 0)
}

// inOrder reports whether the texts occur one after the other.
func inOrder(log string, texts ...string) bool {
	for _, text := range texts {
		_, after, found := strings.Cut(log, text)
		if !found {
			return false
		}
		log = after
	}
	return true
}

// freeze stops a process and waits until all its threads stand: on a busy machine a signal takes its time to arrive.
func freeze(t *testing.T, ctx context.Context, n *Node) {
	t.Helper()
	check(t, n.Process.Signal(syscall.SIGSTOP))
	if !eventually(ctx, 30*time.Second, func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", n.Process.PID()))
		check(t, err)
		for _, path := range threads {
			text, err := os.ReadFile(path)
			if err == nil && !strings.HasPrefix(string(text[bytes.LastIndexByte(text, ')')+1:]), " T") {
				return false
			}
		}
		return len(threads) > 0
	}) {
		t.Fatalf("%s does not stand still", n.Name)
	}
}
