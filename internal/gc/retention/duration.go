package retention

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// longest is a hundred years of 365 days: what is meant to be for ever is better left without a rule.
const longest = 100 * 365 * 24 * time.Hour

// Duration is a span of time as people write it: "90s", "2h", "30d", "1d12h".
type Duration time.Duration

// UnmarshalText reads days beside what time.ParseDuration reads, and nothing negative or endless.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	days := time.Duration(0)
	if before, after, found := strings.Cut(s, "d"); found {
		n, err := strconv.ParseUint(before, 10, 32)
		if err != nil || n > uint64(longest/(24*time.Hour)) {
			return fmt.Errorf("%q is not a duration such as 90s, 2h or 30d, of at most 36500d", s)
		}
		days, s = time.Duration(n)*24*time.Hour, after
	}
	rest := time.Duration(0)
	if s != "" || len(text) == 0 {
		var err error
		if rest, err = time.ParseDuration(s); err != nil {
			return fmt.Errorf("%q is not a duration such as 90s, 2h or 30d", text)
		}
	}
	if rest < 0 || days > math.MaxInt64-rest || days+rest > longest {
		return fmt.Errorf("%q is negative or longer than 36500d", text)
	}
	*d = Duration(days + rest)
	return nil
}

// MarshalText writes what UnmarshalText reads, whole days as days.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d Duration) String() string {
	const day = Duration(24 * time.Hour)
	if d >= day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
