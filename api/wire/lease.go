package wire

import (
	"fmt"
	"math"
	"time"

	"github.com/darter-p2p/darter"
	darterv1 "github.com/darter-p2p/darter/api/gen/darter/v1"
)

// maxGrant bounds the time between two renewals that a scheduler may grant: a mistake of one must not silence a host for days.
const maxGrant = time.Hour

// ToRenewal reads a renewal. host is who spoke on the stream before, empty at its start: only the first renewal names its host,
// and none may name another. Errors are darter.Invalid.
func ToRenewal(m *darterv1.Renewal, host darter.HostID) (darter.Renewal, error) {
	if m == nil {
		return darter.Renewal{}, invalid("read renewal", "it is missing")
	}
	if named := m.GetHostId(); host == "" || named != "" {
		if err := checkID("host id", named); err != nil {
			return darter.Renewal{}, err
		}
		if host != "" && darter.HostID(named) != host {
			return darter.Renewal{}, invalid("read renewal", fmt.Sprintf("the stream of %s speaks for %q", host, clip(named)))
		}
		host = darter.HostID(named)
	}
	if m.GetEpoch() == 0 || m.GetSeq() == 0 {
		return darter.Renewal{}, invalid("read renewal", fmt.Sprintf("%s renews without an epoch or a number", host))
	}
	r := darter.Renewal{Host: host, Epoch: darter.Epoch(m.GetEpoch()), Seq: m.GetSeq(),
		Load: darter.Load{Downloads: m.GetLoad().GetDownloads(), Rx: m.GetLoad().GetRx(), Tx: m.GetLoad().GetTx()}}
	if d := m.GetInventory(); d != nil {
		r.Inventory, r.InventoryKnown = darter.InventoryDigest{Tasks: d.GetTasks(), Sum: d.GetSum()}, true
	}
	return r, nil
}

// FromRenewal writes a renewal. The host's name goes into the first of a stream only.
func FromRenewal(r darter.Renewal) *darterv1.Renewal {
	m := &darterv1.Renewal{Epoch: uint64(r.Epoch), Seq: r.Seq}
	if r.Seq == 1 {
		m.HostId = string(r.Host)
	}
	if r.Load != (darter.Load{}) {
		m.Load = &darterv1.Load{Downloads: r.Load.Downloads, Rx: r.Load.Rx, Tx: r.Load.Tx}
	}
	if r.InventoryKnown {
		m.Inventory = &darterv1.InventoryDigest{Tasks: r.Inventory.Tasks, Sum: r.Inventory.Sum}
	}
	return m
}

// ToGrant reads a grant. The time to the next renewal is at most an hour; an answer to a renewal names one. Errors are
// darter.Invalid.
func ToGrant(m *darterv1.Grant) (darter.Grant, error) {
	if m == nil {
		return darter.Grant{}, invalid("read grant", "it is missing")
	}
	if m.GetSeq() != 0 && m.GetIntervalMs() == 0 && !m.GetSuperseded() {
		return darter.Grant{}, invalid("read grant", fmt.Sprintf("the answer to renewal %d grants no time", m.GetSeq()))
	}
	return darter.Grant{Seq: m.GetSeq(), Next: min(time.Duration(m.GetIntervalMs())*time.Millisecond, maxGrant), AnnounceFull: m.GetAnnounceFull(),
		WantInventory: m.GetWantInventory(), Superseded: m.GetSuperseded(), RenewNow: m.GetRenewNow(), Epoch: darter.Epoch(m.GetEpoch())}, nil
}

// FromGrant writes a grant. Parts of a millisecond are rounded up: a grant must not become none.
func FromGrant(g darter.Grant) *darterv1.Grant {
	ms := (max(g.Next, 0) + time.Millisecond - 1) / time.Millisecond
	return &darterv1.Grant{Seq: g.Seq, IntervalMs: uint32(min(ms, math.MaxUint32)), AnnounceFull: g.AnnounceFull,
		WantInventory: g.WantInventory, Superseded: g.Superseded, RenewNow: g.RenewNow, Epoch: uint64(g.Epoch)}
}
