package disk

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/darter-p2p/darter"
)

// TestAStoreKeepsItsName: as long as its folder, and not longer. A file that nobody wrote so is no name.
func TestAStoreKeepsItsName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	name := func() darter.StorageID {
		t.Helper()
		s, err := Open(Config{Dir: dir, IdleFiles: 8})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		id, err := s.Identity()
		if again, err2 := s.Identity(); err != nil || err2 != nil || id == 0 || again != id {
			t.Fatalf("named %d, %v, then %d, %v", id, err, again, err2)
		}
		return id
	}
	first := name()
	if again := name(); again != first {
		t.Errorf("the same folder is %x, and after a restart %x", first, again)
	}
	seen := map[darter.StorageID]string{first: "the first"}
	for _, text := range []string{"", "darter store 1 00", "darter store 1 0000000000000000\n", "darter store 2 9f86d081884c7d65\n", "darter store 1 9f86d081884c7d65\nx"} {
		if err := os.WriteFile(filepath.Join(dir, "id"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		id := name()
		if was, known := seen[id]; known || id == 0x9f86d081884c7d65 {
			t.Errorf("with %q in its file it is %x, as %s was", text, id, was)
		}
		seen[id] = "with " + text
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if id := name(); seen[id] != "" {
		t.Errorf("a new folder has the name of an old one: %s", seen[id])
	}
}
