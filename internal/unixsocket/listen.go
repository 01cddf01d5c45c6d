package unixsocket

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/darter-p2p/darter"
)

// Listen opens a socket that whoever has the right to write to it may connect to: mode says who. It makes the socket's
// folder when there is none. A socket that an earlier run left behind is replaced; one that somebody answers on is a
// darter.Conflict. Until the mode is set, the umask protects: connecting takes the right to write.
func Listen(path string, mode os.FileMode) (net.Listener, error) {
	op := "listen on " + path
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, socketError(op, err)
	}
	if err := clearSocket(op, path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, socketError(op, err)
	}
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(socketError(op, err), l.Close())
	}
	return l, nil
}

// clearSocket removes a socket that nobody answers on. Anything else that lies there stays.
func clearSocket(op, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return socketError(op, err)
	}
	if info.Mode()&os.ModeSocket == 0 {
		return &darter.Error{Kind: darter.Conflict, Op: op, Err: fmt.Errorf("a file that is no socket lies there (%s)", info.Mode()),
			Hint: "move it away, or set another socket path"}
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = conn.Close()
		return &darter.Error{Kind: darter.Conflict, Op: op, Err: errors.New("another process answers there"),
			Hint: "stop it, or set another socket path and data folder for this process"}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return socketError(op, err)
	}
	return nil
}

func socketError(op string, err error) error {
	e := &darter.Error{Kind: darter.Unavailable, Op: op, Err: err}
	switch {
	case errors.Is(err, os.ErrPermission):
		e.Kind, e.Hint = darter.Denied, "set a socket path in a folder that this user may write to"
	case len(op) > 100:
		e.Hint = "the path of a socket may have about 100 characters; set a shorter one"
	}
	return e
}
