package database

import "time"

// Micros is an instant as it lies in a row: microseconds since 1970 in UTC; 0 is none.
type Micros int64

// At returns t as it lies in a row; the zero time becomes 0.
func At(t time.Time) Micros {
	if t.IsZero() {
		return 0
	}
	return Micros(t.UnixMicro())
}

// Time returns the instant; 0 becomes the zero time.
func (m Micros) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(m)).UTC()
}
