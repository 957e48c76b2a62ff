package healer

import (
	"fmt"
	"time"
)

// step is the next thing to try on a sick dragon.
type step struct {
	kind      Kind
	rung      int
	hold      time.Duration // that the step before still asks for
	interval  time.Duration // the same for the reason's own gap
	benefit   *Benefit
	exhausted string // why there is no next step
}

// step finds the next rung. The position on the ladder is the dragon's, whatever the
// reason; a reason that must not climb stays on the first rung.
func (c *cycle) step(s *subject) step {
	d := &detectors[s.fired]
	l := &s.p.Ladder
	last := s.r.last(func(a *Action) bool { return a.Actor == HealerActor && a.Rung > 0 })
	rung := min(s.r.Rung+1, d.maxRung)
	st := step{rung: rung}
	if last != nil {
		st.hold = max(0, holdOf(l, last.Rung)-c.now.Since(last.At))
		if d.gap != nil {
			same := s.r.last(func(a *Action) bool { return a.Reason == d.reason && a.Actor == HealerActor })
			if same != nil {
				st.interval = max(0, d.gap(&s.p.Device)-c.now.Since(same.At))
			}
		}
	}
	if n := len(l.Steps); n > 0 && s.r.Refused >= n {
		// Also for what does not climb: it would be asked for ever.
		st.rung, st.kind = min(rung, n), l.Steps[min(rung, n)-1]
		if st.hold == 0 {
			st.exhausted = "it refuses" + refusals(s.r)
		}
		return st
	}
	if rung > len(l.Steps) {
		st.rung = len(l.Steps)
		if len(l.Steps) > 0 {
			st.kind = l.Steps[st.rung-1]
		}
		if st.hold == 0 {
			st.exhausted = fmt.Sprintf("all %d steps of the ladder were tried", len(l.Steps)) + refusals(s.r)
		}
		return st
	}
	st.kind = l.Steps[rung-1]
	if st.kind != Reboot {
		return st
	}
	st.benefit = c.benefit(s)
	if st.hold > 0 {
		return st
	}
	switch {
	case c.hopeless(s) && s.r.Refused > 0:
		st.exhausted = "it refuses, and its other boards mine on" + refusals(s.r)
	case c.hopeless(s):
		st.exhausted = "the last reboot did not bring the board back, and the others mine on"
	case count(s.r, Reboot, 24*time.Hour, c.now) >= s.p.Device.Reboots24h:
		st.exhausted = fmt.Sprintf("%d reboots in 24h", s.p.Device.Reboots24h) + refusals(s.r)
	case count(s.r, Reboot, week, c.now) >= s.p.Device.Reboots7d:
		st.exhausted = fmt.Sprintf("%d reboots in 7d", s.p.Device.Reboots7d) + refusals(s.r)
	}
	return st
}

// refusals says how often in a row the dragon said no to the ladder, and what it said last.
func refusals(r *Record) string {
	last := r.last(func(a *Action) bool { return a.Result == Refusal && a.Actor == HealerActor && a.heals() })
	if r.Refused == 0 || last == nil {
		return ""
	}
	times := "once"
	if r.Refused > 1 {
		times = fmt.Sprintf("%d times in a row", r.Refused)
	}
	return fmt.Sprintf(": it said no %s, last to %s: %s", times, last.Kind, last.Note)
}

func holdOf(l *LadderPolicy, rung int) time.Duration {
	if len(l.Hold) == 0 || rung < 1 {
		return 0
	}
	return l.Hold[min(rung, len(l.Hold))-1]
}

// hopeless reports whether a reboot has already failed to bring back the same
// board, or was refused, while at least half of the boards earn something that another
// would cost.
func (c *cycle) hopeless(s *subject) bool {
	reason := detectors[s.fired].reason
	if reason != DeadBoard && reason != Missing {
		return false
	}
	expected := max(c.expected(s), len(s.f.Boards))
	if expected == 0 || 2*s.f.alive() < expected {
		return false
	}
	last := s.r.last(func(a *Action) bool { return a.Kind == Reboot && a.Actor == HealerActor && a.Result != NotSent })
	return last != nil && last.Reason == reason && last.Slot == s.w.evidence[s.fired].slot &&
		last.Outcome != Recovered && c.now.Since(last.At) < week
}

// benefit compares what a reboot may bring in a day with what it costs while the
// dragon boots and tunes.
func (c *cycle) benefit(s *subject) *Benefit {
	var won, lost int
	if o := c.m.Fleet.Outcomes[efficacyKey(Reboot, detectors[s.fired].reason, s.f.Model)]; o != nil {
		for _, ok := range o.Last {
			if ok {
				won++
			} else {
				lost++
			}
		}
	}
	b := &Benefit{Chance: float64(won+1) / float64(won+lost+2)}
	rate, ok := s.w.rate.Get()
	full, known := c.baseline(s).Get()
	if alive, expected := s.f.alive(), c.expected(s); ok && !known && alive > 0 && expected > 0 {
		full, known = rate/float64(alive)*float64(expected), true
	}
	if !ok || !known {
		return b
	}
	tune := c.m.TuneTime(s.f.Model)
	if tune == 0 {
		tune = s.p.Ladder.Tune
	}
	b.Known = true
	b.Gain = b.Chance * max(0, full-rate) * (24 * time.Hour).Seconds()
	b.Cost = rate * (s.p.Ladder.Boot + tune).Seconds()
	return b
}

// count is the number of writes of a kind to a dragon in a window, of any actor.
func count(r *Record, kind Kind, window time.Duration, now Moment) int {
	n := 0
	for i := range r.Actions {
		if a := &r.Actions[i]; a.Kind == kind && now.Since(a.At) < window {
			n++
		}
	}
	return n
}
