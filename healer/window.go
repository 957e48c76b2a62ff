package healer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Window is a daily time in which something is allowed: from Start, for Length, by
// the clocks of Zone. One with Not is open except in these intervals, and has nothing else.
type Window struct {
	Days   []string       `yaml:"days"` // Mon … Sun on which it starts; none: every day
	Start  string         `yaml:"start"`
	Length time.Duration  `yaml:"length"`
	Zone   string         `yaml:"zone"` // IANA; empty is UTC
	Not    []TimeInterval `yaml:"not" json:",omitempty"`

	from     time.Duration
	location *time.Location
	not      func(time.Time) bool
	valid    bool
}

// TimeInterval is a time interval as Alertmanager writes it. What it means is for the parser of
// the configuration.
type TimeInterval struct {
	Times       []TimeRange `yaml:"times,omitempty"`
	Weekdays    []string    `yaml:"weekdays,omitempty"`
	DaysOfMonth []string    `yaml:"days_of_month,omitempty"`
	Months      []string    `yaml:"months,omitempty"`
	Years       []string    `yaml:"years,omitempty"`
	Location    string      `yaml:"location,omitempty"`
}

// TimeRange is a part of the day.
type TimeRange struct {
	Start string `yaml:"start_time"`
	End   string `yaml:"end_time"`
}

// Exclude makes a window with Not usable: in says whether a time is in one of the intervals.
func (w *Window) Exclude(in func(time.Time) bool) { w.not, w.valid = in, in != nil }

// allowed reports whether windows allow something at a time: one of those that say when, if there
// are any, and each that says when not.
func allowed(windows []Window, t time.Time) bool {
	some, open := false, false
	for i := range windows {
		w := &windows[i]
		is := w.Open(t)
		if len(w.Not) > 0 && !is {
			return false
		}
		some, open = some || len(w.Not) == 0, open || len(w.Not) == 0 && is
	}
	return open || !some
}

// Validate checks a window and makes it usable: one that was not validated is closed, and one with
// Not that has not been told what to Exclude. The error
// has a line for everything that is wrong.
func (w *Window) Validate() error {
	if len(w.Not) > 0 {
		if len(w.Days) > 0 || w.Start != "" || w.Length != 0 || w.Zone != "" {
			return errors.New("window: it has not, and something else")
		}
		return nil
	}
	var errs []error
	start, err := time.Parse("15:04", w.Start)
	if err != nil {
		errs = append(errs, fmt.Errorf("window: start %q, expected a time such as 22:30", w.Start))
	}
	if w.Length <= 0 || w.Length > week {
		errs = append(errs, fmt.Errorf("window: length %s, expected up to %s", w.Length, week))
	}
	for _, d := range w.Days {
		if !slices.ContainsFunc(weekdays, func(n string) bool { return strings.EqualFold(n, d) }) {
			errs = append(errs, fmt.Errorf("window: day %q, expected %s", d, strings.Join(weekdays, " ")))
		}
	}
	if w.location, err = time.LoadLocation(w.Zone); err != nil {
		errs = append(errs, fmt.Errorf("window: zone %q: %w", w.Zone, err))
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	w.from = time.Duration(start.Hour())*time.Hour + time.Duration(start.Minute())*time.Minute
	w.valid = true
	return nil
}

var weekdays = []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

func (w *Window) on(d time.Weekday) bool {
	return len(w.Days) == 0 || slices.ContainsFunc(w.Days, func(n string) bool { return strings.EqualFold(n, weekdays[d]) })
}

// Open reports whether the window is open at t. An hour that the clocks skip
// shortens it; an hour that they show twice does not double it.
func (w *Window) Open(t time.Time) bool {
	if !w.valid {
		return false
	}
	if len(w.Not) > 0 {
		return !w.not(t)
	}
	if w.Length >= day && len(w.Days) == 0 {
		return true
	}
	shown := naive(t.In(w.location))
	midnight := shown.Truncate(day)
	for back := 0; time.Duration(back)*day <= w.Length+day; back++ {
		date := midnight.AddDate(0, 0, -back)
		start := date.Add(w.from)
		if !w.on(date.Weekday()) || shown.Before(start) || !shown.Before(start.Add(w.Length)) {
			continue
		}
		if t.Sub(first(start, w.location)) < w.Length {
			return true
		}
	}
	return false
}

// naive is what the clocks show, as if there were no zones.
func naive(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// first is the first instant at which clocks in the zone show a time, or one in the
// skipped hour around it.
func first(shown time.Time, zone *time.Location) time.Time {
	t := time.Date(shown.Year(), shown.Month(), shown.Day(), shown.Hour(), shown.Minute(), 0, 0, zone)
	for _, back := range []time.Duration{2 * time.Hour, time.Hour, 30 * time.Minute} {
		if earlier := t.Add(-back); naive(earlier).Equal(naive(t)) {
			return earlier
		}
	}
	return t
}
