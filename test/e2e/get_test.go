package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/darter-p2p/darter/test/e2e/rig"
)

// Done is how a short command ended.
type Done struct {
	Code           int
	Stdout, Stderr string
}

// darter runs a short command to its end.
func darter(t *testing.T, ctx context.Context, args ...string) Done {
	t.Helper()
	return darterIn(t, ctx, t.TempDir(), args...)
}

// darterIn runs a short command in a folder that is also its home.
func darterIn(t *testing.T, ctx context.Context, dir string, args ...string) Done {
	t.Helper()
	cmd := exec.CommandContext(ctx, darterBin, args...)
	cmd.Dir = dir
	cmd.Env = commandEnv(dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Errorf("darter %s: %v\n%s", strings.Join(args, " "), context.Cause(ctx), errs.String())
	}
	if cmd.ProcessState == nil {
		t.Fatalf("darter %s: %v", strings.Join(args, " "), err)
	}
	return Done{Code: cmd.ProcessState.ExitCode(), Stdout: out.String(), Stderr: errs.String()}
}

func commandEnv(home string) []string {
	return []string{"PATH=/usr/bin:/bin", "HOME=" + home, "XDG_RUNTIME_DIR=" + home,
		"XDG_CACHE_HOME=" + filepath.Join(home, "cache"), "XDG_DATA_HOME=" + filepath.Join(home, "data"),
		"XDG_STATE_HOME=" + filepath.Join(home, "state"), "NO_COLOR=1", "LC_ALL=C"}
}

// Got is what `get --json` says.
type Got struct {
	TaskID     string  `json:"task_id"`
	Bytes      int64   `json:"bytes"`
	FromOrigin int64   `json:"from_origin"`
	FromPeers  int64   `json:"from_peers"`
	FromCache  int64   `json:"from_cache"`
	Seconds    float64 `json:"seconds"`
	Digest     string  `json:"digest"`
	Output     string  `json:"output"`
}

func parseGot(t *testing.T, text string) Got {
	t.Helper()
	var g Got
	if err := json.Unmarshal([]byte(text), &g); err != nil {
		t.Errorf("get --json printed %q: %v", text, err)
	}
	return g
}

// Get downloads through a node and wants success, the right bytes and a sum that adds up.
func Get(t *testing.T, ctx context.Context, n *Node, url string, c Content, more ...string) Got {
	t.Helper()
	return GetTo(t, ctx, n, url, filepath.Join(n.Dir, "out-"+filepath.Base(url)), c, more...)
}

// GetTo is Get with a file of the caller's choice.
func GetTo(t *testing.T, ctx context.Context, n *Node, url, out string, c Content, more ...string) Got {
	t.Helper()
	r := darter(t, ctx, append([]string{"get", url, "-o", out, "--json", "--overwrite", "--socket", n.Socket, "--require-daemon"}, more...)...)
	if r.Code != 0 {
		t.Errorf("get through %s: exit %d: %s", n.Name, r.Code, r.Stderr)
		return Got{}
	}
	wantFile(t, out, c)
	g := parseGot(t, r.Stdout)
	if g.Bytes != c.Size || g.FromOrigin+g.FromPeers+g.FromCache != c.Size {
		t.Errorf("%s: bytes %d = origin %d + peers %d + cache %d? the file has %d",
			n.Name, g.Bytes, g.FromOrigin, g.FromPeers, g.FromCache, c.Size)
	}
	return g
}

// GetAll downloads the same through many nodes at once.
func GetAll(t *testing.T, ctx context.Context, nodes []*Node, url string, c Content) []Got {
	t.Helper()
	all := make([]Got, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() { all[i] = Get(t, ctx, n, url, c) })
	}
	wg.Wait()
	return all
}

// startGet starts a download that the test will disturb.
func startGet(t *testing.T, dir string, args ...string) *rig.Process {
	t.Helper()
	p, err := rig.Start(rig.Command{Name: "get", Program: darterBin, Dir: dir, Args: append([]string{"get"}, args...), Env: commandEnv(dir)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}
