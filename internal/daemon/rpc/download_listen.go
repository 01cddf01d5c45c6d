package rpc

import (
	"net"

	"github.com/darter-p2p/darter/internal/unixsocket"
)

// socketMode lets every local user ask for downloads; who may do more is decided by the asker's user id.
const socketMode = 0o666

// ListenSocket opens the download socket. One that somebody answers on is a darter.Conflict.
func ListenSocket(path string) (net.Listener, error) { return unixsocket.Listen(path, socketMode) }
