package darter

import "time"

// Renewal is a host's word to one scheduler that it is there, on a lease.
type Renewal struct {
	Host           HostID
	Epoch          Epoch  // never 0
	Seq            uint64 // counts the renewals of one lease, from 1
	Load           Load
	Inventory      InventoryDigest // what the host holds of the tasks that the scheduler answers for
	InventoryKnown bool            // tells holding nothing from not saying
}

// Load is what a host does at the moment.
type Load struct {
	Downloads uint32 // under way
	Rx, Tx    uint64 // bits per second over its links
}

// Grant is a scheduler's answer to a renewal.
type Grant struct {
	Seq           uint64        // of the renewal answered; 0 for a word unasked
	Next          time.Duration // until the next renewal; 0 in a word unasked leaves it as it is
	AnnounceFull  bool          // the host's record is wanted
	WantInventory bool          // questions about the inventory follow
	Superseded    bool          // a later run of the host speaks, Epoch says which: this one is not listened to
	RenewNow      bool          // the next renewal is wanted at once
	Epoch         Epoch
}

// InventoryDigest sums a set of locations up. Equal sets have equal digests; package inventory makes them.
type InventoryDigest struct {
	Tasks uint32
	Sum   uint64
}
