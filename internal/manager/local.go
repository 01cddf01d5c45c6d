package manager

import (
	"context"
	"net"
	"os"

	"github.com/darter-p2p/darter/internal/manager/auth"
	"github.com/darter-p2p/darter/internal/unixsocket"
)

type peerKey struct{}

// knowPeer notes who is at the other end of a connection to the manager's own socket. A TCP connection gets no
// note, whatever it sends.
func knowPeer(ctx context.Context, conn net.Conn) context.Context {
	uid, known := unixsocket.PeerUID(conn)
	if !known {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, uid)
}

// LocalPrincipal is the principal of whoever runs a command on this machine as root or as the manager's own user: they
// could change the rows by hand.
func LocalPrincipal(ctx context.Context) (auth.Principal, bool) {
	uid, known := ctx.Value(peerKey{}).(uint32)
	if !known || uid != 0 && uid != uint32(os.Geteuid()) {
		return auth.Principal{}, false
	}
	return auth.Local("local"), true
}
