package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/alertmanager/timeinterval"
	"go.yaml.in/yaml/v3"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// calendar is a maintenance, a pause or a curtailment that comes again and again.
type calendar struct {
	Name      string                `yaml:"name"`
	Kind      string                `yaml:"kind"`
	Scope     string                `yaml:"scope"`
	Reason    string                `yaml:"reason"`
	Autotune  autotune              `yaml:"autotune"`
	Intervals []healer.TimeInterval `yaml:"time_intervals"`
}

func calendarSection() section {
	return section{path: "calendars", about: `Maintenance that comes again and again, per scope: [healing.md](healing.md#calendars).
In a maintenance the healer does not act, the dragons do not count as sick, and their alerts are silent.
A pause only keeps the healer from acting. In a curtailment the dragons have another autotune mode:
[curtailment.md](curtailment.md). The intervals are written
as Alertmanager's time_intervals. One that goes over midnight is two.`, rows: append([]setting{
		{doc: "The calendars; none unless one is named.", example: calendarsExample},
		{key: "[].name", doc: "The name in the log, the plan and the audit, of a-z, 0-9, -, _ and ."},
		{key: "[].kind", doc: "maintenance, pause or curtailment. Default: maintenance."},
		{key: "[].scope", doc: "The dragons: fleet, or site=, pool=, model=, firmware=, label=NAME= or mac= with a value."},
		{key: "[].reason", doc: "Why, for others and for the audit."},
		{key: "[].autotune.mode", doc: "The autotune mode in a curtailment: efficient, balanced, factory or performance."},
		{key: "[].autotune.level", from: "0", to: "4", doc: "The level of that mode; Innosilicon only."},
		{key: "[].time_intervals", doc: "When. One of them is enough. In one, every key that is set must fit."},
	}, intervalRows("[].time_intervals[]")...)}
}

func intervalRows(of string) []setting {
	return []setting{
		{key: of + ".times", doc: "Times of the day."},
		{key: of + ".times[].start_time", doc: "The beginning, such as \"06:00\"."},
		{key: of + ".times[].end_time", doc: "The end, later on the same day; \"24:00\" is midnight."},
		{key: of + ".weekdays", doc: "Days of the week, such as saturday or \"monday:friday\"."},
		{key: of + ".days_of_month", doc: "Days of the month, such as 1, \"1:7\" or -1 for the last one."},
		{key: of + ".months", doc: "Months, such as december, 12 or \"november:december\"."},
		{key: of + ".years", doc: "Years, such as 2027 or \"2027:2029\"."},
		{key: of + ".location", doc: "The time zone, such as Europe/Berlin; Local is the host's. Default: UTC."},
	}
}

const calendarsExample = `- {name: filters, scope: site=hall-a, reason: filters are cleaned,
  time_intervals: [{weekdays: [tuesday], times: [{start_time: "06:00", end_time: "08:00"}], location: Europe/Berlin}]}
- {name: peak, kind: pause, scope: fleet, reason: nothing restarts at peak price,
  time_intervals: [{months: ["november:december"], times: [{start_time: "17:00", end_time: "20:00"}]}]}
- {name: tariff, kind: curtailment, scope: site=hall-b, reason: power is expensive, autotune: {mode: efficient},
  time_intervals: [{weekdays: ["monday:friday"], times: [{start_time: "16:00", end_time: "21:00"}], location: Europe/Berlin}]}`

// adoptCalendars checks the calendars.
func (c *Config) adoptCalendars(r *reader) {
	names := make(map[string]bool)
	for i := range c.CalendarList {
		x := &c.CalendarList[i]
		path := fmt.Sprintf("calendars[%d]", i)
		if !webhookName.MatchString(x.Name) {
			r.at(path, "has the name %s; want one of a-z, 0-9, -, _ and .", shown(x.Name))
		} else if names[x.Name] {
			r.at(path, "has the name %s, as another one has", shown(x.Name))
		}
		names[x.Name] = true
		k := healer.Calendar{Name: x.Name, Kind: healer.Maintained, Reason: x.Reason}
		switch x.Kind {
		case "", string(healer.Maintained):
		case string(healer.Paused), string(healer.Curtailed):
			k.Kind = healer.PauseKind(x.Kind)
		default:
			r.at(path+".kind", "%s: want maintenance, pause or curtailment", shown(x.Kind))
		}
		if k.Mode, k.Level = x.Autotune.check(r, path+".autotune"); (k.Kind == healer.Curtailed) != (k.Mode != "") {
			r.at(path, "a curtailment needs autotune.mode, and nothing else has one")
		}
		if x.Reason == "" {
			r.at(path, "has no reason")
		}
		var err error
		if k.Scope, k.Value, err = calendarScope(x.Scope); err != nil {
			r.at(path, "has the scope %s: %s", shown(x.Scope), err)
		}
		if len(x.Intervals) == 0 {
			r.at(path, "has no time_intervals")
		}
		k.Open = timesOf(x.Intervals, func(j int, err error) { r.at(fmt.Sprintf("%s.time_intervals[%d]", path, j), "%s", err) })
		c.Calendars = append(c.Calendars, k)
	}
}

// timesOf parses time intervals, and returns whether a time is in one of them.
func timesOf(intervals []healer.TimeInterval, wrong func(i int, err error)) func(time.Time) bool {
	var all []timeinterval.TimeInterval
	for i := range intervals {
		one, err := parseInterval(&intervals[i])
		if err != nil {
			wrong(i, err)
		}
		all = append(all, one)
	}
	return func(at time.Time) bool {
		return slices.ContainsFunc(all, func(one timeinterval.TimeInterval) bool { return one.ContainsTime(at.UTC()) })
	}
}

// parseInterval has Alertmanager's own parser read the interval, so that it means the same here.
func parseInterval(i *healer.TimeInterval) (parsed timeinterval.TimeInterval, err error) {
	if len(i.Times)+len(i.Weekdays)+len(i.DaysOfMonth)+len(i.Months)+len(i.Years) == 0 {
		return parsed, fmt.Errorf("has no times: it would be always")
	}
	data, err := yaml.Marshal(i)
	if err == nil {
		err = yaml.Unmarshal(data, &parsed)
	}
	return parsed, err
}

// calendarScope splits a scope as the healer's pauses have it.
func calendarScope(s string) (scope, value string, err error) {
	scope, value, _ = strings.Cut(s, "=")
	if scope == "site" {
		scope = "domain"
	}
	if scope == "mac" {
		mac, ok := dragon.ParseMAC(value)
		if !ok {
			return scope, value, fmt.Errorf("no MAC")
		}
		value = mac
	}
	name, rest, _ := strings.Cut(value, "=")
	if !slices.Contains([]string{"fleet", "domain", "pool", "model", "firmware", "label", "mac"}, scope) ||
		(scope == "fleet") != (value == "") || scope == "label" && (name == "" || rest == "") {
		err = fmt.Errorf("want fleet, or site=, pool=, model=, firmware=, label=NAME= or mac= with a value")
	}
	return scope, value, err
}
