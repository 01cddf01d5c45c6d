package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// mark stands between the name of a file and the random end of its temporary name.
const mark = ".tmp-"

// Write replaces the file at path by data, with the permissions given.
func Write(path string, data []byte, mode fs.FileMode) error {
	return WriteFunc(path, mode, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// WriteFunc replaces the file at path by what fill writes. When fill fails, path stays as it was and
// the error is fill's.
func WriteFunc(path string, mode fs.FileMode, fill func(io.Writer) error) error {
	dir, name := filepath.Split(path)
	dir = filepath.Clean(dir) // "" becomes "."
	f, err := os.CreateTemp(dir, "."+name+mark+"*")
	if err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	err = fillAndSync(f, mode, fill)
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("replace %s: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	return SyncDir(dir)
}

func fillAndSync(f *os.File, mode fs.FileMode, fill func(io.Writer) error) error {
	err := f.Chmod(mode) // CreateTemp made it 0600; the umask does not count here
	if err == nil {
		err = fill(f)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// SyncDir makes the names in dir durable: what was created, renamed or removed before the call.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil // the file system has no such thing: it cannot do better, and neither can we
	}
	if err = errors.Join(err, d.Close()); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}

// RemoveLeftovers deletes the temporary files that a crash left in dir and returns how many there were.
// Call it before anything writes there.
func RemoveLeftovers(dir string) (int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("remove leftovers: %w", err)
	}
	count := 0
	var failed error
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") || !strings.Contains(e.Name(), mark) || e.IsDir() {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			failed = errors.Join(failed, fmt.Errorf("remove leftovers: %w", err))
			continue
		}
		count++
	}
	return count, failed
}
