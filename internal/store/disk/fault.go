package disk

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/darter-p2p/darter"
)

// fault turns an error of the file system into one that tells what a person can do.
func fault(op string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*darter.Error](err); ok {
		return e
	}
	e := &darter.Error{Kind: darter.Unavailable, Op: op, Err: err}
	switch {
	case is(err, unix.ENOSPC, unix.EDQUOT):
		e.Kind, e.Hint = darter.NoSpace, "free some room on the disk or raise the quota, or move the data folder"
	case is(err, unix.EROFS):
		e.Hint = "the file system is read-only: remount it, or choose another data folder; dmesg may tell why"
	case is(err, unix.EFBIG):
		e.Hint = "the file is larger than the file system or the process limit (ulimit -f) allows"
	case is(err, unix.EIO):
		e.Hint = "the disk reports an error; look into dmesg"
	case is(err, unix.EMFILE, unix.ENFILE):
		e.Hint = "too many files are open; raise the limit (ulimit -n, LimitNOFILE)"
	case errors.Is(err, fs.ErrPermission):
		e.Hint = "the process may not use this path; check its owner and mode"
	}
	return e
}

func is(err error, numbers ...unix.Errno) bool {
	for _, n := range numbers {
		if errors.Is(err, n) {
			return true
		}
	}
	return false
}

func (t *task) fail(k darter.Kind, verb, format string, a ...any) error {
	return &darter.Error{Kind: k, Op: t.op(verb), Err: fmt.Errorf(format, a...)}
}

func (t *task) op(verb string) string { return verb + " task " + t.meta.ID.Short() }

func (t *task) gone(verb string) error {
	return t.fail(darter.NotFound, verb, "it was removed from the store")
}

// trouble explains an error with the task's own files. When they are not there, the task was removed.
func (t *task) trouble(verb string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return t.gone(verb)
	}
	return fault(t.op(verb), err)
}

// crossing tells whether a hard link was refused because of where the target lies.
func crossing(err error) bool {
	return is(err, unix.EXDEV, unix.EPERM, unix.EMLINK, unix.EOPNOTSUPP)
}
