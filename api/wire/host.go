package wire

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"

	commonv2 "d7y.io/api/v2/pkg/apis/common/v2"

	"github.com/darter-p2p/darter"
)

// Longest texts taken from a message. Ids of the released daemons stay far below.
const (
	maxID   = 512
	maxText = 4096
)

// ToHost reads a host. Native, Epoch and Interval are not part of the message: the caller fills them
// from the metadata and the request. Errors are darter.Invalid.
func ToHost(m *commonv2.Host) (darter.Host, error) {
	if m == nil {
		return darter.Host{}, invalid("read host", "it is missing")
	}
	if err := checkID("host id", m.GetId()); err != nil {
		return darter.Host{}, err
	}
	ip, err := netip.ParseAddr(m.GetIp())
	if err != nil {
		return darter.Host{}, invalid("read host", fmt.Sprintf("%s announces the address %q, which is not an IP literal", m.GetId(), clip(m.GetIp())))
	}
	port, ok1 := toPort(m.GetPort())
	down, ok2 := toPort(m.GetDownloadPort())
	proxy, ok3 := toPort(m.GetProxyPort())
	if !ok1 || !ok2 || !ok3 || port == 0 {
		return darter.Host{}, invalid("read host", fmt.Sprintf("%s announces ports %d, %d, %d: each must lie in 0..65535, the first above 0", m.GetId(), m.GetPort(), m.GetDownloadPort(), m.GetProxyPort()))
	}
	h := darter.Host{
		ID: darter.HostID(m.GetId()), Kind: darter.Normal, Name: cut(m.GetName()), Hostname: cut(m.GetHostname()),
		IP: ip.Unmap(), Port: port, DownloadPort: down, ProxyPort: proxy,
		OS: cut(m.GetOs()), Platform: cut(m.GetPlatform()), Family: cut(m.GetPlatformFamily()),
		OSVersion: cut(m.GetPlatformVersion()), Kernel: cut(m.GetKernelVersion()),
		Version: cut(m.GetBuild().GetGitVersion()), Commit: cut(m.GetBuild().GetGitCommit()),
		Cluster: m.GetSchedulerClusterId(), NoSharing: m.GetDisableShared(),
		IDC: cut(m.GetNetwork().GetIdc()), Location: cut(m.GetNetwork().GetLocation()),
	}
	if m.GetType() != 0 { // 2 and 3 are older names of weaker seeds
		h.Kind = darter.Seed
	}
	toStats(&h, m)
	return h, nil
}

func toStats(h *darter.Host, m *commonv2.Host) {
	n, c, mem, d := m.GetNetwork(), m.GetCpu(), m.GetMemory(), m.GetDisk()
	h.Network = darter.Network{MaxRx: n.GetMaxRxBandwidth(), Rx: n.GetRxBandwidth(), MaxTx: n.GetMaxTxBandwidth(), Tx: n.GetTxBandwidth()}
	h.CPU = darter.CPU{Logical: c.GetLogicalCount(), Physical: c.GetPhysicalCount(),
		Percent: percent(c.GetPercent()), ProcessPercent: percent(c.GetProcessPercent())}
	h.Memory = darter.Memory{Total: mem.GetTotal(), Available: mem.GetAvailable(), Used: mem.GetUsed(), Free: mem.GetFree(),
		UsedPercent: percent(mem.GetUsedPercent()), ProcessPercent: percent(mem.GetProcessUsedPercent())}
	h.Disk = darter.Disk{Total: d.GetTotal(), Free: d.GetFree(), Used: d.GetUsed(), UsedPercent: percent(d.GetUsedPercent())}
}

// FromHost writes a host with everything that the API has a field for.
func FromHost(h darter.Host) *commonv2.Host {
	m := candidateHost(h)
	m.Os, m.Platform, m.PlatformFamily, m.PlatformVersion, m.KernelVersion = h.OS, h.Platform, h.Family, h.OSVersion, h.Kernel
	m.SchedulerClusterId, m.DisableShared, m.ProxyPort = h.Cluster, h.NoSharing, int32(h.ProxyPort)
	m.Network.MaxRxBandwidth, m.Network.RxBandwidth = h.Network.MaxRx, &h.Network.Rx
	m.Cpu = &commonv2.CPU{LogicalCount: h.CPU.Logical, PhysicalCount: h.CPU.Physical,
		Percent: percent(h.CPU.Percent), ProcessPercent: percent(h.CPU.ProcessPercent)}
	m.Memory = &commonv2.Memory{Total: h.Memory.Total, Available: h.Memory.Available, Used: h.Memory.Used, Free: h.Memory.Free,
		UsedPercent: percent(h.Memory.UsedPercent), ProcessUsedPercent: percent(h.Memory.ProcessPercent)}
	m.Disk = &commonv2.Disk{Total: h.Disk.Total, Free: h.Disk.Free, Used: h.Disk.Used, UsedPercent: percent(h.Disk.UsedPercent)}
	m.Build = &commonv2.Build{GitVersion: h.Version, GitCommit: optional(h.Commit)}
	return m
}

// candidateHost writes what a child needs of a parent, and what the generated rules demand.
func candidateHost(h darter.Host) *commonv2.Host {
	hostname := h.Hostname
	if hostname == "" {
		hostname = string(h.ID)
	}
	down := h.DownloadPort
	if down == 0 {
		down = h.Port
	}
	return &commonv2.Host{
		Id: string(h.ID), Type: uint32(h.Kind), Name: h.Name, Hostname: hostname, Ip: h.IP.String(),
		Port: int32(h.Port), DownloadPort: int32(down),
		Network: &commonv2.Network{Idc: optional(h.IDC), Location: optional(h.Location),
			MaxTxBandwidth: h.Network.MaxTx, TxBandwidth: &h.Network.Tx},
	}
}

func toPort(p int32) (uint16, bool) {
	if p < 0 || p > math.MaxUint16 {
		return 0, false
	}
	return uint16(p), true
}

// percent forces a figure into what the generated rules accept; NaN becomes 0.
func percent(v float64) float64 {
	if !(v > 0) {
		return 0
	}
	return min(v, 100)
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// cut bounds a text that is only shown or compared.
func cut(s string) string {
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "") // the cut may have split a letter
	}
	return s
}

func checkID(what, id string) error {
	switch {
	case id == "":
		return invalid("read "+what, "it is empty")
	case len(id) > maxID:
		return invalid("read "+what, fmt.Sprintf("it has %d bytes, at most %d are taken", len(id), maxID))
	}
	return nil
}

func invalid(op, why string) error {
	return &darter.Error{Kind: darter.Invalid, Op: op, Err: errors.New(why)}
}
