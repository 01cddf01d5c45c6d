package database

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/darter-p2p/darter"
)

// lockFile takes a file of its own beside the database: SQLite's locks on the database itself belong to
// the process and would be lost when any descriptor of it is closed. The kernel gives the lock back when
// the process ends, however it ends.
func lockFile(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EINTR {
			break
		}
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		defer f.Close()
		return nil, &darter.Error{Kind: darter.Conflict, Op: "open database",
			Hint: "stop the other manager, give this one a file of its own, or let several share a PostgreSQL",
			Err:  fmt.Errorf("%w: %s has %s", ErrInUse, owner(f), path)}
	}
	if err != nil {
		defer f.Close()
		return nil, os.NewSyscallError("flock", err)
	}
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0) // for people only
	}
	return f, nil
}

func owner(f *os.File) string {
	b := make([]byte, 20)
	n, _ := f.ReadAt(b, 0)
	if pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n]))); err == nil && pid > 0 {
		return fmt.Sprintf("process %d", pid)
	}
	return "another process"
}
