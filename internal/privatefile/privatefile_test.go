package privatefile_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/privatefile"
)

func TestOnlyPrivateFilesAreRead(t *testing.T) {
	for _, c := range []struct {
		mode    fs.FileMode
		refused bool
	}{
		{0o600, false}, {0o400, false}, {0o440, false}, {0o640, false}, {0o700, false},
		{0o644, true}, {0o604, true}, {0o602, true}, {0o601, true}, {0o660, true}, {0o620, true}, {0o666, true}, {0o777, true},
	} {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte("hush-hush"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		data, err := privatefile.Read(path, 100)
		if c.refused != (err != nil) {
			t.Errorf("%#o: error %v, want refused: %v", c.mode, err, c.refused)
		}
		if c.refused && (darter.KindOf(err) != darter.Denied || !strings.Contains(darter.HintOf(err), "chmod 600") || len(data) > 0) {
			t.Errorf("%#o: kind %v, hint %q, %d bytes", c.mode, darter.KindOf(err), darter.HintOf(err), len(data))
		}
		if !c.refused && string(data) != "hush-hush" {
			t.Errorf("%#o: read %q", c.mode, data)
		}
	}
}

func TestOddFilesAreRefused(t *testing.T) {
	dir := t.TempDir()
	long, empty := filepath.Join(dir, "long"), filepath.Join(dir, "empty")
	for path, content := range map[string]string{long: "12345", empty: ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		path string
		kind darter.Kind
	}{
		{filepath.Join(dir, "absent"), darter.NotFound}, {dir, darter.Invalid}, {long, darter.Invalid}, {empty, darter.Invalid},
	} {
		if _, err := privatefile.Read(c.path, 4); darter.KindOf(err) != c.kind || err == nil {
			t.Errorf("%s: %v, want kind %v", c.path, err, c.kind)
		}
	}
	if data, err := privatefile.Read(long, 5); err != nil || string(data) != "12345" {
		t.Errorf("exactly the limit: %q, %v", data, err)
	}
}
