package healer

import (
	"strings"
	"time"

	"github.com/brndnmtthws/mother-of-dragons/dragon"
)

// Calendar is a maintenance, a pause or a curtailment that comes again and again. To the decisions it is a Pause
// like a person's, which is made and ended at its times.
type Calendar struct {
	Name   string
	Kind   PauseKind
	Scope  string // as a Pause has it
	Value  string
	Reason string
	Mode   string // of a curtailment
	Level  dragon.Number
	Open   func(time.Time) bool // whether it is time
}

// Of says what the pause is for, such as "site hall-a".
func (p *Pause) Of() string {
	if p.Scope == "domain" {
		return "site " + p.Value
	}
	return strings.TrimSpace(p.Scope + " " + p.Value)
}

const calendarStep = time.Minute

// Made reports whether a pause is the calendar's, as it is now configured.
func (c *Calendar) Made(p *Pause) bool {
	return p.Calendar == c.Name && p.Kind == c.Kind && p.Scope == c.Scope && p.Value == c.Value && p.Reason == c.Reason &&
		p.Mode == c.Mode && p.Level == c.Level
}

// Left is how long the interval at a time still lasts, to the minute, and as long as a pause may
// last at most.
func (c *Calendar) Left(from time.Time) time.Duration {
	at := from.Truncate(calendarStep)
	for at.Sub(from) < pauseMax && (!at.After(from) || c.Open(at)) {
		at = at.Add(calendarStep)
	}
	return min(at.Sub(from), pauseMax)
}

// calendarAhead is how far Next looks.
const calendarAhead = 8 * 24 * time.Hour

// Next is when the calendar opens next, to the minute; zero: not within eight days.
func (c *Calendar) Next(from time.Time) time.Time {
	at := from.Truncate(calendarStep)
	for open := c.Open(from); at.Sub(from) < calendarAhead; {
		at = at.Add(calendarStep)
		was := open
		if open = c.Open(at); open && !was {
			return at
		}
	}
	return time.Time{}
}
