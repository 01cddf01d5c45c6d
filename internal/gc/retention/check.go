package retention

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// checker collects faults.
type checker struct{ faults Faults }

func (c *checker) that(ok bool, pointer, code, detail string, args ...any) {
	if !ok {
		c.faults = append(c.faults, Fault{pointer, code, fmt.Sprintf(detail, args...)})
	}
}

// Check returns all that is wrong with a spec of a kind. Whether a cron expression and a zone exist is
// for those who can look them up.
func (s Spec) Check(kind string, force bool) Faults {
	c := &checker{}
	s.checkRules(c, kind, force)
	c.that(s.KeepLast.Count >= 0 && s.KeepLast.Count <= 1_000_000, "/keep_last/count", "out_of_range", "%d is not between 0 and 1000000", s.KeepLast.Count)
	c.that(s.KeepLast.Per == "group" || s.KeepLast.Per == "owner", "/keep_last/per", "unknown", "%q is neither group nor owner", s.KeepLast.Per)
	c.that(s.Ceiling == 0 || s.Ceiling >= 1000, "/ceiling", "out_of_range", "%d is neither 0 (none) nor at least 1000", s.Ceiling)
	c.that(s.Rate >= 0, "/rate", "out_of_range", "%d is negative", s.Rate)
	within(c, "/time_limit", s.TimeLimit, time.Second, 7*24*time.Hour)
	within(c, "/replica_lag", s.ReplicaLag, 0, time.Hour)
	s.Schedule.check(c)
	s.Batch.check(c)
	b := s.Blast
	c.that(b.Factor >= 1 && b.Factor <= 1e6, "/blast/factor", "out_of_range", "%g is not between 1 and 1000000", b.Factor)
	c.that(b.Share >= 0 && b.Share <= 1, "/blast/share", "out_of_range", "%g is not between 0 and 1", b.Share)
	c.that(b.Floor >= 0, "/blast/floor", "out_of_range", "%d is negative", b.Floor)
	c.that(len(s.Notify) <= 100, "/notify", "too_many", "%d targets, more than 100", len(s.Notify))
	if kind == RunRecord {
		c.that(s.KeepLast.Count >= leastRuns && s.KeepLast.Per == "group", "/keep_last/count", "out_of_range", "of run records at least the last %d of each policy stay", leastRuns)
		c.that(s.Ceiling == 0, "/ceiling", "conflict", "run records have no ceiling")
	}
	return c.faults
}

func (s Spec) checkRules(c *checker, kind string, force bool) {
	c.that(len(s.Rules) > 0, "/rules", "missing", "without a rule nothing would ever go: set enabled to false instead")
	c.that(len(s.Rules) <= maxRules, "/rules", "too_many", "%d rules, more than %d", len(s.Rules), maxRules)
	least := leastAfter
	if force {
		least = leastForced
	}
	if kind == RunRecord {
		least = leastRunAge
	}
	seen := make(map[Rule]bool)
	for i, r := range s.Rules {
		within(c, fmt.Sprintf("/rules/%d/after", i), r.After, least, longest)
		key := Rule{Group: r.Group, State: r.State}
		c.that(!seen[key], fmt.Sprintf("/rules/%d", i), "conflict", "another rule names the same group and state")
		c.that(len(r.Group) <= 100 && len(r.State) <= 100, fmt.Sprintf("/rules/%d", i), "too_many", "a name is longer than 100 bytes")
		seen[key] = true
	}
}

func (s Schedule) check(c *checker) {
	c.that((s.Every > 0) != (s.Cron != ""), "/schedule", "conflict", "give either every or cron")
	if s.Every > 0 {
		within(c, "/schedule/every", s.Every, time.Minute, 366*24*time.Hour)
	}
	within(c, "/schedule/jitter", s.Jitter, 0, 24*time.Hour)
	if s.Window == nil {
		return
	}
	from, err1 := Clock(s.Window.From)
	to, err2 := Clock(s.Window.To)
	c.that(err1 == nil, "/schedule/window/from", "malformed", "%q is not a time such as 22:00", s.Window.From)
	c.that(err2 == nil, "/schedule/window/to", "malformed", "%q is not a time such as 06:00", s.Window.To)
	c.that(err1 != nil || err2 != nil || from != to, "/schedule/window", "conflict", "the window begins when it ends")
	for i, d := range s.Window.Days {
		_, err := Weekday(d)
		c.that(err == nil, fmt.Sprintf("/schedule/window/days/%d", i), "unknown", "%q is not one of mon, tue, wed, thu, fri, sat, sun", d)
	}
}

func (b Batch) check(c *checker) {
	c.that(b.Min >= 1 && b.Min <= b.Max, "/batch/min", "out_of_range", "%d is not between 1 and max", b.Min)
	c.that(b.Max >= 1 && b.Max <= 50_000, "/batch/max", "out_of_range", "%d is not between 1 and 50000", b.Max)
	c.that(b.Start >= b.Min && b.Start <= b.Max, "/batch/start", "out_of_range", "%d is not between min and max", b.Start)
	within(c, "/batch/target", b.Target, 5*time.Millisecond, 5*time.Second)
	within(c, "/batch/pause", b.Pause, 0, time.Minute)
	c.that(b.Busy > 0 && b.Busy <= 1, "/batch/busy", "out_of_range", "%g is not above 0 and at most 1", b.Busy)
}

func within(c *checker, pointer string, d Duration, least, most time.Duration) {
	c.that(time.Duration(d) >= least && time.Duration(d) <= most, pointer, "out_of_range", "%s is not between %s and %s", d, Duration(least), Duration(most))
}

// Clock reads a time of day such as 22:00 as the span since midnight.
func Clock(s string) (time.Duration, error) {
	t, err := time.Parse("15:04", s)
	if err != nil {
		return 0, err
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, nil
}

// Weekday reads mon to sun.
func Weekday(s string) (time.Weekday, error) {
	i := slices.Index([]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}, s)
	if i < 0 {
		return 0, fmt.Errorf("%q is not a day", s)
	}
	return time.Weekday(i), nil
}
