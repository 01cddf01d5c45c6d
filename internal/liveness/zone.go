package liveness

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/darter-p2p/darter"
)

// Zone is what may fail together: hosts of one cluster, data centre and location. Make it with ZoneOf.
type Zone struct {
	Cluster       uint64
	IDC, Location string // "-" when not told
}

// longestName bounds what one announcement may make the roster keep.
const longestName = 64

// ZoneOf returns the zone that goes by these names. Empty names are "-".
func ZoneOf(cluster uint64, idc, location string) Zone {
	return Zone{Cluster: cluster, IDC: zoneName(idc), Location: zoneName(location)}
}

// ParseZone reads what String prints.
func ParseZone(text string) (Zone, error) {
	cluster, rest, ok1 := strings.Cut(text, "/")
	idc, location, ok2 := strings.Cut(rest, "/")
	n, err := strconv.ParseUint(cluster, 10, 64)
	if !ok1 || !ok2 || err != nil {
		return Zone{}, &darter.Error{Kind: darter.Invalid, Op: "read zone", Err: fmt.Errorf("%q is not a zone", text),
			Hint: "write cluster/idc/location, as 1/dc-a/rack-7 or 1/-/-"}
	}
	return ZoneOf(n, idc, location), nil
}

func (z Zone) String() string { return fmt.Sprintf("%d/%s/%s", z.Cluster, z.IDC, z.Location) }

// zoneName keeps names short and free of the separator. Text that is fine already is not copied.
func zoneName(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > longestName {
		s = strings.TrimSpace(strings.ToValidUTF8(s[:longestName], ""))
	}
	s = strings.ReplaceAll(s, "/", "_")
	if s == "" {
		return "-"
	}
	return s
}
