package wire

import (
	"fmt"
	"net/netip"
	"slices"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
)

// Bounds of what one order may hold.
const (
	MaxOrderItems = 1000
	maxOrderHosts = 200_000
)

// ToLease reads a fencing token.
func ToLease(m *darterv1.Lease) (darter.OrderLease, error) {
	if m.GetJobId() == "" || len(m.GetJobId()) > maxID {
		return darter.OrderLease{}, invalid("read lease", "it names no job")
	}
	return darter.OrderLease{Job: darter.JobID(m.GetJobId()), Step: m.GetStep(), Epoch: m.GetEpoch()}, nil
}

// FromLease writes a fencing token.
func FromLease(l darter.OrderLease) *darterv1.Lease {
	return &darterv1.Lease{JobId: string(l.Job), Step: l.Step, Epoch: l.Epoch}
}

// ToLeases reads several.
func ToLeases(ms []*darterv1.Lease) ([]darter.OrderLease, error) {
	out := make([]darter.OrderLease, len(ms))
	for i, m := range ms {
		var err error
		if out[i], err = ToLease(m); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// FromLeases writes several.
func FromLeases(ls []darter.OrderLease) []*darterv1.Lease {
	out := make([]*darterv1.Lease, len(ls))
	for i, l := range ls {
		out[i] = FromLease(l)
	}
	return out
}

// ToOrder reads an order, or one part of it.
func ToOrder(m *darterv1.Order) (darter.Order, error) {
	lease, err := ToLease(m.GetLease())
	if err != nil {
		return darter.Order{}, err
	}
	o := darter.Order{Lease: lease, Kind: darter.JobKind(m.GetKind()), Cluster: m.GetClusterId(),
		TasksAtOnce: m.GetTasksAtOnce(), HostsAtOnce: m.GetHostsAtOnce()}
	if t := m.GetTimeout(); t != nil {
		if err := t.CheckValid(); err != nil {
			return o, invalid("read order", "its timeout is malformed: "+err.Error())
		}
		o.Timeout = max(t.AsDuration(), 0)
	}
	s := m.GetSelection()
	o.Targets = darter.Targets{Scope: darter.Scope(s.GetScope()), Count: s.GetCount(), Percent: s.GetPercentage()}
	for _, text := range s.GetIps() {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return o, invalid("read order", fmt.Sprintf("%q is no IP address", clip(text)))
		}
		o.Targets.IPs = append(o.Targets.IPs, ip.Unmap())
	}
	if o.Hosts, err = toTargets(m.GetHosts()); err != nil {
		return o, err
	}
	if len(m.GetItems()) > MaxOrderItems {
		return o, invalid("read order", fmt.Sprintf("%d items in one part, more than %d", len(m.GetItems()), MaxOrderItems))
	}
	for _, it := range m.GetItems() {
		item, err := toOrderItem(it)
		if err != nil {
			return o, err
		}
		o.Items = append(o.Items, item)
	}
	return o, nil
}

func toOrderItem(m *darterv1.Item) (darter.OrderItem, error) {
	digest, err := darter.ParseDigest(m.GetDigest())
	if err != nil {
		return darter.OrderItem{}, err
	}
	length, err := pieceLength(m.GetPieceLength())
	if err != nil {
		return darter.OrderItem{}, err
	}
	if m.GetPriority() > 6 {
		return darter.OrderItem{}, invalid("read order", fmt.Sprintf("priority %d is not in 0..6", m.GetPriority()))
	}
	return darter.OrderItem{Number: m.GetNumber(), Task: darter.TaskID(m.GetTaskId()), Done: m.GetDone(), Want: darter.Want{
		URL: m.GetUrl(), Tag: m.GetTag(), Application: m.GetApplication(), FilteredQuery: m.GetFilteredQueryParams(), Header: m.GetRequestHeader(),
		PieceLength: length, Digest: digest, DigestAsID: m.GetDigestAsId(), Priority: darter.Priority(m.GetPriority())}}, nil
}

// partBytes is about how large a part of an order becomes before the next one begins.
const partBytes = 1 << 20

// FromOrder writes an order in parts that fit messages. It holds credentials: send it only to who does the work.
func FromOrder(o darter.Order) []*darterv1.Order {
	first := &darterv1.Order{Lease: FromLease(o.Lease), Kind: string(o.Kind), ClusterId: o.Cluster, Hosts: fromTargets(o.Hosts),
		TasksAtOnce: o.TasksAtOnce, HostsAtOnce: o.HostsAtOnce, Timeout: durationpb.New(o.Timeout),
		Selection: &darterv1.Selection{Scope: string(o.Targets.Scope), Count: o.Targets.Count, Percentage: o.Targets.Percent}}
	for _, ip := range o.Targets.IPs {
		first.Selection.Ips = append(first.Selection.Ips, ip.String())
	}
	parts, size := []*darterv1.Order{first}, 0
	for _, it := range o.Items {
		m := fromOrderItem(it)
		more := 64 + len(m.GetUrl()) + 4*len(m.GetDone())
		for k, v := range m.GetRequestHeader() {
			more += len(k) + len(v)
		}
		last := parts[len(parts)-1]
		if len(last.Items) == MaxOrderItems || size+more > partBytes && len(last.Items) > 0 {
			last.More = true
			last, size = &darterv1.Order{Lease: first.GetLease()}, 0
			parts = append(parts, last)
		}
		last.Items, size = append(last.Items, m), size+more
	}
	return parts
}

func fromOrderItem(it darter.OrderItem) *darterv1.Item {
	w := it.Want
	return &darterv1.Item{Number: it.Number, Url: w.URL, Tag: w.Tag, Application: w.Application, FilteredQueryParams: w.FilteredQuery,
		RequestHeader: w.Header, PieceLength: uint64(max(w.PieceLength, 0)), Digest: string(w.Digest), DigestAsId: w.DigestAsID,
		TaskId: string(it.Task), Priority: uint32(w.Priority), Done: it.Done}
}

func toTargets(ms []*darterv1.Target) ([]darter.Target, error) {
	if len(ms) > maxOrderHosts {
		return nil, invalid("read targets", fmt.Sprintf("%d hosts, more than %d", len(ms), maxOrderHosts))
	}
	if len(ms) == 0 {
		return nil, nil
	}
	out := make([]darter.Target, len(ms))
	for i, m := range ms {
		if err := checkID("host id", m.GetHostId()); err != nil {
			return nil, err
		}
		ip, err := netip.ParseAddr(m.GetIp())
		if err != nil || m.GetPort() > 65535 {
			return nil, invalid("read targets", fmt.Sprintf("host %s has the address %q and port %d", m.GetHostId(), clip(m.GetIp()), m.GetPort()))
		}
		out[i] = darter.Target{ID: darter.HostID(m.GetHostId()), Hostname: cut(m.GetHostname()), IP: ip.Unmap(), Port: uint16(m.GetPort())}
		if m.GetKind() != 0 {
			out[i].Kind = darter.Seed
		}
	}
	return out, nil
}

func fromTargets(ts []darter.Target) []*darterv1.Target {
	out := make([]*darterv1.Target, len(ts))
	for i, t := range ts {
		out[i] = &darterv1.Target{HostId: string(t.ID), Hostname: t.Hostname, Ip: t.IP.String(), Port: uint32(t.Port), Kind: uint32(t.Kind)}
	}
	return out
}

// ToOrderReport reads what the holder of an order says.
func ToOrderReport(m *darterv1.Report) (darter.OrderReport, error) {
	lease, err := ToLease(m.GetLease())
	if err != nil {
		return darter.OrderReport{}, err
	}
	r := darter.OrderReport{Lease: lease, Ended: m.GetEnded(), Released: m.GetReleased(), Failure: darter.Failure(cutID(m.GetFailure())), Text: cut(m.GetText())}
	if r.Hosts, err = toTargets(m.GetHosts()); err != nil {
		return r, err
	}
	for _, o := range m.GetOutcomes() {
		r.Outcomes = append(r.Outcomes, darter.OrderOutcome{Item: o.GetItem(), Host: o.GetHost(), Failure: darter.Failure(cutID(o.GetFailure())),
			Text: cut(o.GetText()), Bytes: max(o.GetBytes(), 0), Held: o.GetHeld()})
	}
	for _, f := range m.GetFound() {
		h, err := toFound(f)
		if err != nil {
			return r, err
		}
		r.Found = append(r.Found, h)
	}
	return r, nil
}

// cutID keeps a class of failure short; unknown classes of a newer scheduler pass.
func cutID(s string) string { return s[:min(len(s), 64)] }

// FromOrderReport writes a report.
func FromOrderReport(seq uint64, r darter.OrderReport) *darterv1.Report {
	m := &darterv1.Report{Seq: seq, Lease: FromLease(r.Lease), Hosts: fromTargets(r.Hosts), Ended: r.Ended, Released: r.Released,
		Failure: string(r.Failure), Text: plain(r.Text), Outcomes: make([]*darterv1.Outcome, len(r.Outcomes)), Found: make([]*darterv1.Found, len(r.Found))}
	for i, o := range r.Outcomes {
		m.Outcomes[i] = &darterv1.Outcome{Item: o.Item, Host: o.Host, Failure: string(o.Failure), Text: plain(o.Text), Bytes: o.Bytes, Held: o.Held}
	}
	for i, h := range r.Found {
		m.Found[i] = fromFound(h)
	}
	return m
}

func toFound(m *darterv1.Found) (darter.Host, error) {
	one, err := toTargets([]*darterv1.Target{{HostId: m.GetHostId(), Hostname: m.GetHostname(), Ip: m.GetIp(), Port: m.GetPort(), Kind: m.GetKind()}})
	if err != nil {
		return darter.Host{}, err
	}
	t := one[0]
	return darter.Host{ID: t.ID, Kind: t.Kind, Hostname: t.Hostname, IP: t.IP, Port: t.Port, DownloadPort: uint16(m.GetDownloadPort()), ProxyPort: uint16(m.GetProxyPort()),
		IDC: cut(m.GetIdc()), Location: cut(m.GetLocation()), OS: cut(m.GetOs()), Platform: cut(m.GetPlatform()), Family: cut(m.GetPlatformFamily()),
		OSVersion: cut(m.GetPlatformVersion()), Kernel: cut(m.GetKernelVersion()), Version: cut(m.GetVersion()), Commit: cut(m.GetCommit()), Cluster: m.GetClusterId()}, nil
}

func fromFound(h darter.Host) *darterv1.Found {
	return &darterv1.Found{HostId: string(h.ID), Kind: uint32(h.Kind), Hostname: h.Hostname, Ip: h.IP.String(), Port: uint32(h.Port),
		DownloadPort: uint32(h.DownloadPort), ProxyPort: uint32(h.ProxyPort), Idc: h.IDC, Location: h.Location, Os: h.OS, Platform: h.Platform,
		PlatformFamily: h.Family, PlatformVersion: h.OSVersion, KernelVersion: h.Kernel, Version: h.Version, Commit: h.Commit, ClusterId: h.Cluster}
}

// JoinOrder puts the parts of an order together: more is the next part of o.
func JoinOrder(o *darter.Order, more darter.Order) error {
	if o.Lease != more.Lease || len(o.Items)+len(more.Items) > 100*MaxOrderItems {
		return invalid("read order", "its parts do not belong together")
	}
	o.Items = slices.Concat(o.Items, more.Items)
	return nil
}
