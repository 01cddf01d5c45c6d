package rpc

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// asker is who is at the other end of the socket, as the kernel says.
type asker struct {
	credentials.CommonAuthInfo
	uid   uint32
	known bool
}

// AuthType names the way the asker was told.
func (asker) AuthType() string { return "socket peer" }

// askers are gRPC credentials that change nothing on the wire and note who connects.
type askers struct{}

func (askers) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	a := asker{CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity}}
	if unix, ok := conn.(*net.UnixConn); ok {
		a.uid, a.known = peerUID(unix)
	}
	return conn, a, nil
}

func (askers) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("rpc: these credentials are for servers")
}

func (askers) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "socket peer"}
}

func (askers) Clone() credentials.TransportCredentials { return askers{} }

func (askers) OverrideServerName(string) error { return nil }

// askerOf returns who asks.
func askerOf(ctx context.Context) asker {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return asker{}
	}
	a, ok := p.AuthInfo.(asker)
	if !ok {
		return asker{}
	}
	return a
}
