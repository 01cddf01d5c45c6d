package rpc

import (
	"time"

	"github.com/darter-p2p/darter"
)

// What follows is for whoever tells a manager of this scheduler's hosts, and brings its orders.

// HostTable returns what is thought of every host.
func (s *Server) HostTable() []darter.HostStatus { return s.hub.HostTable() }

// HostStatus returns what is thought of one host, also of one of which only a tombstone is left.
func (s *Server) HostStatus(id darter.HostID) (darter.HostStatus, bool) { return s.hub.HostStatus(id) }

// HostEventsAfter returns at most limit events that are kept after a sequence number, the number to go on with, and a
// channel that is closed at the next event.
func (s *Server) HostEventsAfter(after uint64, limit int) ([]darter.HostEvent, uint64, <-chan struct{}) {
	return s.hub.EventsAfter("", after, limit)
}

// DrainHost hides a host and lets what runs there end; undo takes it back.
func (s *Server) DrainHost(id darter.HostID, undo bool, why string) error {
	_, err := s.hub.DrainHost(id, undo, why)
	return err
}

// ForgetHost frees a host's records now. Conflict when the host is well and force is not set.
func (s *Server) ForgetHost(id darter.HostID, force bool, why string) error {
	_, err := s.hub.ForgetHost(id, force, why)
	return err
}

// ReleaseZone answers the mass-failure guard.
func (s *Server) ReleaseZone(zone string, confirm bool, lift time.Duration, why string) error {
	_, err := s.hub.ReleaseZone(zone, confirm, lift, why)
	return err
}
