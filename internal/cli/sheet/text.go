package sheet

import (
	"fmt"
	"strconv"
	"time"
)

// Ago is a time for people: how long it is past.
func Ago(t, now time.Time) string {
	if t.IsZero() || t.Unix() == 0 {
		return "-"
	}
	return Clock(max(0, now.Sub(t))) + " ago"
}

// When is a time for people, past or to come.
func When(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	if d := t.Sub(now); d >= time.Second {
		return "in " + Clock(d)
	}
	return Ago(t, now)
}

// Stamp is a time in full: on the clock of this machine, and how far it is away.
func Stamp(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05 MST") + " (" + When(t, now) + ")"
}

// Clock prints a span of time with its two largest units.
func Clock(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%ds", int(d.Seconds()))
}

// Size prints bytes with three significant digits at most, so that a line does not jump.
func Size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	v, i := float64(n), 0
	for v >= 1000 && i < len(units)-1 {
		v /= 1024
		i++
	}
	if i == 0 || v >= 100 {
		return fmt.Sprintf("%.0f %s", v, units[i])
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

// Count prints a number with a mark between its thousands.
func Count(n int64) string {
	text := strconv.FormatInt(n, 10)
	first := 0
	if n < 0 {
		first = 1
	}
	for i := len(text) - 3; i > first; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// YesNo is a switch for people.
func YesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
