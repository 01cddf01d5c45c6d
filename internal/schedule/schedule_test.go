package schedule

import (
	"testing"
	"time"
)

func at(t *testing.T, s string) time.Time {
	t.Helper()
	out, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestNext(t *testing.T) {
	night := &Window{From: 22 * time.Hour, To: 6 * time.Hour}
	for name, c := range map[string]struct {
		rule       Rule
		last, want string
	}{
		"interval":                         {Rule{Every: 2 * time.Hour}, "2026-01-01T00:00:00Z", "2026-01-01T02:00:00Z"},
		"cron in UTC":                      {Rule{Cron: "30 3 * * *"}, "2026-01-01T04:00:00Z", "2026-01-02T03:30:00Z"},
		"cron in a zone":                   {Rule{Cron: "30 3 * * *", Zone: "Europe/Berlin"}, "2026-01-01T04:00:00Z", "2026-01-02T02:30:00Z"},
		"waits for the window":             {Rule{Every: 2 * time.Hour, Window: night}, "2026-01-01T06:00:00Z", "2026-01-01T22:00:00Z"},
		"in a window that began before":    {Rule{Every: 2 * time.Hour, Window: night}, "2026-01-01T02:00:00Z", "2026-01-01T04:00:00Z"},
		"the end is outside":               {Rule{Every: 2 * time.Hour, Window: night}, "2026-01-01T04:00:00Z", "2026-01-01T22:00:00Z"},
		"waits for the day":                {Rule{Every: time.Hour, Window: &Window{From: time.Hour, To: 2 * time.Hour, Days: []time.Weekday{time.Sunday}}}, "2026-01-05T00:00:00Z", "2026-01-11T01:00:00Z"},
		"a night belongs to its first day": {Rule{Every: time.Hour, Window: &Window{From: 22 * time.Hour, To: 6 * time.Hour, Days: []time.Weekday{time.Thursday}}}, "2026-01-02T02:00:00Z", "2026-01-02T03:00:00Z"},
		"the clock springs forward":        {Rule{Every: time.Hour, Zone: "Europe/Berlin", Window: &Window{From: 2*time.Hour + 30*time.Minute, To: 4 * time.Hour}}, "2026-03-29T00:00:00Z", "2026-03-29T01:30:00Z"},
	} {
		s, err := Parse(c.rule)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := s.Next(at(t, c.last), "key")
		if !got.Equal(at(t, c.want)) {
			t.Errorf("%s: due %s, want %s", name, got.UTC().Format(time.RFC3339), c.want)
		}
		if _, open := s.Open(got); !open {
			t.Errorf("%s: due outside of the window", name)
		}
	}
}

func TestJitterIsBoundedAndTheSameEverywhere(t *testing.T) {
	s, err := Parse(Rule{Every: time.Hour, Jitter: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	last, seen := at(t, "2026-01-01T00:00:00Z"), map[time.Time]bool{}
	for range 50 {
		due := s.Next(last, "job")
		if late := due.Sub(last.Add(time.Hour)); late < 0 || late >= 10*time.Minute {
			t.Fatalf("late by %s", late)
		}
		if due != s.Next(last, "job") {
			t.Fatal("two replicas disagree")
		}
		seen[due] = true
		last = due
	}
	if len(seen) < 50 {
		t.Error("due twice at the same time")
	}
}

func TestSenselessRulesAreRefused(t *testing.T) {
	for name, r := range map[string]Rule{
		"nothing":             {},
		"both":                {Every: time.Hour, Cron: "* * * * *"},
		"never":               {Cron: "0 0 30 2 *"},
		"no cron":             {Cron: "every day"},
		"seconds":             {Cron: "* * * * * *"},
		"zone in it":          {Cron: "CRON_TZ=Europe/Berlin * * * * *"},
		"no zone":             {Every: time.Hour, Zone: "Mars/Olympus"},
		"path as zone":        {Every: time.Hour, Zone: "../../etc/passwd"},
		"empty window":        {Every: time.Hour, Window: &Window{}},
		"window past the day": {Every: time.Hour, Window: &Window{From: 1, To: 25 * time.Hour}},
		"negative":            {Every: -time.Hour},
		"endless":             {Cron: string(make([]byte, 1000))},
	} {
		if _, err := Parse(r); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzCron(f *testing.F) {
	f.Add("*/5 0-23 1,15 * mon", "UTC")
	f.Add("@every 1h", "Europe/Berlin")
	f.Fuzz(func(t *testing.T, expression, zone string) {
		s, err := Parse(Rule{Cron: expression, Zone: zone})
		if err != nil {
			return
		}
		last := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		if next := s.Next(last, ""); !next.After(last) {
			t.Errorf("%q: next %s is not after %s", expression, next, last)
		}
	})
}
