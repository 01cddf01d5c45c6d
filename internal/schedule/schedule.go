package schedule

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	"github.com/robfig/cron/v3"
)

// Rule says how something repeats: Every or Cron, and both within Window.
type Rule struct {
	Every  time.Duration
	Cron   string // five fields, or @hourly and the like
	Zone   string // of Cron and Window; default UTC
	Jitter time.Duration
	Window *Window
}

// Window is a daily span of the wall clock. From after To means over midnight.
type Window struct {
	From, To time.Duration  // since midnight
	Days     []time.Weekday // on which it begins; empty means all
}

// Schedule is a rule that can be asked.
type Schedule struct {
	rule Rule
	cron cron.Schedule
	zone *time.Location
}

// Parse checks a rule.
func Parse(r Rule) (*Schedule, error) {
	s := &Schedule{rule: r}
	var err error
	if s.zone, err = time.LoadLocation(r.Zone); err != nil || r.Zone == "Local" {
		return nil, fmt.Errorf("zone %q is not known: take UTC or a name such as Europe/Berlin", r.Zone)
	}
	if (r.Every > 0) == (r.Cron != "") {
		return nil, errors.New("give either an interval or a cron expression")
	}
	if w := r.Window; w != nil && (w.From == w.To || w.From < 0 || w.To < 0 || w.From >= 24*time.Hour || w.To >= 24*time.Hour) {
		return nil, errors.New("the window must begin and end at different times of the day")
	}
	if r.Cron == "" {
		return s, nil
	}
	if len(r.Cron) > 200 {
		return nil, errors.New("the cron expression is longer than 200 bytes")
	}
	if s.cron, err = parseCron(r.Cron); err != nil {
		return nil, err
	}
	if s.cron.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, s.zone)).IsZero() {
		return nil, fmt.Errorf("cron expression %q never comes true", r.Cron)
	}
	return s, nil
}

// parseCron keeps the library's zone prefix out: the zone is a field of its own.
func parseCron(expression string) (cron.Schedule, error) {
	if len(expression) >= 3 && (expression[:3] == "TZ=" || expression[:3] == "CRO") {
		return nil, errors.New("give the zone beside the cron expression, not in it")
	}
	parsed, err := cron.ParseStandard(expression)
	if err != nil {
		return nil, fmt.Errorf("cron expression %q: %w", expression, err)
	}
	return parsed, nil
}

// Next returns when it is due after last. The same key is given the same jitter.
func (s *Schedule) Next(last time.Time, key string) time.Time {
	due := last.Add(s.rule.Every)
	if s.cron != nil {
		due = s.cron.Next(last.In(s.zone))
	}
	if s.rule.Jitter > 0 {
		h := fnv.New64a()
		fmt.Fprintf(h, "%s %d", key, due.UnixMicro())
		due = due.Add(time.Duration(h.Sum64() % uint64(s.rule.Jitter)))
	}
	return s.opening(due)
}

// Open reports whether now lies within the window, and when that ends.
func (s *Schedule) Open(now time.Time) (until time.Time, open bool) {
	if s.rule.Window == nil {
		return time.Time{}, true
	}
	for back := range 2 { // a window over midnight began yesterday
		from, to, on := s.span(now, -back)
		if on && !now.Before(from) && now.Before(to) {
			return to, true
		}
	}
	return time.Time{}, false
}

// opening returns due when it lies within the window, else the window's next beginning.
func (s *Schedule) opening(due time.Time) time.Time {
	if _, open := s.Open(due); open {
		return due
	}
	for ahead := range 9 { // every weekday comes within eight days
		if from, _, on := s.span(due, ahead); on && !from.Before(due) {
			return from
		}
	}
	return due
}

// span returns the window that begins days after the day of at.
func (s *Schedule) span(at time.Time, days int) (from, to time.Time, on bool) {
	w, local := s.rule.Window, at.In(s.zone)
	y, m, d := local.Date()
	clock := func(extra int, since time.Duration) time.Time {
		return time.Date(y, m, d+days+extra, int(since/time.Hour), int(since%time.Hour/time.Minute), 0, 0, s.zone)
	}
	from, to = clock(0, w.From), clock(0, w.To)
	if w.To < w.From {
		to = clock(1, w.To)
	}
	weekday := time.Date(y, m, d+days, 12, 0, 0, 0, s.zone).Weekday()
	return from, to, len(w.Days) == 0 || slices.Contains(w.Days, weekday)
}
