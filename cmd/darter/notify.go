package main

import (
	"net"
	"os"
)

// notify tells systemd how this service stands: "READY=1", "STOPPING=1". Without NOTIFY_SOCKET, and where telling
// fails, nothing happens: a service must not depend on who started it.
func notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write([]byte(state))
}
