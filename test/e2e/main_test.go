package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// darterBin is the darter under test; TestMain sets it.
var darterBin string

// TestMain builds the binary once, as a user would get it: static. DARTER_BIN names a built one.
func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if darterBin = os.Getenv("DARTER_BIN"); darterBin != "" {
		var err error
		if darterBin, err = filepath.Abs(darterBin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "darter-e2e-bin-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	darterBin = filepath.Join(dir, "darter")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", darterBin, "github.com/darter-p2p/darter/cmd/darter")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build darter: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}
