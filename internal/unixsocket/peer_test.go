package unixsocket

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// TestPeerUID asks who is at the other end: of a socket the kernel knows, of TCP nobody does.
func TestPeerUID(t *testing.T) {
	local, err := Listen(filepath.Join(t.TempDir(), "s"), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	remote, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer remote.Close()
	for l, known := range map[net.Listener]bool{local: true, remote: false} {
		client, err := net.Dial(l.Addr().Network(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		uid, ok := PeerUID(server)
		if ok != known || ok && uid != uint32(os.Geteuid()) {
			t.Errorf("%s: user %d, known %t", l.Addr().Network(), uid, ok)
		}
		_ = client.Close()
		_ = server.Close()
	}
}
