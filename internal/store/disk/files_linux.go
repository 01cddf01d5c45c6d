package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// clone makes to share the blocks of from; only some file systems can (btrfs, XFS).
func clone(to, from *os.File) error { return unix.IoctlFileClone(int(to.Fd()), int(from.Fd())) }

func syncData(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// flush begins writing a range out without waiting for it.
func flush(f *os.File, off, length int64) {
	_ = unix.SyncFileRange(int(f.Fd()), off, length, unix.SYNC_FILE_RANGE_WRITE) // a hint
}
