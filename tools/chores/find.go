package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// tests is the text of the module's test files, by folder.
type tests map[string][]string

func find(root string) (tests, error) {
	out := make(tests)
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, foreign := os.Stat(filepath.Join(name, "go.mod"))
			if name != root && (foreign == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(name))
		out[folder] = append(out[folder], string(text))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for tests: %w", err)
	}
	return out, nil
}

func (t tests) folders() []string { return slices.Sorted(maps.Keys(t)) }

func (t tests) mentions(folder, text string) bool {
	return slices.ContainsFunc(t[folder], func(s string) bool { return strings.Contains(s, text) })
}

var target = regexp.MustCompile(`(?m)^func (Fuzz[A-Z]\w*)\(`)

// fuzz runs every target for a while; go test takes one at a time.
func fuzz(ctx context.Context, root string, each time.Duration, only string) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	all, err := find(root)
	if err != nil {
		return err
	}
	ran := 0
	for _, folder := range all.folders() {
		for _, text := range all[folder] {
			for _, m := range target.FindAllStringSubmatch(text, -1) {
				if !wanted.MatchString(filepath.Base(folder) + "." + m[1]) {
					continue
				}
				ran++
				if err := fuzzOne(ctx, root, folder, m[1], each); err != nil {
					return err
				}
			}
		}
	}
	fmt.Printf("%d fuzz targets ran for %s each\n", ran, each)
	return nil
}

// fuzzOne runs one target. At the end of its time the go command now and then cuts a worker off and calls that
// a failure, without an input that failed: such an end says nothing, and the target is run again.
func fuzzOne(ctx context.Context, root, folder, name string, each time.Duration) error {
	for try := 1; ; try++ {
		var said bytes.Buffer
		err := goTestTold(ctx, io.MultiWriter(os.Stdout, &said), root, folder, "-run=^$", "-fuzz=^"+name+"$", "-fuzztime="+each.String())
		if err == nil || try == 3 || !cutOff(said.String()) {
			return err
		}
	}
}

// cutOff reports whether a target's output is that of one whose time was over, not of one that failed.
func cutOff(said string) bool {
	return strings.Contains(said, "\n    context deadline exceeded\n") && !strings.Contains(said, "Failing input")
}
