package main

import (
	"strings"
	"testing"
)

// TestCommitted holds what is committed to what the protos say.
func TestCommitted(t *testing.T) {
	if err := run(t.Context(), "../..", true); err != nil {
		t.Fatal(err)
	}
}

func TestCompareNamesWhatDiffers(t *testing.T) {
	made := map[string][]byte{"same.go": []byte("a"), "changed.go": []byte("b"), "missing.go": []byte("c")}
	there := map[string][]byte{"same.go": []byte("a"), "changed.go": []byte("x"), "left.go": nil}
	err := compare(made, there)
	if err == nil || !strings.Contains(err.Error(), "(changed.go, left.go, missing.go)") {
		t.Fatalf("compare: %v", err)
	}
}
