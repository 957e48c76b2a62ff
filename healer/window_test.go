package healer

import (
	"slices"
	"testing"
	"time"
	_ "time/tzdata"
)

// S40: windows are local times; a skipped hour shortens one, a doubled one does not
// lengthen it.
func TestWindowOpenFor(t *testing.T) {
	for name, x := range map[string]struct {
		window   Window
		from, to string // of the days looked at, UTC
		want     time.Duration
	}{
		"plain":                 {Window{Start: "22:00", Length: 4 * time.Hour}, "2026-05-01T12:00Z", "2026-05-02T12:00Z", 4 * time.Hour},
		"one day of the week":   {Window{Days: []string{"Sat"}, Start: "22:00", Length: 4 * time.Hour}, "2026-05-01T00:00Z", "2026-05-08T00:00Z", 4 * time.Hour},
		"the whole day":         {Window{Start: "00:00", Length: 24 * time.Hour, Zone: "Europe/Berlin"}, "2026-10-24T00:00Z", "2026-10-26T00:00Z", 48 * time.Hour},
		"skipped in part":       {Window{Start: "01:30", Length: 2 * time.Hour, Zone: "Europe/Berlin"}, "2026-03-28T12:00Z", "2026-03-29T12:00Z", time.Hour},
		"skipped start":         {Window{Start: "02:30", Length: time.Hour, Zone: "Europe/Berlin"}, "2026-03-28T12:00Z", "2026-03-29T12:00Z", 30 * time.Minute},
		"skipped altogether":    {Window{Start: "02:00", Length: time.Hour, Zone: "Europe/Berlin"}, "2026-03-28T12:00Z", "2026-03-29T12:00Z", 0},
		"doubled hour inside":   {Window{Start: "02:00", Length: time.Hour, Zone: "Europe/Berlin"}, "2026-10-24T12:00Z", "2026-10-25T12:00Z", time.Hour},
		"doubled hour at end":   {Window{Start: "01:00", Length: 90 * time.Minute, Zone: "America/New_York"}, "2026-10-31T12:00Z", "2026-11-01T12:00Z", 90 * time.Minute},
		"across midnight, skip": {Window{Start: "23:00", Length: 6 * time.Hour, Zone: "Europe/Berlin"}, "2026-03-28T12:00Z", "2026-03-29T12:00Z", 5 * time.Hour},
		"across midnight, dup":  {Window{Start: "23:00", Length: 6 * time.Hour, Zone: "Europe/Berlin"}, "2026-10-24T12:00Z", "2026-10-25T12:00Z", 6 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			w := x.window
			if err := w.Validate(); err != nil {
				t.Fatal(err)
			}
			from, err1 := time.Parse("2006-01-02T15:04Z", x.from)
			to, err2 := time.Parse("2006-01-02T15:04Z", x.to)
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			open := time.Duration(0)
			for at := from; at.Before(to); at = at.Add(time.Minute) {
				if w.Open(at) {
					open += time.Minute
				}
			}
			if open != x.want {
				t.Errorf("open for %s, want %s", open, x.want)
			}
		})
	}
}

func TestWindowRefusesNonsense(t *testing.T) {
	for name, w := range map[string]Window{
		"no start":  {Length: time.Hour},
		"no length": {Start: "10:00"},
		"day":       {Start: "10:00", Length: time.Hour, Days: []string{"Caturday"}},
		"zone":      {Start: "10:00", Length: time.Hour, Zone: "Mars/Olympus"},
		"too long":  {Start: "10:00", Length: 8 * 24 * time.Hour},
	} {
		if err := w.Validate(); err == nil {
			t.Errorf("%s: no error", name)
		}
		if w.Open(time.Date(2026, 5, 1, 10, 30, 0, 0, time.UTC)) {
			t.Errorf("%s: open", name)
		}
	}
}

// A window that says when not holds whatever the others say.
func TestAWindowThatSaysWhenNot(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2026, 5, 1, hour, 0, 0, 0, time.UTC) }
	day := Window{Start: "08:00", Length: 10 * time.Hour}
	noon := Window{Not: []TimeInterval{{Weekdays: []string{"friday"}}}}
	noon.Exclude(func(t time.Time) bool { return t.Hour() == 12 })
	for _, w := range []*Window{&day, &noon} {
		if err := w.Validate(); err != nil {
			t.Fatal(err)
		}
	}
	for name, x := range map[string]struct {
		windows []Window
		open    []int
	}{
		"none":     {nil, []int{7, 9, 12, 20}},
		"when":     {[]Window{day}, []int{9, 12}},
		"when not": {[]Window{noon}, []int{7, 9, 20}},
		"both":     {[]Window{noon, day}, []int{9}},
		"not told": {[]Window{{Not: noon.Not}, day}, nil},
	} {
		var open []int
		for _, hour := range []int{7, 9, 12, 20} {
			if allowed(x.windows, at(hour)) {
				open = append(open, hour)
			}
		}
		if !slices.Equal(open, x.open) {
			t.Errorf("%s: open at %v, want %v", name, open, x.open)
		}
	}
	if err := (&Window{Not: noon.Not, Start: "08:00"}).Validate(); err == nil {
		t.Error("a window says both")
	}
}
