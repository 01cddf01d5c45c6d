package unixsocket

import (
	"net"

	"golang.org/x/sys/unix"
)

// PeerUID returns the user at the other end of a connection, as the kernel noted it when the connection was made.
func PeerUID(conn net.Conn) (uid uint32, known bool) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0, false
	}
	var cred *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil || failed != nil {
		return 0, false
	}
	return cred.Uid, true
}
