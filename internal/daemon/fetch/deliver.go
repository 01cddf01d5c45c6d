package fetch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/darter-p2p/darter"
	"github.com/darter-p2p/darter/internal/store"
)

// deliver produces the output file of a complete task. It is a copy (by reflink where the file system can), so
// that nobody changes the cache by writing to it; a hard link only when the asker insists. The final name
// appears in one step.
func deliver(t store.Task, w darter.Want) error {
	path := w.OutputPath
	if !filepath.IsAbs(path) {
		return &darter.Error{Kind: darter.Invalid, Op: "write " + path, Err: errors.New("the path is not absolute"), Hint: "name the output file with its full path"}
	}
	if _, err := os.Lstat(path); err == nil && !w.Overwrite {
		return &darter.Error{Kind: darter.Conflict, Op: "write " + path, Err: fs.ErrExist, Hint: "remove it, or allow overwriting"}
	}
	part := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%s.darter-part", filepath.Base(path), uuid.NewString()[:8]))
	write := t.CopyTo
	if w.ForceHardLink {
		write = t.Link
	}
	if err := write(part); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		_ = os.Remove(part)
		return &darter.Error{Kind: darter.Unavailable, Op: "write " + path, Err: err, Hint: "check the folder's permissions and free space"}
	}
	return nil
}
