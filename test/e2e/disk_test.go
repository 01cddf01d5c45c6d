package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestDamagedStoreNeverGivesWrongBytes damages what a stopped daemon has on disk.
func TestDamagedStoreNeverGivesWrongBytes(t *testing.T) {
	ctx := deadline(t, 2*time.Minute)
	for _, one := range []struct {
		name   string
		damage func(t *testing.T, path string, size int64)
		big    bool // damage the content, else everything that is not content
	}{
		{"flipped records", flip, false},
		{"cut records", cutHalf, false},
		{"emptied records", func(t *testing.T, path string, _ int64) { cut(t, path, 0) }, false},
		{"lost records", func(t *testing.T, path string, _ int64) { check(t, os.Remove(path)) }, false},
		{"cut content", cutHalf, true},
		{"lost content", func(t *testing.T, path string, _ int64) { check(t, os.Remove(path)) }, true},
	} {
		t.Run(one.name, func(t *testing.T) {
			o := NewOrigin(t, 0)
			content := Random(t, 9*mib+3, 90)
			o.Add("/damaged", content)
			c := newCluster(t, ctx, Shape{Daemons: 2})
			n := c.Daemons[0]
			Get(t, ctx, n, o.URL+"/damaged", content)
			n.Stop(ctx)
			if damaged := damageFiles(t, filepath.Join(n.Dir, "data"), one.big, one.damage); damaged == 0 {
				t.Fatal("no file was there to damage: this test proves nothing")
			}
			n.Start(ctx)
			GetTo(t, ctx, n, o.URL+"/damaged", filepath.Join(n.Dir, "again"), content)
			Get(t, ctx, c.Daemons[1], o.URL+"/damaged", content)
		})
	}
}

// TestRottenContentDoesNotSpread changes bytes below a daemon that believes them good: its child
// must notice and look elsewhere.
func TestRottenContentDoesNotSpread(t *testing.T) {
	ctx := deadline(t, time.Minute)
	o := NewOrigin(t, 0)
	content := Random(t, 17*mib, 91)
	o.Add("/rotten", content)
	c := newCluster(t, ctx, Shape{Daemons: 2})
	n := c.Daemons[0]
	Get(t, ctx, n, o.URL+"/rotten", content)
	if damageFiles(t, filepath.Join(n.Dir, "data"), true, flip) == 0 {
		t.Fatal("no file was there to damage: this test proves nothing")
	}
	child := c.Daemons[1]
	g := Get(t, ctx, child, o.URL+"/rotten", content)
	if g.FromOrigin == 0 || g.FromOrigin == content.Size {
		t.Errorf("the child took %d of %d bytes from the origin; want the rotten piece alone", g.FromOrigin, content.Size)
	}
}

// damageFiles calls damage for the content files, or for all the others, and says for how many.
func damageFiles(t *testing.T, dir string, big bool, damage func(*testing.T, string, int64)) int {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		found = append(found, path)
		return nil
	})
	check(t, err)
	n := 0
	for _, path := range found {
		info, err := os.Stat(path)
		check(t, err)
		if size := info.Size(); size > 0 && (size > mib) == big {
			damage(t, path, size)
			n++
		}
	}
	return n
}

// flip changes bytes in the middle.
func flip(t *testing.T, path string, size int64) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	check(t, err)
	defer f.Close()
	b := make([]byte, 8)
	n, err := f.ReadAt(b, size/2)
	if n == 0 {
		check(t, err)
	}
	for i := range b[:n] {
		b[i] ^= 0xff
	}
	_, err = f.WriteAt(b[:n], size/2)
	check(t, err)
}

func cutHalf(t *testing.T, path string, size int64) { cut(t, path, size/2) }

func cut(t *testing.T, path string, size int64) { check(t, os.Truncate(path, size)) }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
