package healer

import (
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
