package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// guideBlock is one block of a guide that is meant to be pasted.
var guideBlock = regexp.MustCompile("(?s)(<!-- start -->\n)?```sh\n(.*?)```")

// TestManagerAPIGuide pastes what docs/guides/manager-api.md shows, block after block, into one shell.
func TestManagerAPIGuide(t *testing.T) {
	ctx := deadline(t, 2*time.Minute)
	text, err := os.ReadFile("../../docs/guides/manager-api.md")
	if err != nil {
		t.Fatal(err)
	}
	o := NewOrigin(t, 0)
	content := Random(t, 9*mib, 71)
	page := o.Add("/file.bin", content)
	n := newNode(t, shortDir(t), "up")
	n.Socket = filepath.Join(n.Dir, "s")
	n.role = []string{"up", "--data-dir", filepath.Join(n.Dir, "darter-guide"), "--socket", n.Socket, "--listen-ip", "127.0.0.1"}
	n.listen = []string{"--upload-listen", "upload", "--piece-listen", "pieces", "--metrics-listen", "metrics",
		"--health-listen", "health", "--debug-listen", "debug", "--scheduler-listen", "scheduler",
		"--manager-grpc", "manager_grpc", "--manager-http", "manager_http"}
	n.Start(ctx)

	var script strings.Builder
	script.WriteString("set -eu -o pipefail\n")
	started := false
	for _, block := range guideBlock.FindAllStringSubmatch(string(text), -1) {
		if block[1] != "" { // the test has started it already, on free ports
			started = strings.Contains(block[2], `darter up --data-dir "$HOME/darter-guide"`)
			continue
		}
		script.WriteString("echo '== '\n" + block[2])
	}
	if !started {
		t.Error("the guide does not start a manager, or not in the folder that it uses")
	}
	commands := strings.NewReplacer("http://127.0.0.1:8080", "http://"+n.Ready["manager_http"], "http://127.0.0.1:8000", o.URL).Replace(script.String())
	out := shell(t, ctx, n.Dir, commands)
	for _, want := range []string{`"name":"database","ready":true`, `"name":"anna"`, "Idempotency-Replayed: true", "\nsucceeded\n", `"newly":0`, "\nprecondition_failed\n", `"rolled_back_from":1`, `"action":"gc_policy.`} {
		if !strings.Contains(out, want) {
			t.Errorf("the guide never shows %s", want)
		}
	}
	if strings.Count(out, "\nsucceeded\n") != 2 {
		t.Error("the job and the run did not both succeed")
	}
	if t.Failed() {
		t.Log(out)
	}
	wantOneCopy(t, page, content, 0)
	wantBoardsAnswered(t, ctx, n)
	n.Stop(ctx)
}

// quiet are metrics that a manager has only after something that the guide does not do: trouble, rows that go, or
// schedulers that told of hosts, for which it does not wait.
var quiet = []string{"darter_gc_batch_seconds", "darter_gc_rows_deleted_total", "darter_gc_waits_total", "darter_gc_skipped_total",
	"darter_jobs_retried_total", "darter_manager_credentials_refused_total", "darter_manager_database_failures_total",
	"darter_manager_host_events_total"}

// wantBoardsAnswered holds the board and the alerts for the manager to what a running one shows.
func wantBoardsAnswered(t *testing.T, ctx context.Context, n *Node) {
	t.Helper()
	metrics, err := n.Metrics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"../../deploy/grafana/manager.json", "../../deploy/alerts/manager.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`(?:darter|dragonfly)_[a-z_]+`).FindAllString(string(text), -1) {
			shown := regexp.MustCompile(`(?m)^` + name + `(_bucket)?[{ ]`).MatchString(metrics)
			if !shown && !slices.Contains(quiet, name) && !slices.Contains(quiet, strings.TrimSuffix(name, "_bucket")) {
				t.Errorf("%s asks for %s, and a running manager shows nothing of it", file, name)
			}
		}
	}
}

// shell runs commands in one bash and returns what they print.
func shell(t *testing.T, ctx context.Context, home, commands string) string {
	t.Helper()
	cmd := exec.CommandContext(ctx, "bash", "-c", commands)
	cmd.Dir, cmd.Env = home, commandEnv(home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("the guide's commands: %v\n%s", err, out.String())
	}
	return out.String()
}
