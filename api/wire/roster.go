package wire

import (
	"fmt"
	"net/netip"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
)

// FromHostStatus writes what a scheduler thinks of a host.
func FromHostStatus(s darter.HostStatus) *darterv1.HostStatus {
	m := &darterv1.HostStatus{
		HostId: string(s.Host.ID), Epoch: uint64(s.Host.Epoch), Kind: s.Host.Kind.String(), Name: s.Host.Name, Hostname: s.Host.Hostname,
		Idc: s.Host.IDC, Location: s.Host.Location, Version: s.Host.Version, Native: s.Host.Native, Shares: !s.Host.NoSharing,
		Verdict: s.Verdict.String(), Since: FromTime(s.Since), Reason: s.Reason, Heard: FromTime(s.Heard), Interval: durationpb.New(s.Interval),
		Zone: s.Zone, Policy: s.Policy, Peers: uint32(s.Peers), Tasks: uint32(s.Tasks), Gone: s.Gone,
	}
	if s.Host.IP.IsValid() {
		m.Address = s.Host.Endpoint().String()
	}
	return m
}

// ToHostStatus reads it. Errors are darter.Invalid.
func ToHostStatus(m *darterv1.HostStatus) (darter.HostStatus, error) {
	if err := checkID("host id", m.GetHostId()); err != nil {
		return darter.HostStatus{}, err
	}
	verdict, ok := darter.ParseVerdict(m.GetVerdict())
	if !ok {
		return darter.HostStatus{}, invalid("read host status", fmt.Sprintf("%s has the verdict %q, which does not exist", clip(m.GetHostId()), clip(m.GetVerdict())))
	}
	h := darter.Host{
		ID: darter.HostID(m.GetHostId()), Epoch: darter.Epoch(m.GetEpoch()), Kind: darter.Normal, Name: cut(m.GetName()), Hostname: cut(m.GetHostname()),
		IDC: cut(m.GetIdc()), Location: cut(m.GetLocation()), Version: cut(m.GetVersion()), Native: m.GetNative(), NoSharing: !m.GetShares(),
		Interval: m.GetInterval().AsDuration(),
	}
	if m.GetKind() != darter.Normal.String() {
		h.Kind = darter.Seed
	}
	if m.GetAddress() != "" {
		at, err := netip.ParseAddrPort(m.GetAddress())
		if err != nil {
			return darter.HostStatus{}, invalid("read host status", fmt.Sprintf("%s has the address %q, which is none", clip(m.GetHostId()), clip(m.GetAddress())))
		}
		h.IP, h.Port = at.Addr(), at.Port()
	}
	return darter.HostStatus{
		Host: h, Verdict: verdict, Since: ToTime(m.GetSince()), Reason: cut(m.GetReason()), Heard: ToTime(m.GetHeard()), Interval: h.Interval,
		Zone: cut(m.GetZone()), Policy: m.GetPolicy(), Peers: int(m.GetPeers()), Tasks: int(m.GetTasks()), Gone: m.GetGone(),
	}, nil
}

// FromHostEvent writes a line of a timeline.
func FromHostEvent(e darter.HostEvent) *darterv1.HostEvent {
	if e.Gap {
		return &darterv1.HostEvent{Seq: e.Seq, Run: e.Run, Gap: true, Missed: e.Missed}
	}
	return &darterv1.HostEvent{Seq: e.Seq, At: FromTime(e.At), HostId: string(e.Host), Epoch: uint64(e.Epoch), From: e.From.String(), To: e.To.String(),
		Reason: e.Reason, Evidence: e.Evidence, LastHeard: FromTime(e.LastHeard), Policy: e.Policy, Exit: e.Exit.String(), Times: uint32(e.Times), Run: e.Run}
}

// ToHostEvent reads it. A verdict that does not exist here, of a newer scheduler, becomes 0.
func ToHostEvent(m *darterv1.HostEvent) (darter.HostEvent, error) {
	if m.GetGap() {
		return darter.HostEvent{Seq: m.GetSeq(), Run: m.GetRun(), Gap: true, Missed: m.GetMissed()}, nil
	}
	if err := checkID("host id", m.GetHostId()); err != nil {
		return darter.HostEvent{}, err
	}
	from, _ := darter.ParseVerdict(m.GetFrom())
	to, _ := darter.ParseVerdict(m.GetTo())
	return darter.HostEvent{Seq: m.GetSeq(), At: ToTime(m.GetAt()), Host: darter.HostID(m.GetHostId()), Epoch: darter.Epoch(m.GetEpoch()), From: from, To: to,
		Reason: cut(m.GetReason()), Evidence: cut(m.GetEvidence()), LastHeard: ToTime(m.GetLastHeard()), Policy: m.GetPolicy(), Exit: darter.ParseExit(m.GetExit()), Times: int(m.GetTimes()), Run: m.GetRun()}, nil
}

// FromZoneStatus writes the state of a zone's guard.
func FromZoneStatus(z darter.ZoneStatus) *darterv1.ZoneStatus {
	m := &darterv1.ZoneStatus{Zone: z.Zone, Guard: z.Guard, Since: FromTime(z.Since), Hosts: uint32(z.Hosts), Down: uint32(z.Down), Waiting: uint32(z.Waiting)}
	if !z.Lifted.IsZero() {
		m.LiftedUntil = FromTime(z.Lifted)
	}
	return m
}

// ToZoneStatus reads it.
func ToZoneStatus(m *darterv1.ZoneStatus) darter.ZoneStatus {
	return darter.ZoneStatus{Zone: cut(m.GetZone()), Guard: cut(m.GetGuard()), Since: ToTime(m.GetSince()), Hosts: int(m.GetHosts()), Down: int(m.GetDown()),
		Waiting: int(m.GetWaiting()), Lifted: ToTime(m.GetLiftedUntil())}
}

// FromPolicyStatus writes a policy in force.
func FromPolicyStatus(p darter.PolicyStatus) *darterv1.ShowPolicyResponse {
	return &darterv1.ShowPolicyResponse{Number: p.Number, Source: p.Source, Since: FromTime(p.Since), Document: p.Document}
}

// ToPolicyStatus reads it.
func ToPolicyStatus(m *darterv1.ShowPolicyResponse) darter.PolicyStatus {
	return darter.PolicyStatus{Number: m.GetNumber(), Source: cut(m.GetSource()), Since: ToTime(m.GetSince()), Document: m.GetDocument()}
}

// ToLift reads how long a guard is to be lifted; nothing is 0. Errors are darter.Invalid.
func ToLift(m *darterv1.ReleaseZoneRequest) (time.Duration, error) {
	if m.GetLift() == nil {
		return 0, nil
	}
	d := m.GetLift().AsDuration()
	if !m.GetLift().IsValid() || d < 0 || d > 24*time.Hour {
		return 0, invalid("release zone "+clip(m.GetZone()), fmt.Sprintf("the guard cannot be lifted for %s: give 0 to 24h", d))
	}
	return d, nil
}
