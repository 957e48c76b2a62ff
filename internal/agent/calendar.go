package agent

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-kit/log/level"

	"github.com/brndnmtthws/mother-of-dragons/healer"
)

// keepCalendars begins and ends the pauses of the calendars: to the decisions they are pauses
// like a person's. It waits while the host's clock is not trusted. A pause ends by itself at the
// end of its interval, also where this process does not run any more. One that a person has ended
// does not come back within its interval.
func (h *Healer) keepCalendars(now healer.Instant) {
	if h.config.Calendars == nil || h.plan == nil || !h.plan.ClockTrusted || !h.writable() || h.held {
		return
	}
	calendars := h.config.Calendars()
	t := h.mem.Moment(now)
	for _, p := range slices.Clone(h.mem.Fleet.Pauses) {
		if p.Calendar == "" || slices.ContainsFunc(calendars, func(c healer.Calendar) bool { return c.Made(&p) && c.Open(now.Wall) }) {
			continue
		}
		if err := h.mem.Resume(p.ID); err == nil {
			h.mem.ForgetCalendar(p.Calendar) // it may be configured otherwise now
			h.auditRequest(healer.Resume, "", calendarActor(p.Calendar), "pause "+p.ID)
		}
	}
	for name := range maps.Clone(h.mem.Fleet.Calendars) {
		if !slices.ContainsFunc(calendars, func(c healer.Calendar) bool { return c.Name == name }) {
			h.mem.ForgetCalendar(name)
		}
	}
	for i := range calendars {
		c := &calendars[i]
		if !c.Open(now.Wall) {
			h.mem.ForgetCalendar(c.Name)
			continue
		}
		made := slices.IndexFunc(h.mem.Fleet.Pauses, func(p healer.Pause) bool { return p.Calendar == c.Name && t < p.Until })
		if made >= 0 {
			h.mem.RememberCalendar(&h.mem.Fleet.Pauses[made]) // an older version did not
		}
		if made >= 0 || t < h.mem.Fleet.Calendars[c.Name] {
			continue
		}
		p, err := h.mem.Pause(now, healer.PauseRequest{Kind: c.Kind, Scope: c.Scope, Value: c.Value, Owner: "calendar " + c.Name, Reason: c.Reason,
			For: c.Left(now.Wall), Calendar: c.Name, Mode: c.Mode, Level: c.Level})
		if err != nil {
			level.Error(h.logger).Log("msg", "calendar cannot pause the healer", "calendar", c.Name, "err", err)
			continue
		}
		h.auditRequest(healer.Hold, "", calendarActor(c.Name), fmt.Sprintf("%s %s of %s: %s", p.InWords(), p.ID, p.Of(), p.Reason))
	}
}

func calendarActor(name string) string { return "calendar:" + name }

// CalendarShown is a calendar as people see it.
type CalendarShown struct {
	Name   string     `json:"name"`
	Does   string     `json:"does"`  // pause, maintenance, or curtailment with its mode
	Scope  string     `json:"scope"` // as the file has it
	Reason string     `json:"reason"`
	Open   bool       `json:"open"`           // its pause is in force
	Next   *time.Time `json:"next,omitempty"` // when it begins next; null: not within eight days
}

func (h *Healer) showCalendars(p *healer.Plan) (list []CalendarShown) {
	if h.config.Calendars == nil {
		return nil
	}
	calendars := h.config.Calendars()
	for i := range calendars {
		c := &calendars[i]
		x := CalendarShown{Name: c.Name, Scope: calendarScope(c), Reason: c.Reason,
			Does: (&healer.Pause{Kind: c.Kind, Mode: c.Mode, Level: c.Level}).InWords(),
			Open: slices.ContainsFunc(p.Pauses, func(x healer.Pause) bool { return x.Calendar == c.Name })}
		if next := h.calendarNext(c, p.Wall); !next.IsZero() {
			x.Next = &next
		}
		list = append(list, x)
	}
	return list
}

// calendarNext is when a calendar begins next. It is looked for only when the last answer is over,
// or does not fit another configuration, and each hour where there is none.
func (h *Healer) calendarNext(c *healer.Calendar, now time.Time) time.Time {
	known, found := h.calendarBegins[c.Name]
	if found && now.Before(known.until) && (known.next.IsZero() || c.Open(known.next) && !c.Open(known.next.Add(-time.Minute))) {
		return known.next
	}
	next := c.Next(now)
	until := next
	if next.IsZero() {
		until = now.Add(time.Hour)
	}
	if h.calendarBegins == nil {
		h.calendarBegins = make(map[string]calendarBegin)
	}
	h.calendarBegins[c.Name] = calendarBegin{next.UTC(), until}
	return next.UTC()
}

// calendarBegin is an answer of calendarNext, and when it is to be looked for again.
type calendarBegin struct{ next, until time.Time }

func calendarScope(c *healer.Calendar) string {
	switch c.Scope {
	case "fleet":
		return c.Scope
	case "domain":
		return "site=" + c.Value
	}
	return c.Scope + "=" + c.Value
}
