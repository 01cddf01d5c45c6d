package darter

import (
	"fmt"
	"net/netip"
	"time"
)

// HostID names a machine running a daemon: "{ip}-{hostname}", with "-seed" appended for a seed.
type HostID string

// PeerID names one host's part in one task. A fresh one is made for every attempt.
type PeerID string

// Epoch is one run of a host: what an earlier run said no longer counts. 0 means not carried
// (a plain Dragonfly daemon).
type Epoch uint64

// StorageID names a content store: a host that comes back with the same one may still hold what it held. 0 means not carried.
type StorageID uint64

// HostKind tells an ordinary host from one that fetches from the source on behalf of others.
type HostKind uint8

// Kinds of host, numbered as Dragonfly's API does.
const (
	Normal HostKind = 0
	Seed   HostKind = 1
)

func (k HostKind) String() string {
	if k == Normal {
		return "normal"
	}
	return "seed"
}

// Host is a machine running a daemon, as it announces itself.
type Host struct {
	ID           HostID
	Kind         HostKind
	Name         string     // unique display name
	Hostname     string     // the machine's name
	IP           netip.Addr // where others reach it
	Port         uint16     // upload gRPC
	DownloadPort uint16     // as announced; Dragonfly sends the upload port again
	ProxyPort    uint16     // 0 when there is no proxy
	IDC          string     // data centre
	Location     string     // "a|b|c", widest first
	OS           string
	Platform     string
	Family       string
	OSVersion    string
	Kernel       string
	Version      string // build version
	Commit       string
	Network      Network
	CPU          CPU
	Memory       Memory
	Disk         Disk
	Cluster      uint64        // scheduler cluster
	NoSharing    bool          // does not serve others
	Interval     time.Duration // time between two announces; 0 when not told
	Epoch        Epoch         // 0 for a plain Dragonfly daemon
	Native       bool          // one of our own daemons: understands what Dragonfly has no words for
	Storage      StorageID     // 0 when not told
	Keeps        time.Duration // how long it keeps content that nobody reads; 0 when not told
}

// Network is a host's link, in bits per second.
type Network struct{ MaxRx, Rx, MaxTx, Tx uint64 }

// CPU is a host's processors; Percent is 0..100 of all of them.
type CPU struct {
	Logical, Physical uint32
	Percent           float64
	ProcessPercent    float64
}

// Memory is a host's memory in bytes.
type Memory struct {
	Total, Available, Used, Free uint64
	UsedPercent, ProcessPercent  float64
}

// Disk is the file system of a host's content store, in bytes.
type Disk struct {
	Total, Free, Used uint64
	UsedPercent       float64
}

// Endpoint returns where the host's upload gRPC server listens.
func (h Host) Endpoint() netip.AddrPort { return netip.AddrPortFrom(h.IP, h.Port) }

func (h Host) String() string { return fmt.Sprintf("%s (%s, %s)", h.ID, h.Kind, h.Endpoint()) }

// Parent is a host that a child may fetch a task's pieces from.
type Parent struct {
	Peer PeerID
	Host Host
}
