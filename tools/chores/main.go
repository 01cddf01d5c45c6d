package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

const usage = `chores: small jobs of the Makefile

  chores [-root DIR] deps [-strict]              which programs are missing, and who needs them
  chores [-root DIR] fuzz [-time 5s] [-only RE]  every fuzz target in turn
  chores [-root DIR] golden                      rewrite what tests compare with (-update)
  chores [-root DIR] sim [-seed N] [-time D]     the seeded worlds (TestSimulation)
`

func main() {
	root := flag.String("root", ".", "folder of the module")
	flag.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *root, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "chores:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, root string, args []string) error {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return errors.New("say which job")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	switch args[0] {
	case "deps":
		strict := flags.Bool("strict", false, "fail when a program is missing")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return deps(*strict)
	case "fuzz":
		each := flags.Duration("time", 5*time.Second, "for each target")
		only := flags.String("only", "", "regular expression over package.Target")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return fuzz(ctx, root, *each, *only)
	case "golden":
		return withFlag(ctx, root, "update", "-update")
	case "sim":
		seed := flags.Uint64("seed", 0, "0 chooses one")
		limit := flags.Duration("time", 30*time.Second, "how long to go on with new seeds")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return sim(ctx, root, *seed, *limit)
	}
	return fmt.Errorf("%q is no job of mine", args[0])
}

// withFlag runs the tests of each package whose tests define the flag.
func withFlag(ctx context.Context, root, name string, args ...string) error {
	tests, err := find(root)
	if err != nil {
		return err
	}
	ran := 0
	for _, folder := range tests.folders() {
		if !tests.mentions(folder, `"`+name+`"`) {
			continue
		}
		ran++
		if err := goTest(ctx, root, folder, args...); err != nil {
			return err
		}
	}
	if ran == 0 {
		fmt.Printf("no test takes -%s yet\n", name)
	}
	return nil
}

func goTest(ctx context.Context, root, folder string, args ...string) error {
	return goTestTold(ctx, os.Stdout, root, folder, args...)
}

// goTestTold is goTest with its output going to out.
func goTestTold(ctx context.Context, out io.Writer, root, folder string, args ...string) error {
	// Flags of the test itself must follow the package.
	var mine, theirs []string
	for _, a := range args {
		if a == "-update" {
			theirs = append(theirs, a)
		} else {
			mine = append(mine, a)
		}
	}
	line := append([]string{"test"}, mine...)
	line = append(line, "./"+filepath.ToSlash(folder))
	line = append(line, theirs...)
	fmt.Println("go", strings.Join(line, " "))
	cmd := exec.CommandContext(ctx, "go", line...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, out, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go %s: %w", strings.Join(line, " "), err)
	}
	return nil
}
