package privatefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	"github.com/darter-p2p/darter"
)

// Mode is what a secret file should be created with.
const Mode fs.FileMode = 0o600

// exposed are the permissions that make a secret file unfit: anything for others, and changes by the group.
const exposed fs.FileMode = 0o027

// Read returns the content of the file at path, at most limit bytes of it. It fails with
//
//   - NotFound when there is no such file,
//   - Denied when others may read it, or the group may change it, or this process may not,
//   - Invalid when it is not a regular file, is empty, or is longer than limit.
//
// The content never is in the error.
func Read(path string, limit int64) ([]byte, error) {
	op := "read secret file " + path
	f, err := os.Open(path)
	if err != nil {
		return nil, &darter.Error{Kind: kind(err), Op: op, Hint: "check the path, and that this user may read it", Err: bare(err)}
	}
	defer f.Close()
	about, err := f.Stat()
	switch {
	case err != nil:
		return nil, &darter.Error{Kind: darter.Unavailable, Op: op, Err: err}
	case !about.Mode().IsRegular():
		return nil, &darter.Error{Kind: darter.Invalid, Op: op, Hint: "name a regular file", Err: errors.New("not a regular file")}
	case runtime.GOOS != "windows" && about.Mode().Perm()&exposed != 0: // Windows has no such bits: the mode says nothing there
		return nil, &darter.Error{Kind: darter.Denied, Op: op,
			Hint: "chmod 600 " + path + ", and replace the secret if others have had access to it",
			Err:  fmt.Errorf("permissions %#o let others read or change it", about.Mode().Perm())}
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, &darter.Error{Kind: darter.Unavailable, Op: op, Err: err}
	case int64(len(data)) > limit:
		return nil, &darter.Error{Kind: darter.Invalid, Op: op, Hint: "is it the right file?", Err: fmt.Errorf("longer than %d bytes", limit)}
	case len(data) == 0:
		return nil, &darter.Error{Kind: darter.Invalid, Op: op, Hint: "is it the right file?", Err: errors.New("empty")}
	}
	return data, nil
}

func kind(err error) darter.Kind {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return darter.NotFound
	case errors.Is(err, fs.ErrPermission):
		return darter.Denied
	}
	return darter.Unavailable
}

// bare takes the path off, which Op names already. fs.ErrNotExist and its like stay in the chain.
func bare(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
