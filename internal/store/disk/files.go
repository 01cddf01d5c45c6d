package disk

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// files is every operation on the file system that the store makes, so that tests can record them, lose the ones
// that were not synced, and let any of them fail.
type files interface {
	MkdirAll(path string) error
	// Open opens a file; flag is os.O_RDONLY, or os.O_RDWR with or without os.O_CREATE|os.O_EXCL.
	Open(path string, flag int) (file, error)
	ReadDir(path string) ([]fs.DirEntry, error)
	Size(path string) (int64, error)
	Rename(from, to string) error
	Remove(path string) error // a file or an empty folder
	Link(from, to string) error
	SyncDir(path string) error
	Free(path string) (int64, error)
	// Lock takes the file for this process until it is closed; errLocked when another has it.
	Lock(path string) (io.Closer, error)
}

// file is an open file.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Size() (int64, error)
	Sync() error // the content and the length, not the name
	// Flush asks the system to begin writing a range out. It is a hint and promises nothing.
	Flush(off, length int64)
	// Stream returns a reader that begins at off and moves through the file. It may be used once.
	Stream(off int64) (io.Reader, error)
	// CopyFrom fills an empty file with all of from.
	CopyFrom(from file) error
}

// osFiles is the real file system. Folders are closed to others; the files in them are not, because Link
// may give them a second name outside.
type osFiles struct{}

func (osFiles) MkdirAll(path string) error { return os.MkdirAll(path, 0o700) }

func (osFiles) Open(path string, flag int) (file, error) {
	f, err := os.OpenFile(path, flag, 0o644)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFiles) ReadDir(path string) ([]fs.DirEntry, error) { return os.ReadDir(path) }

func (osFiles) Size(path string) (int64, error) {
	i, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	if !i.Mode().IsRegular() {
		return 0, &fs.PathError{Op: "stat", Path: path, Err: fs.ErrInvalid}
	}
	return i.Size(), nil
}

func (osFiles) Rename(from, to string) error { return os.Rename(from, to) }
func (osFiles) Remove(path string) error     { return os.Remove(path) }
func (osFiles) Link(from, to string) error   { return os.Link(from, to) }

func (osFiles) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (osFiles) Free(path string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return -1, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}

// osFile gives the seam to an *os.File.
type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	i, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return i.Size(), nil
}

func (f osFile) Sync() error { return syncData(f.File) }

func (f osFile) Flush(off, length int64) { flush(f.File, off, length) }

// Stream returns the *os.File itself, so that io.Copy to a TCP connection uses sendfile.
func (f osFile) Stream(off int64) (io.Reader, error) {
	if _, err := f.Seek(off, io.SeekStart); err != nil {
		return nil, err
	}
	return f.File, nil
}

// CopyFrom shares the blocks where the file system can, else lets the kernel copy, else copies.
func (f osFile) CopyFrom(from file) error {
	src, ok := from.(osFile)
	if !ok {
		return fs.ErrInvalid
	}
	if clone(f.File, src.File) == nil {
		return nil
	}
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err := io.Copy(f.File, src.File)
	return err
}

// removeAll removes a file or a folder with all in it.
func removeAll(files files, path string) error {
	if files.Remove(path) == nil {
		return nil
	}
	entries, err := files.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := removeAll(files, filepath.Join(path, e.Name())); err != nil {
			return err
		}
	}
	return files.Remove(path)
}
