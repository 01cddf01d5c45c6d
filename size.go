package darter

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes that reads and prints as people write it: "4MiB", "1.5GB", "512".
// kB, MB, GB, TB are powers of 1000; KiB, MiB, GiB, TiB and the bare letters K, M, G, T of 1024.
type Size int64

var sizeUnits = map[string]float64{
	"": 1, "b": 1,
	"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
	"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
}

// ParseSize reads a size. It refuses negative numbers and unknown units.
func ParseSize(text string) (Size, error) {
	t := strings.TrimSpace(strings.ToLower(text))
	cut := len(t)
	for i, r := range t {
		if (r < '0' || r > '9') && r != '.' {
			cut = i
			break
		}
	}
	factor, known := sizeUnits[strings.TrimSpace(t[cut:])]
	number, err := strconv.ParseFloat(t[:cut], 64)
	if err != nil || !known || number*factor >= math.MaxInt64 {
		return 0, &Error{Kind: Invalid, Op: "parse size", Err: fmt.Errorf("%q is not a size", text),
			Hint: "write a number and a unit, as 512, 64KiB, 4MiB, 1.5GB"}
	}
	return Size(number * factor), nil
}

// UnmarshalText reads what ParseSize reads.
func (s *Size) UnmarshalText(text []byte) error {
	v, err := ParseSize(string(text))
	if err == nil {
		*s = v
	}
	return err
}

// MarshalText writes what String prints when that is exact, else the plain number.
func (s Size) MarshalText() ([]byte, error) {
	if back, err := ParseSize(s.String()); err == nil && back == s {
		return []byte(s.String()), nil
	}
	return strconv.AppendInt(nil, int64(s), 10), nil
}

func (s Size) String() string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(s), 0
	for v >= 1024 && i < len(units)-1 {
		v /= 1024
		i++
	}
	if v == math.Trunc(v) {
		return fmt.Sprintf("%d%s", int64(v), units[i])
	}
	return fmt.Sprintf("%.1f%s", v, units[i])
}
