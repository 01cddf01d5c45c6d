//go:build unix

package vortex

import (
	"net"
	"syscall"
)

// alive reports whether an unused connection is still open, by looking without taking: the end of the
// stream, an error, and bytes that nobody asked for all mean that it is of no use.
func alive(conn net.Conn) bool {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return true // cannot tell; a failing request finds out
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		quiet = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
		return true
	})
	return err == nil && quiet
}
