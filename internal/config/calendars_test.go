package config

import (
	"strings"
	"testing"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

func TestCalendars(t *testing.T) {
	const times = ", time_intervals: [{times: [{start_time: '06:00', end_time: '08:00'}]}]"
	for name, x := range map[string]struct{ file, wrong string }{
		"no name":           {"{scope: fleet, reason: r" + times + "}", "has the name"},
		"a name twice":      {"{name: a, scope: fleet, reason: r" + times + "}, {name: a, scope: fleet, reason: r" + times + "}", "as another one has"},
		"no reason":         {"{name: a, scope: fleet" + times + "}", "has no reason"},
		"no scope":          {"{name: a, reason: r" + times + "}", "want fleet, or site="},
		"an empty site":     {"{name: a, scope: site=, reason: r" + times + "}", "want fleet, or site="},
		"a label alone":     {"{name: a, scope: label=rack, reason: r" + times + "}", "want fleet, or site="},
		"no MAC":            {"{name: a, scope: mac=dragon-1, reason: r" + times + "}", "no MAC"},
		"another kind":      {"{name: a, kind: silence, scope: fleet, reason: r" + times + "}", "want maintenance, pause or curtailment"},
		"no mode":           {"{name: a, kind: curtailment, scope: fleet, reason: r" + times + "}", "needs autotune.mode"},
		"a mode in a pause": {"{name: a, kind: pause, autotune: {mode: efficient}, scope: fleet, reason: r" + times + "}", "needs autotune.mode"},
		"another mode":      {"{name: a, kind: curtailment, autotune: {mode: off}, scope: fleet, reason: r" + times + "}", "autotune.mode"},
		"a level alone":     {"{name: a, kind: curtailment, autotune: {level: 1}, scope: fleet, reason: r" + times + "}", "a level needs a mode"},
		"no times":          {"{name: a, scope: fleet, reason: r}", "has no time_intervals"},
		"an empty interval": {"{name: a, scope: fleet, reason: r, time_intervals: [{}]}", "would be always"},
		"a place alone":     {"{name: a, scope: fleet, reason: r, time_intervals: [{location: Europe/Berlin}]}", "would be always"},
		"over midnight":     {"{name: a, scope: fleet, reason: r, time_intervals: [{times: [{start_time: '22:00', end_time: '06:00'}]}]}", "time_intervals[0]"},
		"another day":       {"{name: a, scope: fleet, reason: r, time_intervals: [{weekdays: [caturday]}]}", "caturday"},
		"another zone":      {"{name: a, scope: fleet, reason: r, time_intervals: [{weekdays: [monday], location: Moon/Base}]}", "Moon/Base"},
		"an unknown key":    {"{name: a, scope: fleet, reason: r, time_intervals: [{days: [monday]}]}", "unknown key"},
	} {
		if _, err := parseFile(t, "networks: [{cidr: 127.5.0.0/24}]\ncalendars: ["+x.file+"]\n"); err == nil || !strings.Contains(err.Error(), x.wrong) {
			t.Errorf("%s: %v, want an error with %q", name, err, x.wrong)
		}
	}
	c, err := parseFile(t, `
networks: [{cidr: 127.5.0.0/24}]
calendars:
  - {name: filters, scope: site=hall-a, reason: filters, time_intervals: [{weekdays: [tuesday], times: [{start_time: "06:00", end_time: "08:00"}], location: Europe/Berlin}]}
  - {name: peak, kind: pause, scope: label=rack=a12, reason: price, time_intervals: [{months: ["november:december"], days_of_month: [1, -1]}, {years: [2031]}]}
  - {name: one, scope: "mac=A0:B0:45:00:E3:AB", reason: r, time_intervals: [{weekdays: sunday}]}
  - {name: tariff, kind: curtailment, scope: model=T2T, reason: r, autotune: {mode: efficient, level: 1}, time_intervals: [{years: [2032]}]}
`)
	if err != nil || len(c.Calendars) != 4 {
		t.Fatalf("%v: %+v", err, c)
	}
	for i, want := range []string{"filters maintenance domain hall-a filters", "peak pause label rack=a12 price", "one maintenance mac a0:b0:45:00:e3:ab r",
		"tariff curtailment model T2T r efficient level 1"} {
		k := &c.Calendars[i]
		got := strings.Join([]string{k.Name, string(k.Kind), k.Scope, k.Value, k.Reason}, " ")
		if k.Mode != "" {
			got += " " + healer.ModeText(k.Mode, k.Level)
		}
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	for at, want := range map[string]string{ // the names of those that are open
		"2026-07-07T03:59:00Z": "", "2026-07-07T04:00:00Z": "filters", "2026-07-07T05:59:59Z": "filters", "2026-07-07T06:00:00Z": "", // summer
		"2026-12-01T04:59:00Z": "peak", "2026-12-01T05:00:00Z": "filters peak", "2026-12-01T07:00:00Z": "peak", // winter, a Tuesday
		"2026-12-31T12:00:00Z": "peak", "2026-12-30T12:00:00Z": "", "2026-10-31T12:00:00Z": "", "2031-03-03T12:00:00Z": "peak",
		"2026-12-06T00:00:00Z": "one", "2026-12-05T23:59:59Z": "", "2026-12-06T05:00:00+14:00": "",
	} {
		when, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		var open []string
		for _, k := range c.Calendars {
			if k.Open(when) {
				open = append(open, k.Name)
			}
		}
		if got := strings.Join(open, " "); got != want {
			t.Errorf("%s: open are %q, want %q", at, got, want)
		}
	}
	if c, err := parseFile(t, "networks: [{cidr: 127.5.0.0/24}]\n"); err != nil || len(c.Calendars) != 0 {
		t.Errorf("%v: by default there are %v", err, c.Calendars)
	}
}

func TestHowLongACalendarIsOpen(t *testing.T) {
	c, err := parseFile(t, `
networks: [{cidr: 127.5.0.0/24}]
calendars:
  - {name: night, scope: fleet, reason: r, time_intervals: [{times: [{start_time: "22:00", end_time: "24:00"}]}, {times: [{start_time: "00:00", end_time: "06:00"}]}]}
  - {name: year, scope: fleet, reason: r, time_intervals: [{years: [2026]}]}
`)
	if err != nil {
		t.Fatal(err)
	}
	from := time.Date(2026, 7, 7, 22, 30, 15, 0, time.UTC)
	for i, want := range []time.Duration{7*time.Hour + 30*time.Minute - 15*time.Second, 7 * 24 * time.Hour} {
		if got := c.Calendars[i].Left(from); got != want {
			t.Errorf("%s: %v, want %v", c.Calendars[i].Name, got, want)
		}
	}
	for i, want := range map[int]time.Time{0: time.Date(2026, 7, 8, 22, 0, 0, 0, time.UTC), 1: {}} {
		if got := c.Calendars[i].Next(from); !got.Equal(want) {
			t.Errorf("%s begins next at %v, want %v", c.Calendars[i].Name, got, want)
		}
	}
	k := c.Calendars[0]
	p := healer.Pause{Calendar: "night", Kind: healer.Maintained, Scope: "fleet", Reason: "r"}
	other := p
	other.Scope, other.Value = "model", "T1"
	if !k.Made(&p) || k.Made(&other) || k.Made(&healer.Pause{Kind: healer.Maintained, Scope: "fleet", Reason: "r"}) {
		t.Error("it does not know its own pauses")
	}
}

func TestAWindowThatSaysWhenNot(t *testing.T) {
	c, err := parseFile(t, `
networks: [{cidr: 127.5.0.0/24}]
healing:
  windows: [{not: [{weekdays: ["monday:friday"], times: [{start_time: "06:00", end_time: "22:00"}], location: Europe/Berlin}]}]
`)
	if err != nil {
		t.Fatal(err)
	}
	w := &c.Healing.Policy().Windows[0]
	for at, want := range map[string]bool{"2026-07-07T03:59:00Z": true, "2026-07-07T04:00:00Z": false, "2026-07-07T20:00:00Z": true, "2026-07-05T12:00:00Z": true} {
		when, _ := time.Parse(time.RFC3339, at)
		if w.Open(when) != want {
			t.Errorf("%s: open %v", at, !want)
		}
	}
	for file, wrong := range map[string]string{
		"{not: [{weekdays: [caturday]}]}":               "windows[0].not[0]",
		"{not: [{weekdays: [monday]}], start: '08:00'}": "not, and something else",
		"{not: [{}]}":                                  "would be always",
		"{not: [{location: Europe/Berlin}]}":           "would be always",
		"{not: [{weekdays: [monday], from: '08:00'}]}": "unknown key",
	} {
		if _, err := parseFile(t, "networks: [{cidr: 127.5.0.0/24}]\nhealing: {windows: ["+file+"]}\n"); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v, want an error with %q", file, err, wrong)
		}
	}
}
