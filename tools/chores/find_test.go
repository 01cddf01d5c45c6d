package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestFindLooksAtTheModuleOnly(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"a/a_test.go":          "func FuzzOne(f *testing.F) {}\n\nfunc Fuzzy() {}",
		"a/testdata/x_test.go": "func FuzzNever() {}",
		"other/go.mod":         "module other",
		"other/b_test.go":      "func FuzzOther() {}",
		".hidden/c_test.go":    "func FuzzHidden() {}",
		"d_test.go":            `var update = flag.Bool("update", false, "")`,
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := find(root)
	if err != nil || !slices.Equal(got.folders(), []string{".", "a"}) {
		t.Fatalf("found %v, %v; want the root and a", got.folders(), err)
	}
	if m := target.FindAllStringSubmatch(got["a"][0], -1); len(m) != 1 || m[0][1] != "FuzzOne" {
		t.Errorf("targets %v, want FuzzOne alone", m)
	}
	if !got.mentions(".", `"update"`) || got.mentions("a", `"update"`) {
		t.Error("the flag was looked for in the wrong folder")
	}
}

func TestATargetThatWasCutOffHasNotFailed(t *testing.T) {
	for said, want := range map[string]bool{
		"--- FAIL: FuzzA (5.25s)\n    context deadline exceeded\nFAIL\n":                                                               true,
		"--- FAIL: FuzzA (5.25s)\n    context deadline exceeded\n    Failing input written to testdata/fuzz/FuzzA/1\nFAIL\n":           false,
		"--- FAIL: FuzzA (1.00s)\n    --- FAIL: FuzzA (0.00s)\n        a_test.go:1: context deadline exceeded here\n    Failing input": false,
	} {
		if got := cutOff(said); got != want {
			t.Errorf("%q: %v, want %v", said, got, want)
		}
	}
}
