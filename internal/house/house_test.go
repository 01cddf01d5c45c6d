package house

import (
	"testing"
)

// TestHouse holds the whole module to the rules.
func TestHouse(t *testing.T) {
	tree, err := Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(tree.Files) < 10 {
		t.Fatalf("only %d Go files found: is this the module?", len(tree.Files))
	}
	for _, f := range Check(tree) {
		t.Error(f)
	}
}
