package account

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"time"
)

// How sign-ins that fail slow down. Per name and network it begins after a few, so that whoever guesses from
// one place is stopped while the user elsewhere is not; per name alone much later, against many places.
const (
	freeFailures = 3 // a person mistypes
	lockFailures = 10
	lockTime     = 15 * time.Minute
	widely       = 10 // times as many failures for the name alone

	failureMemory = 24 * time.Hour // after so long without a failure the count begins anew
)

// lock returns how long no sign-in is tried after so many failures in a row.
func lock(failures int64) time.Duration {
	switch {
	case failures < freeFailures:
		return 0
	case failures >= lockFailures:
		return lockTime
	}
	return time.Second << (failures - freeFailures)
}

// subjects returns under what failures of a name are counted, narrow first. They are hashes: what people type
// into the name field is sometimes their password.
func subjects(name string, from netip.Addr) (narrow, wide string) {
	network := "nowhere"
	if from = from.Unmap(); from.IsValid() {
		bits := 24
		if from.Is6() {
			bits = 64
		}
		if p, err := from.WithZone("").Prefix(bits); err == nil {
			network = p.String()
		}
	}
	return digest("narrow\x00" + name + "\x00" + network), digest("wide\x00" + name)
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
